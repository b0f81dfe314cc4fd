"""The bank on PostgreSQL shards: four workers against one.

    python bench/bank_workers.py [--rounds 8] [--transfers 3000]

The bar: at least 1.5 times the rate. fsync is on, nobody is killed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._rounds import paired
from tests.provision.postgres import PostgresServer


def rate(server: PostgresServer, workers: int, transfers: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        shards = [part for _ in range(3) for part in ("--shard", server.fresh())]
        done = subprocess.run(
            [
                *(sys.executable, "-m", "concordant", "demo", "bank", "--dir", folder, *shards),
                *("--add-shard", server.fresh(), "--coordination", server.fresh()),
                *("--workers", str(workers), "--transfers", str(transfers), "--kills", "0"),
                *("--seed", "1", "-o", "json"),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    return float(json.loads(done.stdout)["transfers_per_s"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--transfers", type=int, default=3000)
    given = parser.parse_args()
    server = PostgresServer("fsync=on")
    server.start()
    paired(
        "the bank on PostgreSQL, transfers/s of 4 workers against 1",
        lambda: rate(server, 4, given.transfers),
        lambda: rate(server, 1, given.transfers),
        "at least 1.5",
        given.rounds,
    )


if __name__ == "__main__":
    main()
