"""How a version came about, as its page tells it: the stages between the raw file and what was published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from datalab.curation.progress import STAGES, Stage


@dataclass(frozen=True)
class StageRun:
    """One stage of a curation.

    Attributes:
        stage: its name.
        ended: when.
        seconds: that it took; None where its beginning is not on record.
        rows: that came out of it, where it counts any.
        size: in bytes, of what came out of it, where that is a file.
    """

    stage: Stage
    ended: datetime
    seconds: float | None
    rows: int | None
    size: int | None


def stage_runs(events: Iterable[Mapping[str, Any]]) -> list[StageRun]:
    """Return the stages that OpenLineage run events tell of (``catalog.lineage``), in their order."""
    begun: dict[str, datetime] = {}
    found: dict[str, StageRun] = {}
    for event in events:
        name, moment = event["job"]["name"].rpartition(".")[2], datetime.fromisoformat(event["eventTime"])
        if event["eventType"] == "START":
            begun[name] = moment
        elif event["eventType"] == "COMPLETE":
            counts = event["outputs"][0].get("outputFacets", {}).get("outputStatistics", {})
            found[name] = StageRun(
                stage=cast("Stage", name),
                ended=moment,
                seconds=(moment - begun[name]).total_seconds() if name in begun else None,
                rows=counts.get("rowCount"),
                size=counts.get("size"),
            )
    return [found[stage] for stage in STAGES if stage in found]
