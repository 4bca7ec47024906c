"""Fails if a tracked file names a package registry: how packages are found is each machine's own setting."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REGISTRY = re.compile(
    r"(pypi\.(org|python)|files\.python"
    r"hosted|registry\.npm"
    r"js|deb\.debian|--(extra-)?index-url\s+\S|--find-links\s+\S)",
)


def main() -> None:
    """Look through every file git tracks, or would."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    found = [
        f"{name}:{number}: {line.strip()[:120]}"
        for name in listed
        if name and name != "tools/addresses.py" and (ROOT / name).is_file()
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if REGISTRY.search(line)
    ]
    if found:
        sys.exit("These lines name a package registry:\n" + "\n".join(found))


if __name__ == "__main__":
    main()
