"""What a service does with memory that it does not need."""

from __future__ import annotations

import subprocess
import sys

GIVE_BACK = """
import sqlite3, ssl, decimal, hashlib
from pathlib import Path
from datalab.service import give_memory_back

def of_files():
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("RssFile"))
    return int(line.split()[1])

before = of_files()
give_memory_back()
print(before, of_files())
print(hashlib.sha256(b"x").hexdigest()[:8], sqlite3.connect(":memory:").execute("select 6 * 7").fetchone()[0])
"""


def test_code_that_is_not_needed_any_more_takes_no_memory_and_still_runs() -> None:
    said = subprocess.run([sys.executable, "-c", GIVE_BACK], capture_output=True, text=True, check=True).stdout
    memory, worked = said.splitlines()
    before, after = map(int, memory.split())
    assert after < before - 1000, "kB"
    assert worked == "2d711642 42"
