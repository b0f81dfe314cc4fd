"""What a child process is told to do, and where it is to come to grief."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

World = Literal["aio", "sync"]
Action = Literal["crash", "lose", "late", "pause", "hold"]
Shape = Literal["transfer", "refused", "reading", "single"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One place in the run of a machine, and what happens there.

    The place is the nth command of a type in a state, before it is carried out or after.
    `crash`: SIGKILL. `lose`: the connection breaks, so before it the request is lost, after
    it the reply. `late`: the connection breaks, and the request is carried out all the same
    once the fault is released. `pause`: SIGSTOP. `hold`: wait until the fault is released.
    """

    machine: Literal["body", "two-phase", "recovery", "saga", "step"]
    state: str
    command: str
    action: Action
    when: Literal["before", "after"]
    nth: int = 1
    times: int = 1


@dataclass(frozen=True, slots=True)
class Place:
    """A database that takes part, and the name of its backend under test."""

    backend: str
    url: str


@dataclass(frozen=True, slots=True)
class Job:
    """One child's work. `folder` is where it leaves what it reached and how it ended.

    The effects are written under the gid; `named` says whether the transaction has it, too.
    `recovers`: recover once more before the end, and only then wait for late requests.
    `timeout_s` and `attempts_max` are a saga's.
    """

    role: Literal["transfer", "transfers", "recover", "purge", "guarded", "saga", "recover sagas"]
    world: World
    folder: str
    log: str
    places: tuple[Place, ...]
    shape: Shape = "transfer"
    gid: str = ""
    named: bool = True
    owner_ttl_s: float = 10.0
    faults: tuple[Fault, ...] = ()
    locks: str = ""
    recovers: bool = False
    timeout_s: float | None = None
    attempts_max: int = 8

    def write(self) -> Path:
        """Lay the job into its folder and return the file."""
        path = Path(self.folder, "job.json")
        path.write_text(json.dumps(asdict(self)), "utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Job:
        """Return the job that `write` laid down."""
        told: dict[str, Any] = json.loads(path.read_text("utf-8"))
        told["places"] = tuple(Place(**place) for place in told["places"])
        told["faults"] = tuple(Fault(**fault) for fault in told["faults"])
        return cls(**told)

    def urls(self) -> list[str]:
        """Return the URLs of the databases that take part."""
        return [place.url for place in self.places]


def reached_file(folder: str, number: int) -> Path:
    """Return the file that says how often fault `number` was reached, a byte each time."""
    return Path(folder, f"reached-{number}")


def release_file(folder: str, number: int) -> Path:
    """Return the file that lets fault `number` go on."""
    return Path(folder, f"release-{number}")


def idle_file(folder: str) -> Path:
    """Return the file that says that nothing but late requests is left to wait for."""
    return Path(folder, "idle")


def enough_file(folder: str) -> Path:
    """Return the file that tells a child which transfers again and again to end."""
    return Path(folder, "enough")


def result_file(folder: str) -> Path:
    """Return the file that says how the child ended."""
    return Path(folder, "result.json")
