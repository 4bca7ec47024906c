"""OpenLineage's own classes, generated from the schemas of its specification, as the judge of our events."""

from __future__ import annotations

import warnings
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attr

with warnings.catch_warnings():  # of its own older module, which the package imports itself
    warnings.simplefilter("ignore", DeprecationWarning)
    from openlineage.client.generated import (
        base,
        dataset_version_dataset,
        output_statistics_output_dataset,
        parent_run,
    )

_FACETS: dict[str, type[Any]] = {
    kind._get_schema(): kind
    for kind in (
        parent_run.ParentRunFacet,
        output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
        dataset_version_dataset.DatasetVersionDatasetFacet,
    )
}


def check_event(said: dict[str, Any]) -> None:
    """Raise where an event, as JSON, is not a run event of the specification, or names a facet that it does not have.

    A key that is missing or unknown is a TypeError, a value of another kind a TypeError or a ValueError.
    """
    assert said["schemaURL"] == base.RunEvent._get_schema()
    _made(base.RunEvent, said)


def _made(kind: Any, said: Any) -> Any:
    """Return a value of a kind that the classes declare, made from JSON."""
    if get_origin(kind) in {UnionType, Union}:
        [kind] = [one for one in get_args(kind) if one is not type(None)]
    if get_origin(kind) is list:
        return [_made(get_args(kind)[0], one) for one in said]
    if get_origin(kind) is dict:
        within = get_args(kind)[1]
        return {name: _facet(within, one) for name, one in said.items()}
    if kind is base.EventType:
        return base.EventType(said)
    if not attr.has(kind):
        if type(said) is not kind:
            raise TypeError(f"{said!r} is not a {kind}")
        return said
    hints = get_type_hints(kind)
    there = {one.name.lstrip("_"): one.name for one in attr.fields(kind) if one.init}
    unknown = set(said) - set(there) - {one.name for one in attr.fields(kind)}
    if unknown:
        raise TypeError(f"{kind} has no {', '.join(sorted(unknown))}")
    return kind(**{short: _made(hints[name], said[name]) for short, name in there.items() if name in said})


def _facet(within: Any, said: dict[str, Any]) -> Any:
    kind = _FACETS[said["_schemaURL"]]
    if not issubclass(kind, within):
        raise TypeError(f"{kind} is no {within}")
    return _made(kind, said)
