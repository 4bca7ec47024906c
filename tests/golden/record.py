"""``python -m tests.golden.record``: freezes what a node and a gateway of this version say to each other.

Done once for each version of the protocol, before it changes; the transcript is then never made again.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from datalab.supervisor import Supervisor
from federation.wire.protocol import PROTOCOL_MAJOR, PROTOCOL_MINOR
from tests.golden.recorder import VARIABLE
from tests.golden.transcript import APP, FOLDER, NODE, RUN
from tests.support.federation import Federation


def record(path: Path) -> None:
    """Have one node take part in one run, and write what passed to ``path``."""
    os.environ[VARIABLE] = str(path)
    with tempfile.TemporaryDirectory() as folder, Supervisor() as supervisor:
        federation = Federation(Path(folder), supervisor, gateway="tests.golden.recorder")
        federation.add_node(NODE, apps=[APP])
        federation.wait_for(NODE)
        federation.run([NODE], app=APP, run_id=RUN)


if __name__ == "__main__":
    target = FOLDER / f"protocol-{PROTOCOL_MAJOR}.{PROTOCOL_MINOR}.jsonl"
    if target.exists():
        sys.exit(f"{target} is frozen already; raise PROTOCOL_MINOR first.")
    record(target)
