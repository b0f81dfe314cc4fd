"""Check what the linters do not know: who imports whom, sizes, forbidden words, empty rooms.

Run without arguments; it prints one line a problem and exits 1 if there is any. Each rule is a
function from the root of a tree to its problems, so that tests can show each of them a tree that
breaks it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "concordant"

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

# What decides without I/O. These import the standard library and each other, nothing else.
PURE = ("clock", "errors", "locking", "placement", "transactions")
# The modules that stand directly in drivers/: the ports, and the way to a backend by its URL.
PORTS = (
    "drivers.base",
    "drivers.capabilities",
    "drivers.registry",
    "drivers.stepport",
    "drivers.urls",
)
# What users import. "" is the package itself.
SURFACE = ("", "aio", "sync")
GUARDS = ("drivers.*.guard",)

# Who may import what, beside itself: a name stands for the module and all below it.
FLOORS: dict[str, tuple[str, ...]] = {
    "": (*PURE, *PORTS, *GUARDS, "aio", "sync", "session"),
    "__main__": ("cli",),
    "errors": (),
    "clock": (),
    "_native": (),
    "placement": (*PURE, "_native"),
    "locking": PURE,
    "transactions": PURE,
    # The shared modules name a backend only in strings, so that it is imported when asked for.
    "drivers": (*PURE, *PORTS),
    "drivers.*": (*PURE, *PORTS, "drivers.polling", "drivers.threaded"),
    "_bridge": (*PURE, *PORTS, "session"),
    "session": (*PURE, *PORTS),
    "aio": (*PURE, *PORTS, "_bridge", "session"),
    "sync": (*PURE, *PORTS, "_bridge", "session"),
    "bank": (*PURE, *PORTS, *GUARDS, *SURFACE),
    "cli": (*PURE, *PORTS, *GUARDS, *SURFACE, "bank"),
    "server": (*PURE, *PORTS, *SURFACE),
    "integrations": (*PURE, *GUARDS, *SURFACE),
}

# The twins of one world are closed to the other.
CLOSED = {"aio": "_bridge.sync", "sync": "_bridge.aio"}

THIRD_PARTY: dict[str, tuple[str, ...]] = {
    "click": ("cli",),
    # The bank's naive runs and its plain tables use what their users would use.
    "psycopg": ("drivers.postgres", "bank.plain"),
    "redis": ("drivers.redis", "bank.plain"),
    "rich": ("cli",),
    "xxhash": ("placement.hashing",),
}
# Optional where they are used: imported by a function, never by a module.
LAZY = ("xxhash",)

# The bracketed letters keep this file from finding itself.
FORBIDDEN = {
    r"\bT[O]DO\b": "a promise; keep it or drop it",
    r"\bF[I]XME\b": "a promise; keep it or drop it",
    r"\bX[X]X\b": "a promise; keep it or drop it",
    r"\bNotImplemente[d]Error\b": "an empty method; leave it out",
    r"\.\./share[d]\b": "a path that users do not have",
    r"(?<!\w)\.librar[y]\b": "a path that users do not have",
    r"/wor[k]/": "a path that users do not have",
    r"\bindex-ur[l]\b|\bfind-link[s]\b": "a package registry, which is the installer's choice",
    r'"resolve[d]": *"http|registr[y] *= *"http': "a package registry",
    r"https?://[^ ]*/(simpl[e]|package[s]|maven[2])/": "a package registry",
}


class Problem(NamedTuple):
    """One place that breaks a rule."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


class Import(NamedTuple):
    """One imported module, by its absolute name."""

    target: str
    line: int
    in_function: bool


