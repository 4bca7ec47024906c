"""The public register of permits, statistics given, and results (EHDS Art. 57(1)(j)): anybody may read it."""

from __future__ import annotations

from catalog import permits
from catalog.access.records import AccessRequest, Kind, PermitRecord, RegisterEntry
from catalog.access.transitions import State, Step
from catalog.store import Store, now


def find(store: Store, *, after: str = "", limit: int) -> list[RegisterEntry]:
    """Return permits and statistics that were given, by id: those after ``after``."""
    rows = store.rows(
        "SELECT id, TRUE AS permit, record FROM permits WHERE id > $after UNION ALL "
        "SELECT id, FALSE, record FROM requests WHERE id > $after AND (record ->> 'state') = $answered "
        "ORDER BY id LIMIT $limit",
        {"after": after, "limit": limit, "answered": State.ANSWERED},
    )
    return [
        _of_permit(PermitRecord.model_validate_json(text))
        if permit
        else _of_statistic(AccessRequest.model_validate_json(text))
        for _, permit, text in rows
    ]


def _of_permit(permit: PermitRecord) -> RegisterEntry:
    claims = permit.claims
    return RegisterEntry(
        id=permit.id,
        kind=Kind.DATA,
        project=claims.project,
        data_user=claims.data_user,
        decided_by=claims.issuer,
        purpose=claims.purpose,
        datasets=tuple(one.id for one in claims.datasets),
        conditions=claims.conditions,
        not_before=claims.not_before,
        expires=claims.expires,
        state=permits.state(permit, now()).value,
        results=tuple(f"{one.title} {one.url or ''}".strip() for one in permit.results),
    )


def _of_statistic(request: AccessRequest) -> RegisterEntry:
    assert request.purpose is not None, "a request that was submitted names its purpose"
    assert request.decided is not None, "a request that is answered was decided on"
    return RegisterEntry(
        id=request.id,
        kind=Kind.STATISTIC,
        project=request.project_title,
        data_user=request.organisation,
        decided_by=request.steward_of or "access-body",
        purpose=request.purpose,
        datasets=request.datasets,
        conditions=request.terms.conditions if request.terms else (),
        not_before=request.decided,
        expires=None,
        state="answered",
        results=tuple(one.text for one in request.thread if one.step is Step.ANSWER),
    )
