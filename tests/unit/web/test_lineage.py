from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from catalog.lineage import NAMESPACE, PRODUCER, SPEC, Job, LineageDataset, Run, RunEvent, facet
from catalog.web.pages.lineage import stage_runs

BEGUN = datetime(2026, 11, 1, 12, tzinfo=UTC)


def event(stage: str, kind: Any, seconds: float, **counts: int) -> dict[str, Any]:
    facets = {"outputStatistics": facet("outputStatistics", **counts)} if counts else {}
    return RunEvent(
        eventType=kind,
        eventTime=BEGUN + timedelta(seconds=seconds),
        run=Run(runId=uuid.UUID(int=1)),
        job=Job(namespace=NAMESPACE, name=f"curate.a.dataset.{stage}"),
        outputs=(LineageDataset(namespace=NAMESPACE, name="out", outputFacets=facets),),
        producer=PRODUCER,
        schemaURL=SPEC,
    ).as_json()


def test_the_stages_are_told_in_their_order_with_what_came_out_of_them() -> None:
    told = stage_runs(
        [
            event("validated", "START", 1),
            event("published", "COMPLETE", 9, rowCount=90, size=512),
            event("landing", "START", 0),
            event("validated", "COMPLETE", 3.5, rowCount=98),
            event("landing", "COMPLETE", 1),
            event("harmonised", "START", 4),
            event("harmonised", "FAIL", 5),
        ]
    )
    assert [(one.stage, one.seconds, one.rows, one.size) for one in told] == [
        ("landing", 1.0, None, None),
        ("validated", 2.5, 98, None),
        ("published", None, 90, 512),
    ]
