"""Processes are started, waited for, explained when they fail, and stopped whatever happens."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from datalab.errors import DatalabError, ExitCode, NotFoundError, PortTakenError
from datalab.home import Home
from datalab.service import check_port, free_ports, installed_services
from datalab.supervisor import Supervisor

SERVICE = """
import sys, time
from datalab.errors import PortTakenError
from datalab.service import run_service

def main(home):
    if (home.path / "fail").exists():
        raise PortTakenError("The port is taken.", next_step="Use another.")
    if (home.path / "crash").exists():
        sys.exit(77)
    home.announce("toy", where="here")
    time.sleep(60)

run_service(main)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    (tmp_path / "toy_service.py").write_text(SERVICE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Home(tmp_path / "home")


def test_a_service_announces_itself_and_ends_with_the_supervisor(home: Home) -> None:
    with Supervisor() as supervisor:
        child = supervisor.start("toy", "toy_service", home)
        assert home.address("toy") == {"pid": child.pid, "where": "here"}
        supervisor.check()
    assert not psutil.pid_exists(child.pid)
    with pytest.raises(NotFoundError, match="is not running"):
        home.address("toy")


def test_the_error_of_a_service_is_the_supervisors(home: Home) -> None:
    (home.folder() / "fail").touch()
    with Supervisor() as supervisor, pytest.raises(DatalabError, match=r"The port is taken\. Use another\.") as failed:
        supervisor.start("toy", "toy_service", home)
    assert failed.value.exit_code == ExitCode.PORT_TAKEN


def test_a_crash_without_a_word_names_the_log(home: Home) -> None:
    (home.folder() / "crash").touch()
    with Supervisor() as supervisor, pytest.raises(DatalabError, match=r"exit code 77\); its log is .*toy\.log"):
        supervisor.start("toy", "toy_service", home)


def test_a_service_that_ends_later_is_noticed(home: Home) -> None:
    with Supervisor() as supervisor:
        child = supervisor.start("toy", "toy_service", home)
        child.kill()
        child.wait()
        with pytest.raises(DatalabError, match="ended unexpectedly"):
            supervisor.check()


def test_what_already_runs_is_not_disturbed(home: Home) -> None:
    with Supervisor() as first, Supervisor() as second:
        child = first.start("toy", "toy_service", home)
        with pytest.raises(DatalabError, match=rf"already running in .* \(process {child.pid}\)"):
            second.start("toy", "toy_service", home)
        assert home.address("toy")["pid"] == child.pid


def test_services_come_after_what_they_need() -> None:
    names = [service.name for service in installed_services()]
    assert names.index("object-store") < names.index("lab") < names.index("gateway")


def test_a_taken_port_is_said_with_what_to_do(tmp_path: Path) -> None:
    import socket

    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(PortTakenError, match=r"set another one under \[ports\]"),
    ):
        check_port("lab", "127.0.0.1", taken.getsockname()[1])
    assert len(set(free_ports("127.0.0.1", 5))) == 5


def test_secrets_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    secret = home.secret("token")
    assert len(secret) == 43
    assert home.secret("token") == secret != home.secret("another")
    assert (tmp_path / "home" / "secrets" / "token").stat().st_mode & 0o777 == 0o600
