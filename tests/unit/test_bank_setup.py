"""Founding a bank and finding it again: what has to be the same, and what may be left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from concordant.bank.inputs import BadInput
from concordant.bank.plan import PLAN_FILE, BankPlan
from concordant.bank.setup import Asked, establish
from concordant.bank.stores import check_promises
from concordant.errors import BackendUnavailable, GuaranteeUnavailable, UsageError


def found(asked: Asked) -> BankPlan:
    """Return the plan, the stores unseen."""
    return establish(asked, lambda plan: None)


@pytest.fixture
def first(tmp_path: Path) -> Asked:
    """What a bank was founded with that has every default changed."""
    return Asked(
        tmp_path / "bank",
        shards=(f"sqlite://{tmp_path}/one.db", f"sqlite://{tmp_path}/two.db"),
        add_shard=f"sqlite://{tmp_path}/three.db",
        coordination=f"sqlite://{tmp_path}/locks.db",
        log=f"sqlite://{tmp_path}/log.db",
        transfers=20,
        seed=11,
        pattern="saga",
        without="ring",
    )


def test_the_directory_alone_says_everything(first: Asked) -> None:
    plan = found(first)
    again = found(Asked(first.directory))
    assert (again.pattern, again.without, again.seed) == ("saga", "ring", 11)
    assert again == plan


def test_what_is_the_same_may_be_said_again(first: Asked) -> None:
    plan = found(first)
    assert found(first) == plan
    assert found(Asked(first.directory, pattern="saga", transfers=20)) == plan


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"pattern": "2pc"}, "--pattern"),
        ({"without": "locks"}, "--without"),
        ({"seed": 12}, "--seed"),
        ({"coordination": "sqlite:///elsewhere.db"}, "--coordination"),
        ({"log": "sqlite:///elsewhere.db"}, "--log"),
        ({"shards": ("sqlite:///elsewhere.db",)}, "--shard"),
        ({"add_shard": "sqlite:///elsewhere.db"}, "--add-shard"),
    ],
)
def test_what_differs_is_refused_by_name(
    first: Asked, change: dict[str, object], option: str
) -> None:
    found(first)
    with pytest.raises(UsageError, match=f"another {option};"):
        found(replace(Asked(first.directory), **change))  # type: ignore[arg-type]


def test_another_input_is_refused(first: Asked) -> None:
    found(first)
    with pytest.raises(BadInput, match="another input"):
        found(Asked(first.directory, transfers=21))


def test_a_relative_path_stays_the_same_file_wherever_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    asked = Asked(Path("bank"), shards=("sqlite:///./my one.db?wait_s=2",), transfers=0)
    plan = found(asked)
    assert plan.shards == {"shard-0": f"sqlite://{tmp_path}/my%20one.db?wait_s=2"}
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert found(Asked(tmp_path / "bank")) == plan


@pytest.mark.parametrize("without", ["locks", "transactions"])
def test_a_saga_cannot_do_without_what_it_does_not_have(tmp_path: Path, without: str) -> None:
    asked = Asked(tmp_path / "bank", pattern="saga", without=without)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"without {without}; leave --pattern out"):
        found(asked)
    assert not (tmp_path / "bank" / PLAN_FILE).exists()


def test_made_up_and_given_transfers_exclude_each_other(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    with pytest.raises(UsageError, match="--transfers-file"):
        found(Asked(tmp_path, transfers=5, accounts_file=file, transfers_file=file))


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="choose another --dir"):
        found(Asked(tmp_path / "file" / "bank"))


def test_nothing_is_founded_when_a_store_is_away(tmp_path: Path) -> None:
    def away(plan: BankPlan) -> None:
        raise BackendUnavailable("away")

    with pytest.raises(BackendUnavailable):
        establish(Asked(tmp_path / "bank"), away)
    # So that the next try may name another one.
    assert found(Asked(tmp_path / "bank", log=f"sqlite://{tmp_path}/log.db"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"coordination": "memory://x"}, "--coordination memory://x: only one process"),
        ({"log": "memory://x"}, "--log memory://x: only one process"),
        ({"log": "redis://localhost"}, "cannot be a transaction log"),
        ({"shards": ("redis://localhost",)}, "cannot be a participant"),
        ({"add_shard": "memory://x"}, "cannot be a participant"),
    ],
)
def test_a_store_that_cannot_promise_enough_is_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    asked = replace(Asked(tmp_path / "bank"), **change)  # type: ignore[arg-type]
    with pytest.raises(GuaranteeUnavailable, match=said):
        establish(asked, check_promises)
    assert not (tmp_path / "bank" / PLAN_FILE).exists()


def test_the_usual_stores_promise_enough(tmp_path: Path) -> None:
    establish(Asked(tmp_path / "bank"), check_promises)
    asked = Asked(
        tmp_path / "other",
        shards=("postgresql://localhost/a", "sqlite:///b.db"),
        coordination="redis://localhost",
        log="postgresql://localhost/a",
    )
    establish(asked, check_promises)