def files(root: Path) -> list[Path]:
    """Return the files of the tree that git tracks or would track, sorted.

    A tree that is no git repository counts whole, hidden folders and caches aside.
    """
    if (root / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        found = {root / name for name in listed.stdout.split("\0") if name}
    else:
        found = {file for file in root.rglob("*") if not _is_hidden(file.relative_to(root))}
    return sorted(file for file in found if file.is_file())


def _is_hidden(path: Path) -> bool:
    return any(
        part == "__pycache__" or part.startswith(".") or part.endswith(".egg-info")
        for part in path.parts
    )


def _below(root: Path, folders: tuple[str, ...], *suffixes: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of the files in the named folders that end as asked."""
    for file in files(root):
        path = file.relative_to(root).as_posix()
        if path.startswith(folders) and file.suffix in suffixes:
            yield path, file.read_text("utf-8")


def check_imports(root: Path) -> Iterator[Problem]:
    """Yield every import that the plan of the house does not allow."""
    sources = dict(_below(root, (f"src/{PACKAGE}/",), ".py"))
    modules = {_module_of(path): path for path in sources}
    backends = {
        name.split(".")[1]
        for name, path in modules.items()
        if name.startswith("drivers.") and path.count("/") > 3
    }
    for module, path in modules.items():
        tree = ast.parse(sources[path], path)
        for found in dict.fromkeys(_imports(tree, module, path, set(modules))):
            if complaint := _complaint(module, found, backends):
                yield Problem(path, found.line, complaint)


def _module_of(path: str) -> str:
    """Return a module's name inside the package; the package itself is the empty name."""
    parts = path.removesuffix(".py").split("/")[2:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree: ast.AST, module: str, path: str, modules: set[str]) -> Iterator[Import]:
    package = module.split(".") if module else []
    if not path.endswith("__init__.py"):
        package = package[:-1]
    for node, in_function in _walk(tree, False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, in_function)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package[: len(package) - node.level + 1]
                base = ".".join([PACKAGE, *above, *filter(None, [base])])
            for alias in node.names:
                # `from a import b` names the module a.b, or something inside the module a.
                inner = f"{base}.{alias.name}"
                is_module = inner.removeprefix(f"{PACKAGE}.") in modules
                yield Import(inner if is_module else base, node.lineno, in_function)


def _walk(node: ast.AST, in_function: bool) -> Iterator[tuple[ast.AST, bool]]:
    yield node, in_function
    inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, inside)


def _complaint(module: str, found: Import, backends: set[str]) -> str | None:
    top, _, inner = found.target.partition(".")
    floor, own = _floor_of(module, backends)
    if floor not in FLOORS:
        return f"{floor} has no place in the plan of the house; add it to tools/tidy.py"
    if top == PACKAGE:
        allowed = any(_covers(name, inner) for name in (*own, *FLOORS[floor]))
        closed = CLOSED.get(floor)
        if not allowed or (closed and _covers(closed, inner)):
            return f"{module or PACKAGE} may not import {found.target}"
    elif top not in sys.stdlib_module_names and floor != "integrations":
        if not any(_covers(name, module) for name in THIRD_PARTY.get(top, ())):
            return f"{module or PACKAGE} may not import {top}, which is not the standard library"
        if top in LAZY and not found.in_function:
            return f"{top} is optional; import it inside the function that uses it"
    return None


def _floor_of(module: str, backends: set[str]) -> tuple[str, tuple[str, ...]]:
    """Return the module's row in FLOORS, and the part of the house that is its own."""
    top, _, rest = module.partition(".")
    if top != "drivers":
        return top, (top,)
    backend = rest.partition(".")[0]
    return ("drivers.*", (f"drivers.{backend}",)) if backend in backends else ("drivers", ())


def _covers(pattern: str, module: str) -> bool:
    """Tell whether the module is the named one or stands below it; ``*`` is any one part."""
    wanted, parts = pattern.split("."), module.split(".")
    heads = parts[: len(wanted)]
    return len(heads) == len(wanted) and all(
        want in ("*", part) for want, part in zip(wanted, heads, strict=True)
    )


def check_file_sizes(root: Path) -> Iterator[Problem]:
    """Yield every source file that is too long to be one thing."""
    for path, text in _below(root, ("src/", "tools/"), ".py", ".lua", ".sql"):
        if (lines := len(text.splitlines())) > FILE_LINES_MAX:
            yield Problem(path, lines, f"{lines} lines; at most {FILE_LINES_MAX} are one purpose")


def check_function_sizes(root: Path) -> Iterator[Problem]:
    """Yield every function that is too long to be read at once."""
    for path, text in _below(root, ("src/", "tools/", "tests/", "bench/"), ".py"):
        for node in ast.walk(ast.parse(text, path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    complaint = f"{node.name} has {lines} lines; at most {FUNCTION_LINES_MAX}"
                    yield Problem(path, node.lineno, complaint)


def check_words(root: Path) -> Iterator[Problem]:
    """Yield every forbidden word in a text file of the tree."""
    patterns = [(re.compile(pattern), why) for pattern, why in FORBIDDEN.items()]
    for file in files(root):
        try:
            lines = file.read_text("utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        path = file.relative_to(root).as_posix()
        for number, line in enumerate(lines, 1):
            for pattern, why in patterns:
                if match := pattern.search(line):
                    yield Problem(path, number, f"{match[0]!r}: {why}")


def check_rooms(root: Path) -> Iterator[Problem]:
    """Yield every folder of the package that is empty or that setuptools would not find."""
    package = root / "src" / PACKAGE
    for folder in sorted([package, *package.rglob("*")]):
        path = folder.relative_to(root)
        if not folder.is_dir() or _is_hidden(path):
            continue
        inside = [item for item in folder.iterdir() if not _is_hidden(item.relative_to(root))]
        if not any(item.name == "__init__.py" for item in inside):
            yield Problem(path.as_posix(), 1, "has no __init__.py, so it would not be installed")
        elif all(item.name == "__init__.py" and _is_hollow(item) for item in inside):
            yield Problem(path.as_posix(), 1, "is an empty room; it comes with its first file")


def _is_hollow(module: Path) -> bool:
    """Tell whether a module holds nothing but docstrings."""
    body = ast.parse(module.read_text("utf-8")).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


RULES = (check_imports, check_file_sizes, check_function_sizes, check_words, check_rooms)


def problems(root: Path) -> list[Problem]:
    """Return what every rule finds in the tree."""
    return [problem for rule in RULES for problem in rule(root)]


def main() -> int:
    """Print the problems of this repository; return 1 if there are any."""
    found = problems(ROOT)
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
