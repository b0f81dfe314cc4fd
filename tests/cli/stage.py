"""Where the blocks of a page are run: a folder, a Python and a shell of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from redis import Redis

from tests.cli.pages import ROOT, Block
from tests.provision import postgres
from tests.provision import redis as redis_backend
from tests.provision.command_line import children

_RUNNER = Path(__file__).with_name("run_blocks.py")
_REDIS = "redis://localhost/0"
_POSTGRES = re.compile(r"postgresql://localhost/(\w+)")
_END = "@@ended@@"
# A database of its own on the private server, which no other test uses.
_REDIS_DATABASE = 7


def needs_server(blocks: list[Block]) -> bool:
    """Tell whether the blocks name a server."""
    return any(_REDIS in each.text or _POSTGRES.search(each.text) for each in blocks)


def commands_of(block: Block) -> list[tuple[str, str]]:
    """Return the commands after `$ `, each with the output that the page shows under it."""
    found: list[tuple[str, str]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), ""))
        else:
            assert found, f"{block}: a console block begins with a command: $ ..."
            command, shown = found[-1]
            if command.endswith("\\"):
                found[-1] = (f"{command}\n{line}", "")
            else:
                found[-1] = (command, f"{shown}{line}\n")
    return found


class Stage:
    """Runs blocks in order; whatever it started is ended by `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "shop"
        self.folder.mkdir()
        self.tools = folder / "bin"
        self.tools.mkdir()
        state = folder / "state"
        path = os.pathsep.join([str(self.tools), str(Path(sys.executable).parent)])
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "CONCORDANT_URL"},
            "XDG_STATE_HOME": str(state),
            "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "200",
            "NO_COLOR": "1",
        }
        # What a page says -> what is meant here.
        self._meant: dict[str, str] = {}
        self._seen = [
            (str(state), "/home/ann/.local/state"),
            (str(self.folder), "/home/ann/shop"),
            (str(ROOT), "/home/ann/concordant"),
            (socket.gethostname(), "laptop"),
        ]
        self._python: subprocess.Popen[str] | None = None
        self._started: list[subprocess.Popen[Any]] = []

    # --- the words of a page --------------------------------------------------------------

    def meant(self, text: str) -> str:
        """Return the text with the addresses of the private servers in place of the page's."""
        if _REDIS in text and _REDIS not in self._meant:
            server = redis_backend.server()
            with contextlib.closing(Redis(port=server.port, db=_REDIS_DATABASE)) as plain:
                plain.flushdb()
            self._meant[_REDIS] = f"redis://127.0.0.1:{server.port}/{_REDIS_DATABASE}"
        for found in _POSTGRES.finditer(text):
            if found[0] not in self._meant:
                self._meant[found[0]] = postgres.server().fresh()
        for said, url in self._meant.items():
            text = text.replace(said, url)
        return text

    def said(self, text: str) -> str:
        """Return output of ours as a page shows it: with its addresses and places."""
        for said, url in self._meant.items():
            # Places are printed without user names.
            text = text.replace(url, said).replace(url.replace("postgres@", ""), said)
        for here, there in self._seen:
            text = text.replace(here, there)
        return text

    # --- running --------------------------------------------------------------------------

    def save(self, block: Block) -> None:
        """Save the block as the file that it names."""
        (self.folder / block.file_name).write_text(self.meant(block.text), "utf-8")

    def python(self, block: Block) -> None:
        """Run the block in the page's Python, after those before it."""
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, str(_RUNNER)],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._started.append(self._python)
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        order = {"file": str(block.page), "line": block.line, "text": self.meant(block.text)}
        self._python.stdin.write(json.dumps(order) + "\n")
        self._python.stdin.flush()
        answer = self._python.stdout.readline()
        trouble = json.loads(answer) if answer else "Python has ended"
        assert not trouble, f"{block}\n{trouble}"

    def console(self, block: Block) -> None:
        """Run the block's commands in a shell, and compare what they print."""
        commands = commands_of(block)
        script = "".join(
            f"{self.meant(command)}\n"
            f"status=$?; printf '\\n%s %s\\n' '{_END}' $status; (exit $status)\n"
            for command, _ in commands
        )
        done = subprocess.run(
            ["bash", "--norc", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        parts = re.split(rf"\n{_END} (\d+)\n", done.stdout)
        assert len(parts) == 2 * len(commands) + 1, f"{block}: {done.stdout}"
        for number, (command, shown) in enumerate(commands):
            output, code = parts[2 * number], int(parts[2 * number + 1])
            later = commands[number + 1][0] if number + 1 < len(commands) else ""
            # A page that shows a failure shows its exit code as well.
            assert code == 0 or later == "echo $?", f"{block}: {command}: {code}\n{output}"
            self.compare(f"{block}: {command}", shown, output)

    def run(self, command: str) -> str:
        """Run one command to a good end and return what it prints."""
        done = subprocess.run(
            ["bash", "--norc", "-c", self.meant(command)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done
        return done.stdout

    def compare(self, where: str, shown: str, output: str) -> None:
        """Fail unless the output is what the page shows, if it shows any."""
        assert not shown or alike(shown, self.said(output)), (
            f"{where} prints\n{self.said(output)}\nand the page shows\n{shown}"
        )

    def start(self, command: str, output: str) -> subprocess.Popen[Any]:
        """Start a command of a page as the foreground process of another terminal."""
        with (self.folder / output).open("wb") as file:
            process = subprocess.Popen(
                ["bash", "--norc", "-c", f"exec {self.meant(command)}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        self._started.append(process)
        return process

    def printed(self, output: str) -> str:
        """Return what a started command has printed so far."""
        return (self.folder / output).read_text("utf-8")

    def close(self) -> None:
        """End what was started, and what that has started."""
        for process in self._started:
            if process.poll() is None:
                for pid in [*children(process.pid), process.pid]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            process.wait(30)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()


# What differs from run to run. Whole numbers that are none of these are compared.
_VARYING: list[tuple[str, str]] = [
    (r"\bc[a-z0-9]{7}\.[a-z0-9]{8}-\d+\.\d+\.([\w.-]+)", r"BRANCH \1"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "GID"),
    (r"\b[a-z2-7]{16}\.\d+\b", "OWNER"),
    (r"\b[a-z0-9]{8}-\d+\b", "OWNER"),
    (r"\b\d{16}\b", "FENCE"),
    (r"\b(pid|process) \d+", r"\1 N"),
    (r"\b\d+(\.\d+)+\b", "DECIMAL"),
    (r"\s+", " "),
]


def alike(shown: str, printed: str) -> bool:
    """Tell whether output is as shown, but for fences, ids, times and spaces; `...` is anything."""
    for pattern, name in _VARYING:
        shown, printed = re.sub(pattern, name, shown), re.sub(pattern, name, printed)
    wanted = ".*".join(re.escape(part.strip()) for part in shown.split("..."))
    return re.fullmatch(wanted, printed.strip(), re.DOTALL) is not None
