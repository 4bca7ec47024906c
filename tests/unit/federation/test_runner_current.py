"""For how long a node takes tasks of a runner: as long as its certificate counts, give or take what clocks differ."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from datalab.errors import RefusedError
from federation.node.trust import check_runner_current
from federation.pki.authority import create_authority
from federation.pki.identity import Identity, Role, holder_from_pem
from federation.pki.keys import certificate_request, new_key


def test_a_runner_whose_certificate_has_expired_is_refused(tmp_path: Path) -> None:
    authority = create_authority(tmp_path / "r", tmp_path / "i", federation="datalab.test", passphrase="secret")
    identity = Identity(authority.federation, Role.RUNNER, "run-1")
    runner = holder_from_pem(authority.issue(certificate_request(new_key()), identity))
    check_runner_current(runner, runner.expires)
    check_runner_current(runner, runner.expires + timedelta(minutes=4))
    with pytest.raises(RefusedError, match=f"runner/run-1 expired at {runner.expires:%Y-%m-%d %H:%M}"):
        check_runner_current(runner, runner.expires + timedelta(minutes=6))
