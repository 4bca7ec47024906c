"""Lineage of a version as OpenLineage run events (spec 2-0-2): which stage made what, from what, and when.

The models hold what the specification requires; its JSON Schema comes with no package that could be installed, so they
are written after it, and tests hold events to the classes that OpenLineage generates from it. Facets used: the parent
run, the statistics of an output, the version of a dataset.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

PRODUCER = "urn:federated-datalab"
SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
NAMESPACE = "datalab"
_FACETS = {
    "parent": "https://openlineage.io/spec/facets/1-0-1/ParentRunFacet.json#/$defs/ParentRunFacet",
    "outputStatistics": "https://openlineage.io/spec/facets/1-0-2/OutputStatisticsOutputDatasetFacet.json"
    "#/$defs/OutputStatisticsOutputDatasetFacet",
    "version": "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json"
    "#/$defs/DatasetVersionDatasetFacet",
}
_Uri = Annotated[str, Field(pattern=r"^(https://|urn:)[!-~]{1,300}$")]
_Name = Annotated[str, Field(min_length=1, max_length=500)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Facet(BaseModel):
    """Something more about a run or a dataset; who says it, and by which schema, is required."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)
    __pydantic_extra__: dict[str, JsonValue]

    producer: _Uri = Field(alias="_producer")
    schema_url: _Uri = Field(alias="_schemaURL")


Facets = Annotated[dict[str, Facet], Field(max_length=20)]


class Run(_Part):
    """One execution of a job."""

    runId: uuid.UUID  # noqa: N815 - as the specification calls it
    facets: Facets = {}


class Job(_Part):
    """What is executed."""

    namespace: _Name
    name: _Name
    facets: Facets = {}


class LineageDataset(_Part):
    """What a job reads or writes."""

    namespace: _Name
    name: _Name
    facets: Facets = {}
    inputFacets: Facets = {}  # noqa: N815
    outputFacets: Facets = {}  # noqa: N815


class RunEvent(_Part):
    """That a run has begun or ended."""

    eventType: Literal["START", "COMPLETE", "FAIL"]  # noqa: N815
    eventTime: AwareDatetime  # noqa: N815
    run: Run
    job: Job
    inputs: Annotated[tuple[LineageDataset, ...], Field(max_length=20)] = ()
    outputs: Annotated[tuple[LineageDataset, ...], Field(max_length=20)] = ()
    producer: _Uri
    schemaURL: _Uri  # noqa: N815

    def as_json(self) -> dict[str, Any]:
        """Return the event in the specification's own names, without what is empty."""
        said: dict[str, Any] = self.model_dump(mode="json", by_alias=True)
        return {key: _without_empty(value) for key, value in said.items()}


def facet(name: str, **said: JsonValue) -> Facet:
    """Return one of the facets that are used here."""
    return Facet.model_validate({"_producer": PRODUCER, "_schemaURL": _FACETS[name], **said})


def latest(events: Iterable[RunEvent]) -> tuple[RunEvent, ...]:
    """Return one event of each type of a run: the first start and the last end, where a stage was tried again."""
    found: dict[tuple[uuid.UUID, str], RunEvent] = {}
    for event in events:
        key = (event.run.runId, event.eventType)
        if event.eventType != "START" or key not in found:
            found[key] = event
    return tuple(sorted(found.values(), key=lambda event: event.eventTime))


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_empty(one) for key, one in value.items() if one != {}}
    if isinstance(value, list):
        return [_without_empty(one) for one in value]
    return value
