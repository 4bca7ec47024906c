"""Where no sandbox can be had, foreign code is refused, and what to do is said."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from federation.sandbox.bubblewrap import check_sandbox

CHECK = """
from datalab.errors import DatalabError
from federation.sandbox.bubblewrap import check_sandbox
try:
    print(check_sandbox())
except DatalabError as error:
    print("refused:", error)
"""
NONE = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'


def test_it_holds_here() -> None:
    assert ("a user id of its own" if os.geteuid() == 0 else "a user namespace") in check_sandbox()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take rights away")
@pytest.mark.parametrize(
    ("without", "said"),
    [
        (["setpriv", "--bounding-set", "-sys_admin"], "run this as an ordinary user"),
        (
            ["unshare", "-U", "--map-user=12345", "--keep-caps", "sh", "-c", NONE, "sh"],
            "user.max_user_namespaces is 0. Foreign code is refused",
        ),
        (["unshare", "-U", "-r"], "Root has no user id to give"),
    ],
    ids=["no capability", "no user namespaces", "no user ids"],
)
def test_it_is_refused(without: list[str], said: str) -> None:
    command = [*without, sys.executable, "-P", "-c", CHECK]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "refused" in done.stdout, done.stderr
    assert said in done.stdout
