"""What assessors and deciders do with a request: return, approve (two people where a dataset says so), grant, reject.

The lab holds no key that signs permits. An approval fixes the claims; whoever decided signs exactly these on a machine
of their own, and the request is granted when the signed permit comes back.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from catalog import permits
from catalog.access.records import AccessRequest, Approval, Kind, PermitRecord, Terms
from catalog.access.requests import datasets, entry, put, read, step
from catalog.access.transitions import PERMIT, PermitStep, Step
from catalog.errors import ConflictError, NotPermittedError
from catalog.records import AccountDraft, Dataset
from catalog.store import Change, Store, now
from datalab.errors import BadInputError
from datalab.permits.claims import PermitClaims, PermittedDataset

LONGEST_YEARS = 10


def send_back(store: Store, key: str, text: str, *, revision: int, account: AccountDraft) -> AccessRequest:
    """Return a request to its applicant, who may change it and hand it in again."""
    with store.change(account.name) as change:
        request = step(change, key, Step.RETURN, account, revision=revision)
        thread = (*request.thread, entry(request, account, text, Step.RETURN))
        return put(change, request, "request.returned", thread=thread, terms=None, approvals=())


def reject(store: Store, key: str, text: str, *, revision: int, account: AccountDraft) -> AccessRequest:
    """Reject a request for good, with the reason."""
    with store.change(account.name) as change:
        request = step(change, key, Step.REJECT, account, revision=revision)
        thread = (*request.thread, entry(request, account, text, Step.REJECT))
        return put(change, request, "request.rejected", thread=thread, decided=now())


def approve(store: Store, key: str, terms: Terms, *, revision: int, account: AccountDraft) -> AccessRequest:
    """Approve a request on these terms.

    Where two people have to approve, the first proposes the terms and the second approves the same; other terms are a
    new proposal. With the last approval, the claims of the permit are fixed.

    Raises:
        ConflictError: this person has approved these terms already.
        BadInputError: the last day is over, or later than a permit may hold.
    """
    with store.change(account.name) as change:
        request = read(change, key, account)
        named = datasets(change, request.datasets)
        earlier = request.approvals if request.terms == terms else ()
        two_people = request.two_people or any(one.two_people for one in named.values())
        enough = len(earlier) + 1 >= (2 if two_people else 1)
        request = step(change, key, Step.APPROVE if enough else Step.ENDORSE, account, revision=revision)
        moment = now().replace(microsecond=0)
        _check_terms(request, terms, moment.date())
        if any(one.by == account.name for one in earlier):
            raise ConflictError(
                "You have approved this already, and a second person has to.",
                where=key,
                next_step="Ask somebody else who decides on these data.",
            )
        approvals = (*earlier, Approval(by=account.name, time=moment))
        if not enough:
            return put(change, request, "request.endorsed", terms=terms, approvals=approvals, two_people=two_people)
        claims = None
        if request.kind is Kind.DATA:
            claims = _claims(request, terms, next(iter(named.values())), account)
        return put(change, request, "request.approved", terms=terms, approvals=approvals, claims=claims, decided=moment)


def grant(
    store: Store, key: str, token: str, keys: Path, *, revision: int, account: AccountDraft
) -> tuple[AccessRequest, PermitRecord]:
    """Record the signed permit of an approved request.

    Args:
        store: the catalog's records.
        key: the request's id.
        token: the permit, a compact JWS.
        keys: folder of the public keys that this lab pins.
        revision: of the request.
        account: who hands the permit in.

    Raises:
        RefusedError: it is not signed by a pinned key of who decides, or does not hold now.
        NotPermittedError: it says something else than what was decided.
    """
    with store.change(account.name) as change:
        request = step(change, key, Step.GRANT, account, revision=revision)
        if request.claims is None:
            raise ConflictError("This is answered, not granted: it is a request for a statistic.", where=key)
        moment = now()
        claims = permits.verified(token, keys, steward_of=request.steward_of, moment=moment)
        if claims != request.claims:
            wrong = [
                name for name in PermitClaims.model_fields if getattr(claims, name) != getattr(request.claims, name)
            ]
            raise NotPermittedError(
                f"The signed permit says something else than was decided: {', '.join(wrong)}.",
                where=key,
                next_step="Sign the claims as this lab gives them out.",
            )
        permit = PermitRecord(
            token=token,
            id=claims.id,
            claims=claims,
            recorded_by=account.name,
            created=moment,
            steward_of=request.steward_of,
            request=key,
            project=request.project,
        )
        permits.insert(change, permit)
        if request.renews is not None:
            _renewed(change, request.renews, claims.id, moment)
        return put(change, request, "request.granted", permit=claims.id), permit


def answer(store: Store, key: str, text: str, *, revision: int, account: AccountDraft) -> AccessRequest:
    """Give the statistic that was asked for, which the public register then shows.

    Raises:
        ConflictError: it was the use of data that was asked for.
    """
    with store.change(account.name) as change:
        request = step(change, key, Step.ANSWER, account, revision=revision)
        if request.kind is not Kind.STATISTIC:
            raise ConflictError(
                "What was asked for is the use of data, not a statistic.",
                where=key,
                next_step="Hand in the signed permit instead.",
            )
        thread = (*request.thread, entry(request, account, text, Step.ANSWER))
        return put(change, request, "request.answered", thread=thread)


def _check_terms(request: AccessRequest, terms: Terms, today: date) -> None:
    if request.kind is Kind.STATISTIC:
        if terms.until is not None or terms.apps or terms.release:
            raise BadInputError(
                "A statistic is given once: it has neither a last day nor apps nor a release.", where="until"
            )
        return
    latest = today.replace(year=today.year + LONGEST_YEARS, day=min(today.day, 28))
    if terms.until is None or not today <= terms.until <= latest:
        raise BadInputError(
            f"The last day of a permit is from today on and at most {LONGEST_YEARS} years away.",
            where="until",
            next_step="Choose another day.",
        )


def _claims(request: AccessRequest, terms: Terms, first: Dataset, account: AccountDraft) -> PermitClaims:
    """Return what the permit has to say."""
    assert request.purpose is not None, "a request that was submitted names its purpose"
    assert terms.until is not None, "the terms of a permit have a last day"
    if request.steward_of is not None:
        issuer = first.holder_name
    else:
        issuer = first.hdab.name if first.hdab else account.organisation
    return PermitClaims(
        id=f"permit-{request.id.removeprefix('request-')}",
        issuer=issuer,
        data_user=request.organisation,
        people=request.people,
        project=request.project_title,
        purpose=request.purpose,
        datasets=tuple(PermittedDataset(id=one) for one in request.datasets),
        apps=terms.apps,
        conditions=terms.conditions,
        release=terms.release,
        not_before=now().replace(microsecond=0),
        expires=datetime.combine(terms.until + timedelta(days=1), time(), UTC),
    )


def _renewed(change: Change, old: str, new: str, moment: datetime) -> None:
    """Mark a permit as renewed, where it still holds."""
    permit = change.get(PermitRecord, "permits", old)
    if permits.state(permit, moment) not in PERMIT[PermitStep.RENEW].sources:
        return
    change.update("permits", old, permit.model_copy(update={"renewed_by": new}))
    change.event("permit.renewed", f"permit/{old}", by=new)
