"""The embedded server as a process: it keeps its data, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import psutil
import pytest

from datalab.errors import ExitCode, ServiceFailedError
from datalab.home import Home
from datalab.storage.service import SERVICE
from datalab.storage.store import connect
from datalab.supervisor import Supervisor


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "datalab.toml").write_text("[ports]\nobject_store = 0\n", encoding="utf-8")
    return Home(tmp_path)


def test_objects_outlive_a_restart_and_the_server_does_not_outlive_a_kill(home: Home) -> None:
    with Supervisor() as supervisor:
        supervisor.start(SERVICE.name, SERVICE.module, home)
        connect(home).put_bytes("data/kept", b"still here")
    assert not (home.path / "run" / "object-store.json").exists()
    with Supervisor() as supervisor:
        wrapper = supervisor.start(SERVICE.name, SERVICE.module, home)
        with connect(home).open("data/kept") as kept:
            assert kept.read() == b"still here"
        [server] = psutil.Process(wrapper.pid).children()
        os.kill(wrapper.pid, signal.SIGKILL)
        server.wait(5)
        assert not server.is_running()


def test_a_server_that_dies_ends_its_service_with_a_sentence(home: Home) -> None:
    with Supervisor() as supervisor:
        wrapper = supervisor.start(SERVICE.name, SERVICE.module, home)
        psutil.Process(wrapper.pid).children()[0].kill()
        wrapper.wait(5)
        with pytest.raises(ServiceFailedError, match="ended by itself"):
            supervisor.check()


def test_a_taken_port_is_one_sentence(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, Supervisor() as supervisor:
        port = other.getsockname()[1]
        with pytest.raises(ServiceFailedError, match=f"127.0.0.1:{port}") as taken:
            supervisor.start(SERVICE.name, SERVICE.module, home, environment={"DATALAB_PORTS__OBJECT_STORE": str(port)})
    assert taken.value.exit_code is ExitCode.PORT_TAKEN
