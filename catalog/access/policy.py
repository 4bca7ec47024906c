"""What a request must say, who decides on it, and how it compares with the datasets' own terms."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from catalog.access.records import RESERVED, AccessRequest, Kind, RequestDraft, Terms
from catalog.records import AccountDraft, Dataset, Role
from datalab.errors import BadInputError


class Lack(StrEnum):
    """What a request lacks before it can be submitted; said beside the field."""

    EMPTY = "Fill this in."
    NO_MANDATE = "This purpose is reserved for public bodies and who acts for one: say which body, and the mandate."
    NO_DATASET = "Name at least one dataset of this lab."
    UNKNOWN_DATASET = "One of these is no dataset of this lab."
    OPEN_DATASET = "One of these is public: it needs no permit and can be downloaded."
    SEVERAL_HOLDERS = "The stewards of several data holders would have to decide: make one request for each holder."
    UNKNOWN_PERSON = "Everybody named here must have a researcher's account of your organisation in this lab."
    OUTSIDE_PROJECT = "Everybody named here must be one of the project's people."
    NOT_UNDERTAKEN = "Without this, no data may be used."


def is_health(dataset: Dataset) -> bool:
    """Return whether a dataset is personal health data, on which a health data access body decides (EHDS Art. 57)."""
    return dataset.theme == "HEAL" and dataset.data_class == "personal"


def deciding_holder(datasets: Collection[Dataset]) -> str | None:
    """Return the data holder whose steward decides on the use of ``datasets``; None where an access body does.

    Raises:
        BadInputError: the stewards of several data holders would have to.
    """
    if any(is_health(one) for one in datasets):
        return None
    holders = {one.holder for one in datasets}
    if len(holders) > 1:
        raise BadInputError(
            "Datasets of several data holders are named, and no access body decides on them.",
            where=", ".join(sorted(holders)),
            next_step="Make one request for each data holder.",
        )
    return holders.pop() if holders else None


def lacks(
    request: RequestDraft, datasets: Mapping[str, Dataset], people: Mapping[str, AccountDraft], organisation: str
) -> dict[str, Lack]:
    """Return by field what a request lacks.

    Args:
        request: what the applicant wrote.
        datasets: those of the named datasets that there are.
        people: those of the named accounts that there are.
        organisation: the applicant's.
    """
    found: dict[str, Lack] = {}
    wanted = ["purpose", "aim", "safeguards"] if request.kind is Kind.DATA else ["purpose", "aim"]
    if request.kind is Kind.DATA:
        wanted += ["months", "people"]
        if any(one.data_class == "personal" for one in datasets.values()):
            wanted += ["why_personal", "ethics"]
    for field in wanted:
        value = getattr(request, field)
        if not (value.strip() if isinstance(value, str) else value):
            found[field] = Lack.EMPTY
    if request.purpose in RESERVED and not request.mandate.strip():
        found["mandate"] = Lack.NO_MANDATE
    if problem := _datasets(request.datasets, datasets):
        found["datasets"] = problem
    if request.kind is Kind.DATA and not all(_is_researcher(people.get(one), organisation) for one in request.people):
        found["people"] = Lack.UNKNOWN_PERSON
    if not request.undertaken:
        found["undertaken"] = Lack.NOT_UNDERTAKEN
    return found


@dataclass(frozen=True)
class Comparison:
    """A dataset beside a request: whether its own terms offer what is asked for.

    Attributes:
        purpose: whether the holder offers it for this purpose; None where the holder named none.
        federated: whether it is used in federated runs only.
    """

    dataset: Dataset
    purpose: bool | None
    federated: bool


def compare(request: RequestDraft, datasets: Sequence[Dataset]) -> list[Comparison]:
    """Compare a request with the terms of its datasets."""
    letter = (request.purpose or "")[:1]
    return [
        Comparison(one, letter in one.purposes if one.purposes else None, one.access == "federated-only")
        for one in datasets
    ]


def proposed(request: AccessRequest, today: date) -> Terms:
    """Return the terms that a decider starts from: those of the first approval, or as long as was asked for."""
    if request.terms is not None or request.months is None:
        return request.terms or Terms()
    months = today.month - 1 + request.months
    year, month = today.year + months // 12, months % 12 + 1
    return Terms(until=date(year, month, min(today.day, monthrange(year, month)[1])))


def _datasets(named: Sequence[str], known: Mapping[str, Dataset]) -> Lack | None:
    if not named:
        return Lack.NO_DATASET
    if set(named) - set(known):
        return Lack.UNKNOWN_DATASET
    if any(one.access == "public" for one in known.values()):
        return Lack.OPEN_DATASET
    try:
        deciding_holder(known.values())
    except BadInputError:
        return Lack.SEVERAL_HOLDERS
    return None


def _is_researcher(account: AccountDraft | None, organisation: str) -> bool:
    return account is not None and account.role is Role.RESEARCHER and account.organisation == organisation
