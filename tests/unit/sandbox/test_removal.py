"""What an app leaves behind can be removed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from federation.sandbox.removal import remove_folder

HOSTILE = """
import os, sys
from pathlib import Path
from federation.sandbox.removal import remove_folder
top = Path(sys.argv[1])
os.chmod(top, 0o777)
if os.geteuid() == 0:
    os.setresgid(12345, 12345, 12345)
    os.setresuid(12345, 12345, 12345)
run = top / "run"
(run / "hidden" / "inner").mkdir(parents=True)
(run / "hidden" / "inner" / "file").write_text("x")
(run / "link").symlink_to(top / "kept")
(run / "hidden" / "inner").chmod(0)
(run / "hidden").chmod(0)
os.chdir(run)
for _ in range(3000):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
os.chmod(".", 0)
os.chdir("/")
remove_folder(run)
"""


def test_nothing_is_left_of_deep_and_hidden_folders() -> None:
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        (top / "kept").mkdir()
        (top / "kept" / "file").write_text("kept", encoding="utf-8")
        done = subprocess.run([sys.executable, "-c", HOSTILE, folder], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert [path.name for path in top.iterdir()] == ["kept"]
        assert (top / "kept" / "file").exists()


def test_what_is_not_there_need_not_be_removed(tmp_path: Path) -> None:
    remove_folder(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []
