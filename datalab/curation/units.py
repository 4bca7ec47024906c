"""Conversions between units of UCUM (Unified Code for Units of Measure), as far as laboratories and wards use them.

A unit is a product or quotient of atoms with metric prefixes (``mg/dL``, ``umol/L``, ``kg/m2``, ``10*9/L``). Two units
of the same dimension differ by a factor; temperatures by a factor and an offset. Between mass and amount of substance a
molar mass stands, which depends on what was measured.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_PREFIXES = {
    "k": Fraction(1000), "h": Fraction(100), "d": Fraction(1, 10), "c": Fraction(1, 100), "m": Fraction(1, 10**3),
    "u": Fraction(1, 10**6), "n": Fraction(1, 10**9), "p": Fraction(1, 10**12), "f": Fraction(1, 10**15),
}  # fmt: skip
_METRIC: dict[str, tuple[Fraction, dict[str, int]]] = {
    "g": (Fraction(1), {"mass": 1}),
    "L": (Fraction(1, 1000), {"length": 3}),
    "l": (Fraction(1, 1000), {"length": 3}),
    "m": (Fraction(1), {"length": 1}),
    "mol": (Fraction(1), {"amount": 1}),
    "eq": (Fraction(1), {"equivalents": 1}),
    "Pa": (Fraction(1000), {"mass": 1, "length": -1, "time": -2}),
    "m[Hg]": (Fraction(133322387415, 10**6) * 1000, {"mass": 1, "length": -1, "time": -2}),
    "kat": (Fraction(1), {"amount": 1, "time": -1}),
    "U": (Fraction(1, 60 * 10**6), {"amount": 1, "time": -1}),
    "[IU]": (Fraction(1), {"international units": 1}),
    "cal": (Fraction(4184), {"mass": 1, "length": 2, "time": -2}),
    "J": (Fraction(1000), {"mass": 1, "length": 2, "time": -2}),
    "s": (Fraction(1), {"time": 1}),
}
_PLAIN: dict[str, tuple[Fraction, dict[str, int]]] = {
    "1": (Fraction(1), {}),
    "%": (Fraction(1, 100), {}),
    "min": (Fraction(60), {"time": 1}),
    "h": (Fraction(3600), {"time": 1}),
    "d": (Fraction(86400), {"time": 1}),
    "wk": (Fraction(7 * 86400), {"time": 1}),
    "mo": (Fraction(86400 * 36525, 1200), {"time": 1}),
    "a": (Fraction(86400 * 36525, 100), {"time": 1}),
    "[in_i]": (Fraction(254, 10**4), {"length": 1}),
    "[ft_i]": (Fraction(3048, 10**4), {"length": 1}),
    "[lb_av]": (Fraction(45359237, 10**5), {"mass": 1}),
    "[oz_av]": (Fraction(45359237, 16 * 10**5), {"mass": 1}),
}
_TEMPERATURES = {
    "Cel": (Fraction(1), Fraction(27315, 100)),
    "K": (Fraction(1), Fraction(0)),
    "[degF]": (Fraction(5, 9), Fraction(45967, 180)),
}
"""Factor and offset to kelvin."""
MOLAR_MASSES = {
    "albumin": Fraction(66500), "bilirubin": Fraction(58466, 100), "calcium": Fraction(40078, 1000),
    "cholesterol": Fraction(38665, 100), "creatinine": Fraction(11312, 100), "glucose": Fraction(180156, 1000),
    "haemoglobin": Fraction(161145, 10), "iron": Fraction(55845, 1000), "magnesium": Fraction(24305, 1000),
    "phosphate": Fraction(30974, 1000), "triglycerides": Fraction(88545, 100), "urea": Fraction(60056, 1000),
    "urea nitrogen": Fraction(28014, 1000), "uric acid": Fraction(16811, 100),
}  # fmt: skip
"""Grams a mole; of haemoglobin, the monomer; of phosphate, the phosphorus; of triglycerides, triolein."""
_COMPONENT = re.compile(r"(10\*|[A-Za-z%]*\[[A-Za-z_]+\]|[A-Za-z%]+|1)(-?[0-9]+)?")


@dataclass(frozen=True)
class Conversion:
    """A value is multiplied by ``factor``, then ``offset`` is added."""

    factor: float
    offset: float = 0.0


def conversion(old: str, new: str, substance: str | None = None) -> Conversion:
    """Return how values in one unit become values in another.

    Args:
        old: UCUM unit of the values.
        new: UCUM unit that they are to have.
        substance: one of ``MOLAR_MASSES``, or ``HbA1c``, where mass and amount of substance are converted.

    Raises:
        ValueError: a unit is not known, or the two do not measure the same; says it in a sentence.
    """
    if old == new:
        return Conversion(1.0)
    if substance == "HbA1c":
        return _glycated(old, new)
    if old in _TEMPERATURES or new in _TEMPERATURES:
        if not (old in _TEMPERATURES and new in _TEMPERATURES):
            raise ValueError(f"{old} cannot be converted to {new}: only one of them is a temperature.")
        (factor, offset), (other, less) = _TEMPERATURES[old], _TEMPERATURES[new]
        return Conversion(float(factor / other), float((offset - less) / other))
    (factor, has), (other, wants) = _parse(old), _parse(new)
    ratio = factor / other
    moles = wants.get("amount", 0) - has.get("amount", 0)
    if substance is not None and moles and moles == has.get("mass", 0) - wants.get("mass", 0):
        if substance not in MOLAR_MASSES:
            raise ValueError(f"The molar mass of {substance} is not known; known are {', '.join(MOLAR_MASSES)}.")
        ratio /= MOLAR_MASSES[substance] ** moles
        has = {**has, "mass": has.get("mass", 0) - moles, "amount": has.get("amount", 0) + moles}
    if _plain(has) != _plain(wants):
        hint = "" if substance else " Between mass and amount, name the substance."
        raise ValueError(f"{old} cannot be converted to {new}: they do not measure the same.{hint}")
    return Conversion(float(ratio))


def is_unit(text: str) -> bool:
    """Whether a text is a unit that can be converted from."""
    try:
        _parse(text)
    except ValueError:
        return text in _TEMPERATURES
    return True


def _glycated(old: str, new: str) -> Conversion:
    """Glycated haemoglobin, NGSP per cent and IFCC mmol/mol, by the master equation (Hoelzel et al. 2004)."""
    if (old, new) == ("%", "mmol/mol"):
        return Conversion(10.93, -23.50)
    if (old, new) == ("mmol/mol", "%"):
        return Conversion(0.09148, 2.152)
    raise ValueError(f"HbA1c in {old} cannot be converted to {new}: it is told in % or mmol/mol.")


def _plain(dimension: dict[str, int]) -> dict[str, int]:
    return {name: power for name, power in dimension.items() if power}


def _parse(unit: str) -> tuple[Fraction, dict[str, int]]:
    """Return the factor to base units, and the dimension."""
    factor, dimension = Fraction(1), dict[str, int]()
    sign = 1
    for part in re.split(r"([./])", unit):
        if part in {".", "/"}:
            sign = -1 if part == "/" else 1
            continue
        found = _COMPONENT.fullmatch(part)
        if part == "" and unit.startswith("/"):
            continue
        if found is None:
            raise ValueError(f"{unit} is not a UCUM unit that Datalab converts.")
        atom, power = found[1], sign * int(found[2] or 1)
        size, of = (Fraction(10), dict[str, int]()) if atom == "10*" else _atom(atom, unit)
        factor *= size**power
        for name, one in of.items():
            dimension[name] = dimension.get(name, 0) + one * power
    return factor, dimension


def _atom(atom: str, unit: str) -> tuple[Fraction, dict[str, int]]:
    if atom in _PLAIN:
        return _PLAIN[atom]
    if atom in _METRIC:
        return _METRIC[atom]
    prefix, rest = _PREFIXES.get(atom[0]), atom[1:]
    if prefix is None or rest not in _METRIC:
        raise ValueError(f"{unit} is not a UCUM unit that Datalab converts.")
    size, of = _METRIC[rest]
    return prefix * size, of
