"""What a steward says of the columns that were found in a file."""

from __future__ import annotations

from collections.abc import Mapping

from catalog.web.pages.language import mark
from datalab.curation.contract import Type
from datalab.curation.infer import Inference

TYPE: dict[Type, str] = {
    "integer": mark("Whole number"),
    "number": mark("Number"),
    "string": mark("Text"),
    "date": mark("Date: the year is kept"),
}
_LONGEST = {"unit": 40, "description": 300}
_TOO_LONG = mark("This is too long.")
_NONE_LEFT = mark("At least one column has to be left.")


def corrected(found: Inference, form: Mapping[str, str]) -> tuple[Inference, dict[str, str]]:
    """Return the columns as a form has them, and what is wrong with it by field (``unit-3``)."""
    problems: dict[str, str] = {}
    columns = []
    for index, column in enumerate(found.columns):
        said = {name: form.get(f"{name}-{index}", "").strip() for name in _LONGEST}
        for name, text in said.items():
            if len(text) > _LONGEST[name] or not text.isprintable():
                problems[f"{name}-{index}"] = _TOO_LONG
        kind = next((one for one in TYPE if one == form.get(f"type-{index}")), column.type)
        held = f"codes-{index}" in form and kind == column.found_type
        columns.append(
            column.model_copy(
                update={
                    "type": kind,
                    "unit": said["unit"][: _LONGEST["unit"]],
                    "description": said["description"][: _LONGEST["description"]],
                    "required": f"required-{index}" in form,
                    "codes": column.found_codes if held else (),
                    "identifier": f"identifier-{index}" in form,
                }
            )
        )
    if all(column.identifier for column in columns):
        problems["identifier-0"] = _NONE_LEFT
    return found.model_copy(update={"columns": tuple(columns)}), problems
