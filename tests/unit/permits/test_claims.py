"""What a permit may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from datalab.permits.claims import Purpose
from tests.unit.permits.conftest import claims


def test_every_purpose_of_article_53_has_a_label() -> None:
    assert [purpose.value for purpose in Purpose] == ["a", "b", "c", "d", "e", "e-i", "e-ii", "f"]
    assert len({purpose.label for purpose in Purpose}) == len(Purpose)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"purpose": "marketing"}, "purpose"),
        ({"id": "../up"}, "id"),
        ({"people": []}, "people"),
        ({"datasets": []}, "datasets"),
        ({"datasets": [{"id": "cancer-nl", "version": 0}]}, "datasets.0.version"),
        ({"apps": ["A" * 64]}, "apps.0"),
        ({"project": "x" * 501}, "project"),
        ({"expires": "2027-01-01T00:00:00"}, "expires"),
        ({"surprise": 1}, "surprise"),
        ({"expires": "2026-01-01T00:00:00Z"}, ""),
    ],
)
def test_what_a_permit_may_not_say(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as error:
        claims(**change)
    assert ".".join(map(str, error.value.errors()[0]["loc"])) == field
