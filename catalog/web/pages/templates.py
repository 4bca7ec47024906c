"""The templates and the static files of the pages, and what every template may use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from catalog.permissions import Action
from catalog.store import now
from catalog.web.pages import checks, wording
from catalog.web.pages.language import NAMES, Language, language

STATIC = Path(__file__).parents[1] / "static"
TEMPLATES = Path(__file__).parents[1] / "templates"


@cache
def environment(code: str) -> Environment:
    """Return the templates in one language; what they are given is escaped, what they are not given is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
    )
    chosen: Language = language(code)
    made.install_gettext_translations(chosen.translations, newstyle=True)  # type: ignore[attr-defined]
    version = static_version()
    made.globals.update(
        Action=Action,
        checks=checks,
        asset=f"/static/{version}",
        has_htmx=(STATIC / "vendor" / "htmx.min.js").exists(),
        lang=chosen,
        now=now,
        languages=NAMES,
        query=query,
        wording=wording,
    )
    return made


def query(pairs: Iterable[tuple[str, Any]]) -> str:
    """Return the query part of an address, without what is empty."""
    text = urlencode([(name, str(value)) for name, value in pairs if value not in {None, ""}])
    return f"?{text}" if text else "?"


@cache
def static_version() -> str:
    """Return a name for the static files as they are now: where one changes, its address does."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


class Assets(StaticFiles):
    """Static files, which browsers keep: their address has the files' digest in it."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Return one file."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response
