"""Finding datasets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from catalog import datasets
from catalog.permissions import Action
from catalog.records import AccountDraft
from catalog.search.model import FACETS, MAX_PAGE, MAX_SIZE, SearchPage, SearchQuery, Sort, Value
from catalog.web.access import Allowed, TheLab

router = APIRouter(prefix="/search", tags=["datasets"])
Values = Annotated[list[Value] | None, Query(max_length=100)]


@router.get("", response_model=SearchPage)
def search(
    account: Annotated[AccountDraft, Depends(Allowed(Action.DATASET_READ))],
    lab: TheLab,
    q: Annotated[str, Query(max_length=300)] = "",
    country: Values = None,
    holder: Values = None,
    theme: Values = None,
    access: Values = None,
    modality: Values = None,
    licence: Values = None,
    extent: Values = None,
    use: Values = None,
    source: Values = None,
    sort: Sort = "relevance",
    page: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 1,
    size: Annotated[int, Query(ge=1, le=MAX_SIZE)] = 20,
) -> Response:
    """Find datasets by words (English, German, French; beginnings, misspellings and parts of compounds) and facets."""
    given = (country, holder, theme, access, modality, licence, extent, use, source)
    filters = {facet: tuple(values) for facet, values in zip(FACETS, given, strict=True) if values}
    asked = SearchQuery(text=q, filters=filters, sort=sort, page=page, size=size)
    found = lab.search.search(asked, lambda dataset: datasets.shows_counts(dataset, account))
    return Response(found.model_dump_json(), media_type="application/json")  # not checked once more: we made it
