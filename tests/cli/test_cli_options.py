"""Options before and after the subcommand, where the store is, and how errors end."""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path

import pytest

from concordant import errors
from concordant.bank.inputs import BadInput
from concordant.cli import exits
from concordant.cli.main import execute
from concordant.cli.output import seconds
from concordant.placement import Placement
from tests.provision.command_line import CONCORDANT, Shell

NODES = ["--node", "a", "--node", "b"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "json", "lock", "ls"],
        ["lock", "-o", "json", "ls"],
        ["lock", "ls", "-o", "json"],
        ["lock", "ls", "--output=json"],
        ["-o", "text", "lock", "ls", "-o", "json"],
        ["-o", "text", "lock", "-o", "json", "ls"],
        ["-o", "json", "ring", "show", *NODES],
        ["ring", "-o", "json", "show", *NODES],
        ["-o", "json", "doctor"],
        ["doctor", "-o", "json"],
        ["-o", "json", "lock", "run", "a", "--", "true"],
        ["lock", "run", "a", "-o", "json", "--", "true"],
    ],
)
def test_json_wherever_it_is_said(shell: Shell, arguments: list[str]) -> None:
    assert isinstance(shell.json(*arguments), dict)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "json", "lock", "ls", "-o", "text"],
        ["-o", "json", "lock", "-o", "text", "ls"],
        ["lock", "-o", "json", "ls", "-o", "text"],
    ],
)
def test_the_inner_one_wins(shell: Shell, arguments: list[str]) -> None:
    assert shell.run(*arguments).stdout.startswith("NAME")


@pytest.mark.slow
def test_the_url_wherever_it_is_said(shell: Shell) -> None:
    url = f"sqlite://{shell.folder}/named.db"
    wrong = ["--url", "wrong://"]
    for number, arguments in enumerate(
        [
            ["--url", url, "lock", "run"],
            ["lock", "--url", url, "run"],
            ["lock", "run", "--url", url],
            [*wrong, "lock", *wrong, "run", "--url", url],
            [*wrong, "lock", "--url", url, "run"],
        ]
    ):
        done = shell.run(*arguments, "a", "--", "sh", "-c", "echo $CONCORDANT_FENCE")
        assert done.returncode == 0, done
        shown = shell.json(
            *arguments[: arguments.index("lock")], "lock", "show", "a", "--url", url, "-o", "json"
        )
        assert shown["fence"] == int(done.stdout), number
    assert not (shell.folder / "locks.db").exists()


def test_the_url_of_the_environment(shell: Shell) -> None:
    shell.run("lock", "run", "a", "--", "true")
    assert (shell.folder / "locks.db").exists()
    assert not (shell.folder / "state").exists()


@pytest.mark.parametrize("state", ["", "relative/state"])
def test_without_a_state_directory_it_is_in_the_home(shell: Shell, state: str) -> None:
    del shell.environment["CONCORDANT_URL"]
    shell.environment |= {"XDG_STATE_HOME": state, "HOME": str(shell.folder)}
    assert shell.run("lock", "run", "a", "--", "true").returncode == 0
    (made,) = [*shell.folder.rglob("locks.db")]
    assert made.parent.name == "concordant"
    assert made.parent.stat().st_mode & 0o777 == 0o700
    assert "relative" not in str(made)


def test_odd_characters_in_the_state_directory(shell: Shell) -> None:
    del shell.environment["CONCORDANT_URL"]
    shell.environment["XDG_STATE_HOME"] = f"{shell.folder}/a b?c%20#d"
    assert shell.run("lock", "run", "a", "--", "true").returncode == 0
    assert (shell.folder / "a b?c%20#d" / "concordant" / "locks.db").exists()


@pytest.mark.parametrize("arguments", [["-v", "lock", "run"], ["lock", "run", "-v"]])
def test_verbose_logs_to_stderr(shell: Shell, arguments: list[str]) -> None:
    done = shell.run(*arguments, "a", "--", "true")
    assert done.stdout == ""
    assert "INFO: holding 'a' under fence" in done.stderr


