"""Writes the state diagrams of requests, permits and releases into ``docs/access.md``, from the tables in the code."""

from __future__ import annotations

import re
from pathlib import Path

from catalog.access.transitions import PERMIT, REQUEST, PermitState, State, diagram
from catalog.release.transitions import RELEASE, ReleaseState

PAGE = Path(__file__).parents[1] / "docs" / "access.md"


def main() -> None:
    """Replace the diagrams, which stand in the order of the tables."""
    tables = diagram(REQUEST, State.DRAFT), diagram(PERMIT, PermitState.ACTIVE), diagram(RELEASE, ReleaseState.HELD)
    made = iter(tables)
    text = PAGE.read_text(encoding="utf-8")
    new = re.sub(r"```mermaid\n.*?```", lambda _: f"```mermaid\n{next(made)}\n```", text, flags=re.DOTALL)
    PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
