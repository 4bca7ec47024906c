"""What an app brings with it: licence, dependencies, imports, sizes. Read from its files; nothing of it is ever run.

A scan is for whoever reads the app next, and no proof: Python can hide an import from any reader. What an app may do is
for its sandbox.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

MOST_IMPORTS = 200
LARGE_FILE = 1 << 20
"""Bytes from which on a file is named."""
_PINNED = re.compile(r"^[A-Za-z0-9._-]+(\[[A-Za-z0-9._, -]*\])?\s*==\s*[^*\s;]+\s*(;.*)?$")
_OUTSIDE = frozenset(
    {
        "ctypes",
        "ftplib",
        "http",
        "importlib",
        "marshal",
        "mmap",
        "multiprocessing",
        "os",
        "pickle",
        "pty",
        "runpy",
        "shelve",
        "shutil",
        "signal",
        "smtplib",
        "socket",
        "socketserver",
        "ssl",
        "subprocess",
        "tempfile",
        "urllib",
        "webbrowser",
    }
)
"""Modules with which an app reaches beyond its numbers, or loads what is no numbers."""
_CALLS = frozenset({"eval", "exec", "compile", "__import__", "globals", "breakpoint"})
_LOADS = frozenset({"load", "loads"})


@dataclass(frozen=True)
class Scan:
    """What was found.

    Attributes:
        licence: as the app states it; "" if it does not.
        files: how many.
        bytes: of all of them.
        dependencies: what it says it needs.
        unpinned: those of them that name no exact version: the environment decides which it is.
        packages: top-level modules that it imports, beside Python's own and its own.
        outside: modules of Python's own by which it reaches beyond its numbers, each with where.
        calls: what runs or reaches what no reader sees, each with where.
        unread: Python files that cannot be parsed, and other files that are large.
    """

    licence: str
    files: int
    bytes: int
    dependencies: tuple[str, ...]
    unpinned: tuple[str, ...]
    packages: tuple[str, ...]
    outside: tuple[str, ...]
    calls: tuple[str, ...]
    unread: tuple[str, ...]

    def lines(self) -> list[tuple[str, str]]:
        """Return heads and what was found, for people."""
        return [
            ("licence", self.licence or "none stated"),
            ("files", f"{self.files}, {self.bytes:,} bytes"),
            ("needs", ", ".join(self.dependencies) or "nothing"),
            ("no exact version", ", ".join(self.unpinned) or "none"),
            ("imports", ", ".join(self.packages) or "none but Python's own"),
            ("reaches beyond its numbers", ", ".join(self.outside) or "nowhere that is seen"),
            ("hides what it runs", ", ".join(self.calls) or "nowhere that is seen"),
            ("cannot be read", ", ".join(self.unread) or "none"),
        ]


def scan(files: Mapping[str, bytes]) -> Scan:
    """Return what is found in an app's files, by their names."""
    project = _project(files.get("pyproject.toml", b""))
    needs = project.get("dependencies")
    dependencies = tuple(str(one)[:200] for one in needs[:MOST_IMPORTS]) if isinstance(needs, list) else ()
    own = {name.partition("/")[0].removesuffix(".py") for name in files}
    packages: set[str] = set()
    outside: list[str] = []
    calls: list[str] = []
    unread: list[str] = []
    for name, data in sorted(files.items()):
        if not name.endswith(".py"):
            unread += [f"{name} ({len(data):,} bytes)"] if len(data) >= LARGE_FILE else []
            continue
        try:
            tree = ast.parse(data)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            unread.append(name)
            continue
        for node in ast.walk(tree):
            for module in _imported(node):
                if module in _OUTSIDE:
                    outside.append(f"{module} ({name}:{node.lineno})")  # type: ignore[attr-defined]
                elif module not in own and module not in sys.stdlib_module_names:
                    packages.add(module)
            if isinstance(node, ast.Call) and (called := _called(node.func)):
                calls.append(f"{called} ({name}:{node.lineno})")
    return Scan(
        licence=_licence(project),
        files=len(files),
        bytes=sum(map(len, files.values())),
        dependencies=dependencies,
        unpinned=tuple(one for one in dependencies if not _PINNED.match(one)),
        packages=tuple(sorted(packages)[:MOST_IMPORTS]),
        outside=tuple(outside[:MOST_IMPORTS]),
        calls=tuple(calls[:MOST_IMPORTS]),
        unread=tuple(unread[:MOST_IMPORTS]),
    )


def _project(data: bytes) -> dict[str, object]:
    try:
        found = tomllib.loads(data.decode()).get("project", {})
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _licence(project: Mapping[str, object]) -> str:
    said = project.get("license", "")
    if isinstance(said, dict):
        said = said.get("text", said.get("file", ""))
    return " ".join(str(said).split())[:100]


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [one.name.partition(".")[0] for one in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module.partition(".")[0]]
    return []


def _called(function: ast.expr) -> str:
    """Return what is called, if it is something to look at: code from text, and loading what may be code."""
    if isinstance(function, ast.Name) and function.id in _CALLS:
        return function.id
    if isinstance(function, ast.Attribute) and function.attr in _LOADS and isinstance(function.value, ast.Name):
        return f"{function.value.id}.{function.attr}" if function.value.id in {"pickle", "torch", "joblib"} else ""
    return ""
