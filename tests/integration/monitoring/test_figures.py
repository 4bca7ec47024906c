"""What lab, gateway and node tell Prometheus: of a real run, by real processes, and read by a real Prometheus."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from catalog.client import lab_client
from catalog.records import Announcement
from catalog.run_records import DatasetVersion, RunDraft, RunPatch, RunState
from catalog.service import SERVICE
from datalab.home import Home
from datalab.supervisor import Supervisor
from tests.integration.catalog.conftest import home_beside
from tests.support.federation import DATASET, ROOT, Federation
from tests.support.waiting import wait_until
from tests.unit.catalog.examples import SHA, at_site, report

NODES = ("delft", "emmen")
PROMETHEUS = ROOT / "deploy" / "prometheus"
WITH_PROMETHEUS = pytest.mark.skipif(not shutil.which("prometheus"), reason="needs the package prometheus")
Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def addresses(lab_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where lab, gateway and a node tell their figures, after a run of three rounds."""
    with pytest.MonkeyPatch.context() as patch, Supervisor() as supervisor:
        patch.setenv("DATALAB_METRICS__LAB", "0")
        patch.setenv("DATALAB_METRICS__GATEWAY", "0")
        federation = Federation(tmp_path_factory.mktemp("figures"), supervisor)
        for name in NODES:
            federation.add_node(name, dataset="[metrics]\nport = 0")
        federation.wait_for(*NODES)
        federation.run(NODES, config={"num-server-rounds": 3})

        lab = home_beside(lab_home, tmp_path_factory.mktemp("lab-figures"))
        (lab.path / "datalab.toml").write_text(
            '[ports]\nlab = 0\n[compute.organisations.lab]\nkind = "academia"\n'
            f'[backup]\nfolder = "{lab.path / "backup"}"\nevery = 0.2\n'
        )
        supervisor.start(SERVICE.name, SERVICE.module, lab)
        with lab_client(lab, "operator") as client:
            client.register_dataset(at_site(steward="rosa-the-steward"))
        with lab_client(lab, "gateway") as client:
            client.announce("gbsg", Announcement(node="rotterdam", version=1, report=report()))
        record_run(lab)
        yield {
            "lab": lab.address("lab")["metrics"],
            "gateway": federation.lab.address("gateway")["metrics"],
            "node": federation.node_home(NODES[0]).address("node")["metrics"],
        }


def record_run(lab: Home) -> None:
    trained = DatasetVersion(dataset="gbsg", version=1)
    with lab_client(lab, "runner") as client:
        run = client.create_run(RunDraft(id="run-4711", app_digest=SHA, datasets=(trained,), nodes=("rotterdam",)))
        client.update_run(run.id, RunPatch(state=RunState.RUNNING), revision=run.revision)


def read(address: str) -> Figures:
    """Return every sample of a page, as Prometheus' own parser reads it."""
    answer = httpx.get(address)
    assert answer.status_code == 200
    found: Figures = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def test_a_gateway_tells_of_nodes_and_of_what_passed_through(addresses: dict[str, str]) -> None:
    said = read(addresses["gateway"])
    assert said["datalab_gateway_sessions", (("role", "node"),)] == 2
    assert [said["datalab_gateway_node_up", (("node", name),)] for name in NODES] == [1, 1]
    assert said["datalab_gateway_rounds_total", ()] == 3
    assert said["datalab_gateway_tasks_total", (("kind", "train"),)] == 6
    assert said["datalab_gateway_tasks_total", (("kind", "evaluate"),)] == 6
    assert said["datalab_gateway_replies_total", (("result", "replied"),)] == 12
    assert said["datalab_gateway_replies_total", (("result", "app_failed"),)] == 0
    assert said["datalab_gateway_task_seconds_count", ()] == 12
    assert said["datalab_gateway_task_seconds_bucket", (("le", "+Inf"),)] == 12
    assert said["datalab_gateway_bytes_total", (("direction", "to_node"),)] > 1000
    assert (said["datalab_gateway_runs_total", ()], said["datalab_gateway_runs_open", ()]) == (1, 0)
    assert len([one for one in said if "expiry" in one[0]]) == 3 + len(NODES)


