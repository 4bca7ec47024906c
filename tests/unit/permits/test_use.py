"""What a permit allows, clause by clause."""

from __future__ import annotations

from typing import Any

import pytest

from datalab.permits.errors import PermitError, Reason
from datalab.permits.use import permits
from tests.unit.permits.conftest import APP, claims

USE = {"dataset": "cancer-nl", "version": 1, "purpose": "e-ii", "app_digest": APP}


@pytest.mark.parametrize(
    ("permit", "use"),
    [
        ({}, {}),
        ({"datasets": [{"id": "cancer-nl"}]}, {"version": 7}),
        ({"datasets": [{"id": "cancer-nl", "version": 1}, {"id": "cancer-nl", "version": 2}]}, {"version": 2}),
        ({"apps": ["b" * 64, APP]}, {}),
        ({"purpose": "e"}, {"purpose": "e-ii"}),
        ({"purpose": "e"}, {"purpose": "e-i"}),
        ({"purpose": "e"}, {"purpose": "e"}),
    ],
)
def test_allowed(permit: dict[str, Any], use: dict[str, Any]) -> None:
    permits(claims(**permit), **{**USE, **use})


@pytest.mark.parametrize(
    ("permit", "use", "reason"),
    [
        ({}, {"dataset": "cancer-de"}, Reason.DATASET),
        ({}, {"version": 2}, Reason.VERSION),
        ({}, {"purpose": "e"}, Reason.PURPOSE),
        ({}, {"purpose": "e-i"}, Reason.PURPOSE),
        ({"purpose": "e"}, {"purpose": "d"}, Reason.PURPOSE),
        ({}, {"purpose": "marketing"}, Reason.PURPOSE),
        ({"apps": ["b" * 64]}, {}, Reason.APP),
    ],
)
def test_refused_with_the_clause_that_fails(permit: dict[str, Any], use: dict[str, Any], reason: Reason) -> None:
    with pytest.raises(PermitError) as error:
        permits(claims(**permit), **{**USE, **use})
    assert error.value.reason == reason
    assert error.value.where == "permit HDAB-2026-1"
    assert error.value.next_step
