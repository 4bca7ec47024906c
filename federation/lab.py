"""What the lab's pages and its scheduler ask the federation: its apps, its nodes, and how a run goes.

Everything is in the lab's home: uploaded apps are kept by digest, runs have their folders; templates come with
Datalab itself.
"""

from __future__ import annotations

import re
import tempfile
import tomllib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from catalog.launch import AppFacts, NodeFacts, ParameterFacts
from catalog.progress import Standstill
from datalab.errors import NotFoundError
from datalab.home import Home, write_atomically
from federation.bundle import App, describe, digest, pack, read_app, unpack
from federation.pki.identity import Identity, Role
from federation.pki.local import open_registry
from federation.run import RunFolder
from federation.scan import scan
from federation.sessions import session_infos

TEMPLATES = Path(__file__).parent / "apps"
MAX_LOG = 64 << 10
_DIGEST = re.compile(r"[0-9a-f]{64}")
_UNPRINTABLE = re.compile(r"[^\n\t\x20-\x7e\u00a0-\uffff]")
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""Control sequences, such as for colours (ECMA-48, 5.4)."""
_PATH = re.compile(r"(?<![\w.])/(?:[\w.@+-]+/)+")


def apps(home: Home) -> list[AppFacts]:
    """Return the apps that can be run by name: the templates that come with Datalab."""
    del home
    return [_template(path.parent)[0] for path in sorted(TEMPLATES.glob("*/pyproject.toml"))]


def find_app(home: Home, name: str) -> tuple[AppFacts, bytes]:
    """Return a template by its name, or an uploaded app by its digest, with its bundle.

    Raises:
        NotFoundError: there is none.
    """
    if _DIGEST.fullmatch(name):
        path = home.path / "apps" / f"{name}.zip"
        if path.exists():
            return _uploaded(path)
    known = [path.parent.name for path in sorted(TEMPLATES.glob("*/pyproject.toml"))]
    if name in known:  # and nothing else that is a path to somewhere
        return _template(TEMPLATES / name)
    raise NotFoundError(f"The lab has no app {name}.", next_step=f"Upload it, or use a template: {', '.join(known)}.")


def check_app(bundle: bytes) -> App:
    """Return what an uploaded app says of itself.

    Raises:
        BundleError: it is not a Flower app.
    """
    return describe(bundle)


def keep_app(home: Home, bundle: bytes) -> None:
    """Keep an app that was checked by its digest, for good."""
    write_atomically(home.folder("apps") / f"{digest(bundle)}.zip", bundle)


def nodes(home: Home) -> dict[str, NodeFacts]:
    """Return the nodes of the federation that are not revoked, by name, and whether they are connected now."""
    connected = {one.identity: one for one in session_infos(home)}
    members = open_registry(home)
    found = {}
    for one in members.members():
        if one.role is not Role.NODE or one.revoked is not None:
            continue
        session = connected.get(str(Identity(members.federation, Role.NODE, one.name)))
        left = dict(session.privacy_left) if session else {}
        found[one.name] = NodeFacts(one.name, one.organisation, one.country, session is not None, left)
    return found


def events(home: Home, run: str) -> tuple[int, list[bytes]]:
    """Return what a run has said so far: how many bytes, and its lines; nothing before it has started."""
    path = RunFolder(home.path / "runs" / run).events
    try:
        said = path.read_bytes()
    except FileNotFoundError:
        return 0, []
    return len(said), said.splitlines(keepends=True)


def events_size(home: Home, run: str) -> int:
    """Return how many bytes a run has said so far."""
    path = RunFolder(home.path / "runs" / run).events
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def delay(home: Home, run: str) -> tuple[Standstill, str] | None:
    """Return why a run whose turn has come has not begun, and the cluster's words for it; None if nothing is known."""
    kind, _, said = RunFolder(home.path / "runs" / run).read_delay().partition(" ")
    return (Standstill(kind), _UNPRINTABLE.sub("", said)) if kind in {one.value for one in Standstill} else None


def log(home: Home, run: str) -> str:
    """Return the end of what a run's ServerApp has written: printable characters only, and no folder of the lab."""
    path = home.path / "runs" / run / "log" / "server-app.log"
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - MAX_LOG))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return _PATH.sub("…/", _UNPRINTABLE.sub("", _CONTROL.sub("", text)))


@lru_cache(maxsize=16)
def _template(folder: Path) -> tuple[AppFacts, bytes]:
    bundle = pack(folder)
    return _facts(folder, read_app(folder), bundle), bundle


@lru_cache(maxsize=16)
def _uploaded(path: Path) -> tuple[AppFacts, bytes]:
    with tempfile.TemporaryDirectory(prefix="datalab-app-") as folder:
        app = unpack(path, Path(folder))
        facts, files = _facts(Path(folder), app, path.read_bytes()), {}
        for one in sorted(Path(folder).rglob("*")):
            if one.is_file():
                files[one.relative_to(folder).as_posix()] = one.read_bytes()
        found = {head: _UNPRINTABLE.sub("", said)[:2000] for head, said in scan(files).lines()}
        return replace(facts, found=found), path.read_bytes()


def _facts(folder: Path, app: App, bundle: bytes) -> AppFacts:
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = str(project.get("description", ""))
    return AppFacts(
        app.name, app.version, _UNPRINTABLE.sub("", said)[:300], digest(bundle), app.config, _described(app)
    )


def _described(app: App) -> dict[str, ParameterFacts]:
    """Return what an app says of its parameters, as long and as printable as a page takes it."""
    return {
        name: ParameterFacts(
            words={
                code: (_UNPRINTABLE.sub("", words.label)[:80], _UNPRINTABLE.sub("", words.help)[:300])
                for code, words in (("en", one), ("de", one.de), ("fr", one.fr))
                if words is not None
            },
            low=one.min,
            high=one.max,
            values=one.values,
            columns=one.columns,
            numbers=one.numbers,
        )
        for name, one in app.parameters.items()
    }
