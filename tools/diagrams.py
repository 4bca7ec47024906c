"""Writes the state diagrams of access requests and permits into ``docs/access.md``, from the tables in the code."""

from __future__ import annotations

import re
from pathlib import Path

from catalog.access.transitions import PERMIT, REQUEST, PermitState, State, diagram

PAGE = Path(__file__).parents[1] / "docs" / "access.md"


def main() -> None:
    """Replace the diagrams, which stand in the order of the tables."""
    made = iter((diagram(REQUEST, State.DRAFT), diagram(PERMIT, PermitState.ACTIVE)))
    text = PAGE.read_text(encoding="utf-8")
    new = re.sub(r"```mermaid\n.*?```", lambda _: f"```mermaid\n{next(made)}\n```", text, flags=re.DOTALL)
    PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
