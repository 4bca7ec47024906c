"""Laboratory values in one unit, whatever the site wrote them in; figures from published conversion tables."""

from __future__ import annotations

import pytest

from datalab.curation.units import conversion


@pytest.mark.parametrize(
    ("value", "old", "substance", "new", "expected"),
    [
        (90, "mg/dL", "glucose", "mmol/L", 4.9957),
        (5, "mmol/L", "glucose", "mg/dL", 90.078),
        (1.0, "mg/dL", "creatinine", "umol/L", 88.402),
        (200, "mg/dL", "cholesterol", "mmol/L", 5.1726),
        (150, "mg/dL", "triglycerides", "mmol/L", 1.6940),
        (14, "g/dL", "haemoglobin", "mmol/L", 8.6878),
        (7, "%", "HbA1c", "mmol/mol", 53.01),
        (53, "mmol/mol", "HbA1c", "%", 7.0004),
        (14, "g/dL", None, "g/L", 140),
        (98.6, "[degF]", None, "Cel", 37),
        (37, "Cel", None, "K", 310.15),
        (154, "[lb_av]", None, "kg", 69.853),
        (70, "[in_i]", None, "cm", 177.8),
        (120, "mm[Hg]", None, "kPa", 15.9987),
        (60, "U/L", None, "ukat/L", 1.0),
        (5.2, "10*3/uL", None, "10*9/L", 5.2),
        (2, "wk", None, "d", 14),
        (60, "/min", None, "/s", 1),
        (24, "kg/m2", None, "g/cm2", 2.4),
    ],
)
def test_a_value_in_another_unit(value: float, old: str, substance: str | None, new: str, expected: float) -> None:
    by = conversion(old, new, substance)
    assert value * by.factor + by.offset == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("old", "substance", "new", "message"),
    [
        ("mg/dL", None, "mmol/L", "name the substance"),
        ("mg/dL", "kryptonite", "mmol/L", "molar mass of kryptonite is not known"),
        ("kg", None, "m", "do not measure the same"),
        ("Cel", None, "kg", "only one of them is a temperature"),
        ("mg/dl/x", None, "kg", "not a UCUM unit"),
        ("%", "HbA1c", "g/L", "told in % or mmol/mol"),
    ],
)
def test_what_cannot_be_converted_is_said(old: str, substance: str | None, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conversion(old, new, substance)
