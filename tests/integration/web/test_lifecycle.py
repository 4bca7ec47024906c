from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catalog import steward_commands
from catalog.client import lab_client
from catalog.errors import ConflictError
from catalog.records import DatasetState, Role
from datalab.home import Home
from datalab.storage.store import ObjectStore
from tests.integration.catalog.conftest import Staging
from tests.support.pages import Person, signed_in
from tests.unit.catalog.examples import draft


@pytest.fixture
def name() -> str:
    """A dataset of this test's own."""
    return f"atlas-{uuid.uuid4().hex[:8]}"


def run(command: str, *arguments: str, home: Home) -> Result:
    found = getattr(steward_commands, command)
    return CliRunner().invoke(found, [*arguments, "--home", str(home.path)], catch_exceptions=True)


def test_a_draft_is_published_withdrawn_deleted_and_restored_in_the_browser(
    catalog_home: Home, people: dict[Role, Person], name: str
) -> None:
    with (
        lab_client(catalog_home, "operator") as client,
        signed_in(catalog_home, people[Role.STEWARD]) as steward,
        signed_in(catalog_home, people[Role.RESEARCHER]) as researcher,
    ):
        client.register_dataset(draft(id=name, title=f"Title of {name}"), state=DatasetState.DRAFT)
        assert researcher.get(f"/datasets/{name}").status_code == 404
        assert f"Title of {name}" not in researcher.get(f"/datasets?q={name}").text
        assert researcher.get("/unpublished").status_code == 403
        assert f"Title of {name}" in steward.get("/unpublished").text
        for revision, state in enumerate(("published", "withdrawn", "deleted", "draft"), 1):
            assert f'value="{state}"' in steward.get(f"/datasets/{name}/state").text
            form = {"state": state, "reason": "Asked for.", "revision": str(revision)}
            assert steward.post(f"/datasets/{name}/state", data=form).status_code == 303
            stale = steward.post(f"/datasets/{name}/state", data=form)
            assert stale.status_code == 422
            assert "Somebody else has changed this dataset meanwhile." in stale.text
            seen = researcher.get(f"/datasets/{name}")
            assert seen.status_code == (200 if state in {"published", "withdrawn"} else 404)
            found = f'href="/datasets/{name}"' in researcher.get(f"/datasets?q={name}").text
            assert found == (state == "published")
        assert client.dataset(name).state is DatasetState.DRAFT
        wrong = steward.post(f"/datasets/{name}/state", data={"state": "gone", "revision": "5"})
        assert wrong.status_code == 422
        assert "Choose what is to become of it." in wrong.text


def test_two_versions_are_compared_and_one_is_withdrawn(
    catalog_home: Home, people: dict[Role, Person], name: str, staging: Staging, object_store: ObjectStore
) -> None:
    del object_store
    with (
        lab_client(catalog_home, "operator") as client,
        lab_client(catalog_home, "pipeline") as pipeline,
        lab_client(catalog_home, "compute") as compute,
        signed_in(catalog_home, people[Role.STEWARD]) as http,
    ):
        client.register_dataset(draft(id=name))
        pipeline.publish(name, staging.request(name, f"{name}-1", rows=30))
        assert "/compare" not in http.get(f"/datasets/{name}").text
        pipeline.publish(name, staging.request(name, f"{name}-2", rows=55))
        shown = http.get(f"/datasets/{name}/compare")
        assert shown.status_code == 200
        assert "+25" in shown.text
        assert http.get(f"/datasets/{name}/compare?before=1&after=9").status_code == 404
        assert http.get(f"/datasets/{name}/compare?before=2&after=1").text.count("Unchanged") == 3
        printed = run("compare", name, "1", "2", "--json", home=catalog_home)
        counts = {one["name"]: (one["before"], one["after"]) for one in json.loads(printed.stdout)["counts"]}
        assert counts["rows"] == (30, 55)
        assert "+25" in run("compare", name, "1", "2", home=catalog_home).stdout

        assert http.post(f"/datasets/{name}/versions/1/withdraw", data={"reason": " "}).status_code == 422
        assert http.post(f"/datasets/{name}/versions/1/withdraw", data={"reason": "Wrong units"}).status_code == 303
        assert "Wrong units" in http.get(f"/datasets/{name}/versions").text
        with pytest.raises(ConflictError, match="stella has withdrawn"):
            client.withdraw_version(name, 1, "again")
        with pytest.raises(Exception, match="Wrong units"):
            compute.files(name, 1)
        assert len(compute.files(name, 2)) == 1


def test_a_dataset_is_edited_and_moved_at_the_command_line(catalog_home: Home, name: str, tmp_path: Path) -> None:
    changes = tmp_path / "changes.toml"
    changes.write_text('title = "Another title"\n\n[retention]\nend = 2040-12-31\n')
    with lab_client(catalog_home, "operator") as client:
        client.register_dataset(draft(id=name))
        assert "revision 2" in run("edit", name, str(changes), "--revision", "1", home=catalog_home).stdout
        found = client.dataset(name)
        assert (found.title, str(found.retention and found.retention.end)) == ("Another title", "2040-12-31")
        stale = run("edit", name, str(changes), "--revision", "1", home=catalog_home)
        assert isinstance(stale.exception, ConflictError)
        assert "operator" in stale.exception.what
        assert "retention, title" in stale.exception.what
        moved = run("move", name, "withdrawn", "--reason", "Old", "--revision", "2", home=catalog_home)
        assert moved.stdout == f"{name} is withdrawn; it is at revision 3.\n"
        refused = run("move", name, "draft", "--revision", "3", home=catalog_home)
        assert isinstance(refused.exception, ConflictError)
        assert "cannot become draft" in refused.exception.what
        assert [one.action for one in client.events(after=0) if one.subject == f"dataset/{name}"] == [
            "dataset.registered",
            "dataset.updated",
            "dataset.withdrawn",
        ]


def test_a_person_is_erased_at_the_command_line_and_no_argument_names_them(catalog_home: Home, tmp_path: Path) -> None:
    file = tmp_path / "pseudonym"
    file.write_text("person-4711\n")
    said = run("erase", "nobodys-holder", str(file), "--reason", "EHDS Art. 71", home=catalog_home)
    assert said.stdout.startswith("Nothing that the lab keeps of nobodys-holder names this person: is the pseudonym")
    with lab_client(catalog_home, "operator") as client, lab_client(catalog_home, "pipeline") as pipeline:
        (done,) = [one for one in client.erasures() if one.holder == "nobodys-holder"]
        assert (done.state, done.versions, done.uploads) == ("done", (), ())
        assert pipeline.opt_outs("nobodys-holder").marks == (done.mark,)
        assert "person-4711" not in done.model_dump_json()
