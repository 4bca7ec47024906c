"""The shell commands in a document, as its reader would type them."""

from __future__ import annotations

import re


def blocks(text: str) -> list[str]:
    """Return the shell blocks of a part of a document."""
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def commands(block: str) -> list[str]:
    """Return the commands of a block: here-documents and continued lines stay with their first line."""
    found: list[str] = []
    until: str | None = None
    for line in block.splitlines():
        if until is not None:
            found[-1] += f"\n{line}"
            until = None if line == until else until
        elif found and found[-1].endswith("\\"):
            found[-1] += f"\n{line}"
        else:
            found.append(line)
            here = re.search(r"<<'?(\w+)'?$", line)
            until = here.group(1) if here else None
    return found
