"""The decoder under a coverage-guided fuzzer, from the frames of real transcripts."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from tests.golden.transcript import read, transcripts
from tests.support.federation import ROOT

RUNS = 40_000


def test_the_decoder_refuses_or_decodes_whatever_a_fuzzer_finds(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for path in transcripts():
        for line in read(path):
            (corpus / hashlib.sha256(line.frame).hexdigest()).write_bytes(line.frame)
    command = [sys.executable, "-P", "-m", "tests.fuzz.decoder", str(corpus), f"-runs={RUNS}", "-seed=1"]
    done = subprocess.run(
        [*command, f"-artifact_prefix={tmp_path}/"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"Done {RUNS} runs" in done.stderr
