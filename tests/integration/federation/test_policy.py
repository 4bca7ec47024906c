"""A node's policy over real processes: what its operator wrote, approved or limited is what runs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from datalab.__main__ import cli
from datalab.audit.verification import verify
from datalab.errors import BadInputError, NotFoundError, RefusedError
from datalab.permits.keys import PRIVATE_FILE, PUBLIC_FILE, generate_key, write_key_pair
from datalab.supervisor import Supervisor
from federation.bundle import digest, pack
from federation.errors import RunFailedError
from federation.lab import nodes as known_nodes
from federation.node.ledger import LEDGER_FILE, read_spendings
from tests.support.federation import DATASET, ECHO, Federation


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A gateway; each test lays out its own node."""
    with Supervisor() as supervisor:
        yield Federation(tmp_path_factory.mktemp("policy"), supervisor)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A copy of the echo app that declares a privacy budget."""
    shutil.copytree(ECHO, tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    project = tmp_path / "app" / "pyproject.toml"
    project.write_text(project.read_text(encoding="utf-8") + "privacy-epsilon = 0.0\n", encoding="utf-8")
    return tmp_path / "app"


def command(*arguments: str | Path, answer: str | None = None) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments], input=answer)


def describe(folder: Path, lab: Federation, **changes: Any) -> Path:
    (folder / "permit.jws").write_text(lab.permit(), encoding="ascii")
    said = {"app": str(ECHO), "dataset": DATASET, "purpose": "e-ii", "permit": "permit.jws", **changes}
    (folder / "offer.json").write_text(json.dumps(said), encoding="utf-8")
    return folder / "offer.json"


def clauses(output: str) -> dict[str, str]:
    """Return each clause of a table with what it says, yes or no."""
    rows = (re.match(r"^(\S.*?)\s+│ (yes|no)\s+│", line) for line in output.splitlines())
    return {row[1]: row[2] for row in rows if row is not None}


def restart(lab: Federation, name: str) -> None:
    agent = lab.processes[name]
    agent.kill()
    agent.wait()
    lab.supervisor.forget(agent)
    lab.node_home(name).withdraw("node")
    lab.start_node(name)
    lab.wait_for(name)


def test_an_app_runs_once_the_operator_has_approved_it_and_no_restart_is_needed(lab: Federation, app: Path) -> None:
    home = lab.add_node("approving", apps=()).path
    lab.wait_for("approving")
    with pytest.raises(RunFailedError, match="is not approved on this node"):
        lab.run(["approving"], app=app)
    declined = command("node", "approve", app, "--home", home, answer="n\n")
    assert declined.exit_code != 0
    assert digest(pack(app)) in declined.output
    assert "+++ now/echo/client_app.py" in declined.output
    with pytest.raises(RunFailedError, match="is not approved on this node"):
        lab.run(["approving"], app=app)
    assert command("node", "approve", app, "--home", home, answer="y\n").exit_code == 0
    assert lab.run(["approving"], app=app).read_card()["outcome"] == "completed"

    client = app / "echo" / "client_app.py"
    client.write_text(
        client.read_text(encoding="utf-8").replace('"num-examples": 1,', '"num-examples": 2,', 1), encoding="utf-8"
    )
    with pytest.raises(RunFailedError, match="is not approved on this node"):
        lab.run(["approving"], app=app)
    approved = command("node", "approve", app, "--home", home, "--yes")
    assert "Changes since 1.0.0" in approved.output
    assert '+    metrics = MetricRecord({"num-examples": 2, "loss": _loss(arrays)})' in approved.output
    assert "server_app.py\n@@" not in approved.output
    assert lab.run(["approving"], app=app).read_card()["outcome"] == "completed"
    assert verify(home / "audit.jsonl").intact


def test_approve_says_which_home_it_is_for(lab: Federation, tmp_path: Path) -> None:
    home = lab.node_home("approving").path
    assert isinstance(command("node", "approve", ECHO, "--home", tmp_path).exception, NotFoundError)
    assert command("node", "approve", ECHO, "--home", home, "--key", "x").exit_code == 2
    assert command("node", "approve", "leiden", "--home", lab.lab.path, "--yes").exit_code == 2
    member = command("node", "approve", "leiden", "--home", lab.lab.path, "--key", "ab" * 32)
    assert member.exception is not None
    assert "leiden" in str(member.exception)
    (lab.lab.path / "node.toml").touch()
    try:
        assert isinstance(command("node", "approve", "x", "--home", lab.lab.path).exception, BadInputError)
    finally:
        (lab.lab.path / "node.toml").unlink()


def test_an_app_of_a_trusted_signer_runs_within_the_signers_limits(lab: Federation, app: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    write_key_pair(generate_key(), keys)
    home = lab.node_home("signed")
    home.folder()
    shutil.copyfile(keys / PUBLIC_FILE, home.path / "signer.jwk")
    free = "arrays, bytes, distinct, fickle, fraction, noise, pause, remember, spoil".replace(",", " = {},") + " = {}"
    limits = f'{free}, num-server-rounds = {{ min = 1, max = 2 }}, spoil-node = {{ values = [""] }}'
    lab.add_node(
        "signed",
        apps=(),
        policy=f'[[policy.signers]]\nkey = "signer.jwk"\nconfig = {{ {limits}, privacy-epsilon = {{ max = 0 }} }}',
    )
    lab.wait_for("signed")
    assert command("app", "sign", app, "--key", keys / PRIVATE_FILE, "--out", tmp_path / "app.sig").exit_code == 0
    signature = (tmp_path / "app.sig").read_text(encoding="ascii").strip()
    run = lab.run(["signed"], app=app, app_signature=signature, config={"num-server-rounds": 2})
    assert run.read_card()["outcome"] == "completed"
    with pytest.raises(RunFailedError, match="num-server-rounds must be at least 1 and at most 2"):
        lab.run(["signed"], app=app, app_signature=signature, config={"num-server-rounds": 3})
    with pytest.raises(RunFailedError, match="it is not signed"):
        lab.run(["signed"], app=app)
    with pytest.raises(RunFailedError, match="signature is by nobody"):
        lab.run(["signed"], app=ECHO, app_signature=signature)
    checked = command("node", "check", "--home", home.path, "--run-folder", run.path)
    assert checked.exit_code == 0, checked.output
    assert set(clauses(checked.output).values()) == {"yes"}


def test_runs_a_day_and_privacy_are_spent_before_a_run_and_a_kill_gives_nothing_back(
    lab: Federation, app: Path, tmp_path: Path
) -> None:
    noon = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"  # so that the day does not end in the middle of the test
    policy = f'maximum_runs_a_day = 3\ntime_zone = "{noon}"\nprivacy.required = true'
    home = lab.add_node("frugal", apps=(app,), policy=policy, dataset="privacy_budget = 1.0").path
    lab.wait_for("frugal")
    once: dict[str, Any] = {"num-server-rounds": 1}
    with pytest.raises(RunFailedError, match="asks every run to declare"):
        lab.run(["frugal"], app=app, config=once)
    assert known_nodes(lab.lab)["frugal"].privacy_left == {DATASET: 1.0}
    lab.run(["frugal"], app=app, config={**once, "privacy-epsilon": 0.4})
    assert known_nodes(lab.lab)["frugal"].privacy_left == {DATASET: 0.6}  # and the lab can say so before a launch
    with pytest.raises(RunFailedError, match="more than is left"):
        lab.run(["frugal"], app=app, config={**once, "privacy-epsilon": 0.7})

    def kill(_: object, event: dict[str, Any]) -> None:
        if event["event"] == "round" and event["number"] == 1:
            lab.processes["frugal"].kill()

    config: dict[str, Any] = {"num-server-rounds": 500, "privacy-epsilon": 0.5}
    with pytest.raises(RunFailedError):
        lab.run(["frugal"], app=app, config=config, grace=1.0, while_running=kill)
    restart(lab, "frugal")
    assert [str(one.epsilon) for one in read_spendings(home)] == ["0.4", "0.5"]
    with pytest.raises(RunFailedError, match="more than is left"):
        lab.run(["frugal"], app=app, config={**once, "privacy-epsilon": 0.2})
    lab.run(["frugal"], app=app, config={**once, "privacy-epsilon": 0.1})
    with pytest.raises(RunFailedError, match="as many runs today"):
        lab.run(["frugal"], app=app, config={**once, "privacy-epsilon": 0.1})

    checked = command("node", "check", describe(tmp_path, lab, app=str(app)), "--home", home)
    assert {name for name, said in clauses(checked.output).items() if said == "no"} == {"runs a day", "privacy budget"}
    assert isinstance(checked.exception, RefusedError)
    assert str(checked.exception) == "This node would not take part: runs a day, privacy budget."

    entries = [json.loads(line) for line in (home / "audit.jsonl").read_bytes().splitlines()]
    charged = [one["details"]["ledger_head"] for one in entries if one["event"] == "run charged"]
    assert len(charged) == 3
    assert command("audit", "verify", home / LEDGER_FILE, "--head", charged[-1]).exit_code == 0


def test_outside_the_hours_nothing_runs(lab: Federation) -> None:
    later = datetime.now(UTC) + timedelta(hours=2)
    lab.add_node("closed", policy=f'hours = "{later:%H:%M}-{later + timedelta(hours=1):%H:%M}"')
    lab.wait_for("closed")
    with pytest.raises(RunFailedError, match=r"takes part in runs from .* \(UTC\) only"):
        lab.run(["closed"])


def test_data_users_that_the_node_does_not_serve_are_refused_although_they_have_a_permit(lab: Federation) -> None:
    lab.add_node("choosy", policy='users = ["University"]\nprojects = ["Test"]')
    lab.wait_for("choosy")
    with pytest.raises(RunFailedError, match="does not serve the data user"):
        lab.run(["choosy"])
    assert lab.run(["choosy"], permit=lab.permit(data_user="University")).read_card()["outcome"] == "completed"
    with pytest.raises(RunFailedError, match="does not serve the project"):
        lab.run(["choosy"], permit=lab.permit(data_user="University", project="Another"))


class TestCheck:
    """``datalab node check`` with a description."""

    def test_it_names_every_clause_and_not_only_the_first_that_refuses(self, lab: Federation, tmp_path: Path) -> None:
        home = lab.node_home("choosy").path
        before = {path: path.read_bytes() for path in home.rglob("*.jsonl")}
        checked = command("node", "check", describe(tmp_path, lab, purpose="f", version=2), "--home", home)
        said = clauses(checked.output)
        assert len(said) == 15
        refused = [name for name, one in said.items() if one == "no"]
        assert refused == ["dataset", "purpose", "permit: purpose", "data user", "minimum rows", "privacy budget"]
        assert {path: path.read_bytes() for path in home.rglob("*.jsonl")} == before

    @pytest.mark.parametrize(
        ("changes", "error", "said"),
        [
            ({"purpose": None}, BadInputError, "purpose"),
            ({"secret": "x"}, BadInputError, "secret"),
            ({"permit": "nowhere"}, NotFoundError, "nowhere"),
            ({"app": "nowhere"}, NotFoundError, "nowhere"),
            ({"config": {"rounds": 1}}, BadInputError, "no setting rounds"),
        ],
    )
    def test_a_slip_in_the_description_is_said(
        self, lab: Federation, tmp_path: Path, changes: dict[str, Any], error: type[Exception], said: str
    ) -> None:
        offer = describe(tmp_path, lab, **changes)
        checked = command("node", "check", offer, "--home", lab.node_home("choosy").path)
        assert isinstance(checked.exception, error)
        assert said in str(checked.exception)

    def test_it_wants_one_run(self, lab: Federation, tmp_path: Path) -> None:
        home = lab.node_home("choosy").path
        assert command("node", "check", "--home", home).exit_code == 2
        offer = describe(tmp_path, lab)
        assert command("node", "check", offer, "--run-folder", tmp_path, "--home", home).exit_code == 2

    def test_a_dataset_that_was_never_prepared_is_said_to_be_none(self, lab: Federation, tmp_path: Path) -> None:
        shutil.copytree(lab.node_home("choosy").path, tmp_path / "home", ignore=shutil.ignore_patterns("curated"))
        checked = command("node", "check", describe(tmp_path, lab), "--home", tmp_path / "home")
        assert isinstance(checked.exception, NotFoundError)
        assert "has not been prepared yet" in str(checked.exception)
