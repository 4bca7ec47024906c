"""What keeps user namespaces from bubblewrap is called by its name: on a made-up /proc, and on the real one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from federation.sandbox.namespaces import restriction

DOCTOR = [str(Path(sys.executable).with_name("datalab")), "doctor", "--json", "--home"]
FREE = {
    "user.max_user_namespaces": "96365",
    "kernel.unprivileged_userns_clone": "1",
    "kernel.apparmor_restrict_unprivileged_userns": "0",
}


def machine(root: Path, settings: dict[str, str]) -> Path:
    """Lay out the settings of a kernel below ``root``."""
    for name, value in settings.items():
        path = root.joinpath("proc", "sys", *name.split("."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n", encoding="ascii")
    return root


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("user.max_user_namespaces", "0", "user.max_user_namespaces = 15000"),
        ("kernel.unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone = 1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "/etc/apparmor.d/"),
    ],
)
def test_each_setting_has_its_own_remedy(tmp_path: Path, setting: str, value: str, remedy: str) -> None:
    found = restriction(machine(tmp_path, {**FREE, setting: value}), privileged=False)
    assert found is not None
    assert found.setting == setting
    assert setting in found.what
    assert remedy in found.remedy


@pytest.mark.parametrize("settings", [FREE, {}, {"user.max_user_namespaces": "1"}], ids=["free", "none known", "few"])
def test_a_kernel_that_forbids_nothing_is_not_blamed(tmp_path: Path, settings: dict[str, str]) -> None:
    assert restriction(machine(tmp_path, settings), privileged=False) is None


def test_only_the_limit_counts_for_root(tmp_path: Path) -> None:
    forbidden = {"kernel.unprivileged_userns_clone": "0", "kernel.apparmor_restrict_unprivileged_userns": "1"}
    assert restriction(machine(tmp_path, forbidden), privileged=True) is None
    found = restriction(machine(tmp_path, {"user.max_user_namespaces": "0"}), privileged=True)
    assert found is not None


@pytest.mark.parametrize("limit", ["0", "100"])
def test_the_doctor_names_a_real_limit(tmp_path: Path, limit: str) -> None:
    """The limit is set in a user namespace of the test's own, whose ordinary user then asks the doctor."""
    ordinary = ["setpriv", "--ambient-caps=-all", "--inh-caps=-all", *DOCTOR, str(tmp_path)]
    script = f'echo {limit} > /proc/sys/user/max_user_namespaces && exec "$@"'
    apart = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps", "bash", "-c", script, "bash"]
    done = subprocess.run([*apart, *ordinary], capture_output=True, text=True, check=False)
    checks = {one["name"]: one for one in json.loads(done.stdout)}
    assert ("user.max_user_namespaces is 0" in checks["sandbox"]["what"]) == (limit == "0")
    assert ("user.max_user_namespaces = 15000" in checks["sandbox"]["remedy"]) == (limit == "0")
