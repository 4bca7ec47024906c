from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog.client import lab_client
from catalog.commands import list_datasets, search, show
from catalog.service import SERVICE
from datalab.errors import DatalabError, NotFoundError
from datalab.home import Home
from datalab.service import installed_services
from datalab.supervisor import Supervisor
from tests.integration.catalog.conftest import Staging, home_beside
from tests.unit.catalog.examples import at_site, draft


def test_the_lab_is_one_of_the_installed_services() -> None:
    names = [service.name for service in installed_services()]
    assert names.index("object-store") < names.index("lab")


def test_a_second_lab_server_on_the_same_catalog_is_refused(catalog_home: Home, lab_home: Home) -> None:
    second = home_beside(lab_home, catalog_home.path)
    first = catalog_home.address("lab")
    with Supervisor() as supervisor, pytest.raises(DatalabError, match="Another process has the catalog open"):
        supervisor.start("second-lab", SERVICE.module, second)
    assert first == catalog_home.address("lab")
    with lab_client(catalog_home, "operator") as client:
        client.health()


def test_a_lab_ends_cleanly_and_comes_back_with_what_it_knew(lab_home: Home, tmp_path: Path) -> None:
    home = home_beside(lab_home, tmp_path)
    with Supervisor() as supervisor:
        child = supervisor.start(SERVICE.name, SERVICE.module, home)
        with lab_client(home, "operator") as client:
            registered = client.register_dataset(draft())
            child.send_signal(signal.SIGTERM)
            assert child.wait(10) == 0
    with pytest.raises(NotFoundError):
        home.address("lab")
    assert [one.name for one in (tmp_path / "catalog").iterdir() if one.suffix == ".wal"] == []

    with Supervisor() as supervisor:
        child = supervisor.start(SERVICE.name, SERVICE.module, home)
        child.kill()
        child.wait()
        supervisor.stop(SERVICE.name)
        supervisor.start(SERVICE.name, SERVICE.module, home)
        with lab_client(home, "operator") as client:
            assert client.dataset("gbsg") == registered
    log = home.log_file("lab").read_text()
    assert "Traceback" not in log
    for secret in (one for one in (tmp_path / "secrets").rglob("*") if one.is_file()):
        assert secret.read_text() not in log


def test_the_command_line_shows_the_catalog(catalog_home: Home, staging: Staging) -> None:
    with lab_client(catalog_home, "operator") as client, lab_client(catalog_home, "pipeline") as pipeline:
        client.register_dataset(draft(id="shown"))
        client.register_dataset(at_site(id="unseen"))
        pipeline.publish("shown", staging.request("shown", "shown"))
    home = ["--home", str(catalog_home.path)]

    def output(*arguments: str) -> str:
        command = {"list": list_datasets, "search": search, "show": show}[arguments[0]]
        done = CliRunner(env={"COLUMNS": "200"}).invoke(command, [*arguments[1:], *home], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    table = output("list")
    assert [line.split()[0] for line in table.splitlines() if "personal" in line] == ["shown", "unseen"]
    assert "none" in table
    listed = json.loads(output("list", "--json"))
    assert [(one["id"], len(one["versions"])) for one in listed] == [("shown", 1), ("unseen", 0)]
    found = output("search", "grman", "brest", "--country", "DE")
    assert "shown" in found
    assert "country: DE" in found
    assert json.loads(output("search", "--holder", "nobody", "--json"))["total"] == 0
    shown = output("show", "shown")
    assert "German Breast Cancer Study Group" in shown
    assert "every row is accounted for" in shown
    assert "3 rows, 1 rejected; 2 columns" in shown
    assert json.loads(output("show", "shown", "--json"))["versions"][0]["report"]["rows"] == 3
    with pytest.raises(NotFoundError, match="no dataset nowhere"):
        output("show", "nowhere")
