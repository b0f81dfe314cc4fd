"""What the makers of golden vectors share: keys to ask about, and the form of their files."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

DATA = Path(__file__).resolve().parents[2] / "tests" / "data"

TEXTS = (
    *("a", "key", "42", "007", "user:1000", "grüße", "キー", "🔑", "ÿ", "a-0", "-", "x" * 200),
    *("{user1000}.following", "a b", "tab\tkey", "10.0.0.1:11211-0", "0" * 31, "z" * 64),
    *(f"user:{number}" for number in range(160)),
    *(str(number) for number in range(1, 40)),
)


def binary_keys(count: int, seed: int, alphabet: bytes = bytes(range(256))) -> list[bytes]:
    """Return pseudo-random keys of 1 to 40 bytes; the same seed gives the same ones."""
    random = Random(seed)
    return [bytes(random.choices(alphabet, k=random.randint(1, 40))) for _ in range(count)]


def write(name: str, document: dict[str, Any]) -> None:
    """Write one data file, a top-level entry or an element of a list on each line."""
    parts = []
    for field, value in document.items():
        if isinstance(value, list) and value and isinstance(value[0], dict | list):
            rows = ",\n  ".join(_compact(row) for row in value)
            parts.append(f" {_compact(field)}: [\n  {rows}\n ]")
        else:
            parts.append(f" {_compact(field)}: {_compact(value)}")
    target = DATA / name
    target.write_text("{\n" + ",\n".join(parts) + "\n}\n", "utf-8")
    print(f"{target}: {target.stat().st_size} bytes")


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
