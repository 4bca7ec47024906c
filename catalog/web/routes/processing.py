"""Records of processing and material for impact assessments."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from catalog import lifecycle
from catalog.permissions import Action, check_holder
from catalog.processing import text
from catalog.processing_forms import Form
from catalog.records import AccountDraft, Dataset, Role
from catalog.store import now
from catalog.web.access import Allowed, DatasetId, TheLab

router = APIRouter(tags=["processing"])
_Reader = Annotated[AccountDraft, Depends(Allowed(Action.PROCESSING_READ))]


@router.get("/datasets/{dataset}/processing/{form}", response_class=Response)
def of_dataset(account: _Reader, dataset: DatasetId, form: Form, lab: TheLab) -> Response:
    """Return the record of processing (GDPR Art. 30), or material for an impact assessment (Art. 35), of a dataset."""
    found = lifecycle.read(lab.store, dataset, account)
    check_holder(account, found.holder)
    return _answer(*text(lab.store, [found], form, now()))


@router.get("/processing/{form}", response_class=Response)
def of_lab(account: _Reader, form: Form, lab: TheLab) -> Response:
    """Return the same of every dataset that the account answers for."""
    rows = lab.store.scan("SELECT record FROM datasets ORDER BY id")
    every = [Dataset.model_validate_json(row[0]) for row in rows]
    mine = [one for one in every if account.role is not Role.STEWARD or one.holder == account.organisation]
    return _answer(*text(lab.store, mine, form, now()))


def _answer(text: str, media_type: str) -> Response:
    return Response(text, media_type=media_type)