def test_a_node_tells_of_its_own_work(addresses: dict[str, str]) -> None:
    said = read(addresses["node"])
    assert said["datalab_node_connected", ()] == 1
    assert said["datalab_node_decisions_total", (("decision", "accepted"),)] == 1
    assert said["datalab_node_tasks_total", (("result", "replied"),)] == 6
    assert said["datalab_node_tasks_total", (("result", "refused"),)] == 0
    assert said["datalab_node_certificate_expiry_timestamp_seconds", ()] > 1e9


def test_a_lab_tells_of_runs_requests_and_backups(addresses: dict[str, str]) -> None:
    said = read(addresses["lab"])
    assert [said["datalab_runs", (("state", one),)] for one in ("running", "finished")] == [1, 0]
    changed = (("method", "PATCH"), ("status", "2xx"), ("surface", "api"))
    assert said["datalab_http_request_seconds_count", changed] == 1
    assert said["datalab_queue_runs", (("class", "sme"),)] == 0
    wait_until(lambda: read(addresses["lab"])["datalab_backup_timestamp_seconds", ()] > 1e9, "there is a backup")


def test_figures_name_no_person_dataset_or_run(addresses: dict[str, str]) -> None:
    for address in addresses.values():
        text = httpx.get(address).text
        for name in ("run-4711", "gbsg", DATASET, "rosa", "operator", "Researcher"):
            assert name not in text
        assert len(text.splitlines()) < 400


def test_only_this_machine_may_ask_and_only_for_that_page(addresses: dict[str, str]) -> None:
    for address in addresses.values():
        url = httpx.URL(address)
        assert httpx.get(url, headers={"Host": "figures.example.org"}).status_code == 404
        assert httpx.get(url.copy_with(path="/")).status_code == 404
        assert httpx.post(url).status_code == 501
        with socket.socket() as elsewhere, pytest.raises(ConnectionRefusedError):
            elsewhere.connect(("127.0.0.2", url.port))  # of this machine, but not the one that is listened on


@pytest.mark.slow
@WITH_PROMETHEUS
def test_promtool_finds_nothing_wrong(addresses: dict[str, str]) -> None:
    for address in addresses.values():
        text = httpx.get(address).content
        linted = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
        assert (linted.returncode, linted.stderr, linted.stdout) == (0, b"", b"")
    config = PROMETHEUS / "prometheus.yml"
    checked = subprocess.run(["promtool", "check", "config", config], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.slow
@WITH_PROMETHEUS
def test_a_real_prometheus_reads_them_and_judges_by_the_alerts(addresses: dict[str, str], tmp_path: Path) -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "200ms", "evaluation_interval": "200ms"}
    for job in config["scrape_configs"]:
        name = job["job_name"].removeprefix("datalab-")
        job["static_configs"] = [{"targets": [httpx.URL(addresses[name]).netloc.decode()]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copyfile(PROMETHEUS / "alerts.yml", tmp_path / "alerts.yml")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            wait_until(lambda: asked(port, "sum(up)") == ["2"], "Prometheus has read both")
            assert asked(port, "sum(datalab_gateway_node_up)") == ["2"]
            assert asked(port, "datalab_runs{state='running'}") == ["1"]
            assert asked(port, "histogram_quantile(0.9, datalab_gateway_task_seconds_bucket) > 0") != []
            rules = httpx.get(f"http://127.0.0.1:{port}/api/v1/rules").json()["data"]["groups"][0]["rules"]
            assert len(rules) == (PROMETHEUS / "alerts.yml").read_text().count("- alert:")
            wait_until(lambda: all_judged(port), "every alert was judged")
            assert asked(port, "ALERTS") == []
        finally:
            server.terminate()
            server.wait(30)


def asked(port: int, query: str) -> list[str]:
    """Return the values that a query of Prometheus gives; nothing while it does not answer."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}).json()
    except (httpx.HTTPError, json.JSONDecodeError):
        return []
    assert answer["status"] == "success", answer
    return [one["value"][1] for one in answer["data"]["result"]]


def all_judged(port: int) -> bool:
    groups = httpx.get(f"http://127.0.0.1:{port}/api/v1/rules").json()["data"]["groups"]
    return all(rule["health"] == "ok" for group in groups for rule in group["rules"])