def test_only_verbose_shows_where_an_error_comes_from(shell: Shell) -> None:
    plain = shell.run("ring", "show")
    assert (plain.returncode, plain.stderr.count("\n")) == (64, 1)
    assert plain.stderr.startswith("concordant: name the ring by ")
    for arguments in (["-v", "ring", "show"], ["ring", "show", "-v"]):
        loud = shell.run(*arguments)
        assert loud.returncode == 64
        assert loud.stderr.startswith("Traceback")
        assert loud.stderr.endswith(plain.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["lock", "nonsense"],
        ["lock", "ls", "-o", "xml"],
        ["lock", "ls", "x"],
    ],
)
def test_clicks_own_errors(shell: Shell, arguments: list[str]) -> None:
    done = shell.run(*arguments)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("concordant: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_help(shell: Shell) -> None:
    for arguments in (
        ["--help"],
        ["lock", "-h"],
        ["lock", "run", "--help"],
        ["tx", "ls", "--help"],
    ):
        done = shell.run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Usage: concordant")
    assert "lock " in shell.run("--help").stdout
    bare = shell.run("lock")
    assert (bare.returncode, bare.stdout) == (64, "")
    assert "run" in bare.stderr
    assert shell.run("--version").stdout.startswith("concordant ")


def test_a_reader_that_leaves_is_no_error(shell: Shell) -> None:
    keys = "\n".join(f"key-{number}" for number in range(100_000))
    (shell.folder / "keys").write_text(keys)
    script = f"'{CONCORDANT}' ring locate --node a < keys | head -1"
    done = subprocess.run(["sh", "-c", script], cwd=shell.folder, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("key-0\ta\n", "")


CODES = [
    (errors.LockTimeout(""), 75),
    (errors.LockLost(""), 79),
    (errors.StaleFence(""), 79),
    (errors.UsageError(""), 64),
    (errors.AlreadyDecided("", "commit"), 64),
    (BadInput("a.csv", 3, "no number"), 65),
    (errors.BackendUnavailable(""), 69),
    (errors.OutcomeUnknown(""), 69),
    (errors.GuaranteeUnavailable(""), 78),
    (errors.TransactionStuck(""), 70),
    (PermissionError(13, "Permission denied"), 77),
    (RuntimeError("two\nlines"), 70),
    (exits.Failure(42, ""), 42),
]


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda value: type(value).__name__)
def test_each_error_has_its_code(error: Exception, code: int) -> None:
    assert exits.code_of(error) == code
    assert "\n" not in exits.one_line(error)


def test_a_permission_that_the_store_lacked() -> None:
    error = errors.BackendUnavailable("x.db.lock")
    error.__cause__ = PermissionError(13, "Permission denied")
    assert exits.code_of(error) == 77


def test_a_bug_is_an_internal_error(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Placement, "stats", lambda _: 1 / 0)
    handlers = list(logging.getLogger("concordant").handlers)
    try:
        assert execute(["ring", "show", "--node", "a"]) == 70
    finally:
        logging.getLogger("concordant").handlers = handlers
    said = capsys.readouterr().err
    assert (
        said == "concordant: internal error: ZeroDivisionError: division by zero; -v shows where\n"
    )


@pytest.mark.parametrize(
    ("value_s", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (99.4, "99 s"),
        (120, "2 min"),
        (7200, "2 h"),
        (400_000, "5 d"),
    ],
)
def test_times_for_people(value_s: float, text: str) -> None:
    assert seconds(value_s) == text


def test_json_is_json(shell: Shell, tmp_path: Path) -> None:
    done = shell.run("ring", "locate", "ä\n", "-o", "json", *NODES)
    assert json.loads(done.stdout)["keys"][0]["key"] == "ä\n"
