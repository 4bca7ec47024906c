"""Taking anonymous data away in a browser: who may, under what, and what is on record of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from catalog.client import lab_client
from catalog.records import Role
from datalab.canonical import sha256_hex
from datalab.home import Home
from datalab.permits.claims import PermitClaims, PermittedDataset, Purpose
from datalab.permits.keys import PUBLIC_FILE, generate_key, write_key_pair
from datalab.permits.permit import sign_permit
from datalab.storage.store import ObjectStore
from tests.integration.catalog.conftest import Staging
from tests.support.pages import Person, signed_in
from tests.unit.catalog.examples import SHA, anonymous, draft

OPEN, ASKED_FOR, PERSONAL = "open-atlas", "restricted-atlas", "personal-atlas"


@pytest.fixture(scope="module")
def published(catalog_home: Home, object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A lab with three published datasets: public, restricted, and of persons."""
    staging = Staging(object_store, tmp_path_factory.mktemp("staging"))
    restricted = anonymous(id=ASKED_FOR).model_copy(update={"access": "restricted"})
    with lab_client(catalog_home, "operator") as client, lab_client(catalog_home, "pipeline") as pipeline:
        for one in (anonymous(id=OPEN), restricted, draft(id=PERSONAL)):
            client.register_dataset(one)
            pipeline.publish(one.id, staging.request(one.id, f"{one.id}-first"))
    return catalog_home


@pytest.fixture
def browser(published: Home, people: dict[Role, Person]) -> Iterator[httpx.Client]:
    with signed_in(published, people[Role.RESEARCHER]) as http:
        yield http


def file_of(dataset: str) -> str:
    return f"/datasets/{dataset}/versions/1/files/0"


def permit(home: Home, person: Person, name: str, apps: tuple[str, ...] = ()) -> None:
    """Have a permit on record that names a person and the restricted dataset."""
    folder = home.folder("access-body", name)
    key = generate_key()
    write_key_pair(key, folder)
    (home.folder("permit-keys") / f"{name}.jwk").write_bytes((folder / PUBLIC_FILE).read_bytes())
    moment = datetime.now(UTC)
    claims = PermitClaims(
        id=name,
        issuer="Access body",
        data_user=person.organisation,
        people=(person.name,),
        project="Atlases",
        purpose=Purpose.RESEARCH_ALGORITHMS,
        datasets=(PermittedDataset(id=ASKED_FOR),),
        apps=apps,
        not_before=moment - timedelta(days=1),
        expires=moment + timedelta(days=30),
    )
    with lab_client(home, "operator") as operator:
        operator.record_permit(sign_permit(claims, key))


def test_public_data_is_taken_away_by_its_name_and_that_is_on_record(published: Home, browser: httpx.Client) -> None:
    assert f'href="/datasets/{OPEN}/versions#version-1"' in browser.get(f"/datasets/{OPEN}").text
    listed = browser.get(f"/datasets/{OPEN}/versions").text
    assert f'href="{file_of(OPEN)}">{OPEN}-v1.parquet</a>' in listed
    answer = browser.get(file_of(OPEN))
    assert answer.status_code == 303
    got = httpx.get(answer.headers["Location"], trust_env=False)
    assert sha256_hex(got.content) in listed
    assert got.headers["Content-Disposition"] == f'attachment; filename="{OPEN}-v1.parquet"'
    with lab_client(published, "operator") as client:
        (event,) = [one for one in client.events() if one.action == "version.downloaded"]
    assert (event.subject, event.details) == (f"dataset/{OPEN}/v1", {"file": 0})
    assert browser.get(file_of(OPEN)[:-1] + "7").status_code == 404


def test_personal_data_is_offered_to_nobody(published: Home, people: dict[Role, Person]) -> None:
    for person in people.values():
        with signed_in(published, person) as http:
            assert "/files/" not in http.get(f"/datasets/{PERSONAL}/versions").text
            assert http.get(file_of(PERSONAL)).status_code == 403


def test_restricted_data_is_for_the_people_of_a_permit_that_is_not_for_certain_apps(
    published: Home, browser: httpx.Client, people: dict[Role, Person]
) -> None:
    permit(published, people[Role.RESEARCHER], "for-an-app", apps=(SHA,))
    assert "Request access" in browser.get(f"/datasets/{ASKED_FOR}").text
    refused = browser.get(file_of(ASKED_FOR))
    assert refused.status_code == 403
    assert "no permit in force" in refused.text
    permit(published, people[Role.RESEARCHER], "to-have")
    assert "Download" in browser.get(f"/datasets/{ASKED_FOR}").text
    assert browser.get(file_of(ASKED_FOR)).status_code == 303
    with lab_client(published, "operator") as client:
        client.revoke_permit("to-have")
    assert browser.get(file_of(ASKED_FOR)).status_code == 403
    with lab_client(published, "operator") as client:
        under = [one.details.get("permit") for one in client.events() if one.action == "version.downloaded"]
    assert under[-1] == "to-have"
