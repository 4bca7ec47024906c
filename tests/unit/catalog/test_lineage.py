"""Run events hold what OpenLineage requires, in its own names, and nothing that it does not know."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from catalog.lineage import PRODUCER, SPEC, Job, LineageDataset, Run, RunEvent, facet, latest
from tests.support.openlineage import check_event

STATISTICS = facet("outputStatistics", rowCount=686, size=9000)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def event(kind: str, minutes: int, stage: str = "validated") -> RunEvent:
    return RunEvent.model_validate(
        {
            "eventType": kind,
            "eventTime": BEGAN + timedelta(minutes=minutes),
            "run": Run(
                runId=uuid.uuid5(uuid.UUID(int=1), stage),
                facets={
                    "parent": facet(
                        "parent", run={"runId": str(uuid.UUID(int=1))}, job={"namespace": "datalab", "name": "curate"}
                    )
                },
            ),
            "job": Job(namespace="datalab", name=stage),
            "outputs": (LineageDataset(namespace="datalab", name="x", outputFacets={"outputStatistics": STATISTICS}),),
            "producer": PRODUCER,
            "schemaURL": SPEC,
        }
    )


def test_an_event_has_the_names_of_the_specification() -> None:
    said = json.loads(json.dumps(event("START", 0).as_json()))
    assert set(said) == {"eventType", "eventTime", "run", "job", "inputs", "outputs", "producer", "schemaURL"}
    assert set(said["run"]["facets"]["parent"]) == {"_producer", "_schemaURL", "run", "job"}
    assert set(said["outputs"][0]) == {"namespace", "name", "outputFacets"}
    assert RunEvent.model_validate(said) == event("START", 0)


@pytest.mark.parametrize("kind", ["START", "COMPLETE", "FAIL"])
def test_the_classes_that_are_generated_from_the_specification_take_an_event(kind: str) -> None:
    check_event(event(kind, 0).as_json())


def test_they_refuse_what_is_not_of_the_specification() -> None:
    def broken(*path: Any, to: Any) -> dict[str, Any]:
        said = event("START", 0).as_json()
        place = said
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to
        return said

    statistics = ("outputs", 0, "outputFacets", "outputStatistics")
    for wrong in (
        broken("more", to=1),
        broken("eventType", to="BEGUN"),
        broken("eventTime", to="yesterday"),
        broken("run", "runId", to="1"),
        broken("job", to={"name": "no namespace"}),
        broken(*statistics, "rowCount", to="many"),
        broken(*statistics, "rows", to=1),
        broken("run", "facets", "parent", "job", to={"name": "no namespace"}),
        broken("run", "facets", "outputStatistics", to=STATISTICS.model_dump(by_alias=True)),
    ):
        with pytest.raises((TypeError, ValueError)):
            check_event(wrong)


@pytest.mark.parametrize("gone", ["eventTime", "run", "job", "producer", "schemaURL"])
def test_what_the_specification_requires_must_be_there(gone: str) -> None:
    said = event("START", 0).as_json()
    del said[gone]
    with pytest.raises(ValidationError):
        RunEvent.model_validate(said)


def test_of_a_stage_that_was_tried_again_the_first_start_and_the_last_end_count() -> None:
    told = [
        event("START", 0),
        event("FAIL", 1),
        event("START", 2),
        event("COMPLETE", 3),
        event("START", 4, "published"),
    ]
    assert latest(reversed(told[2:] + told[:2]))[0].eventTime in {BEGAN, BEGAN + timedelta(minutes=2)}
    assert [one.eventType for one in latest(told)] == ["START", "FAIL", "COMPLETE", "START"]
