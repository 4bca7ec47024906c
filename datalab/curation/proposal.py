"""The text of a first contract, made of what was found in a file."""

from __future__ import annotations

import json
from typing import Any

from datalab.curation.infer import Inference


def contract_text(found: Inference, *, contract_id: str, version: str, title: str, description: str = "") -> str:
    """Return a contract (ODCS) by which a file of these columns is taken over column by column.

    A column that identifies persons is dropped at its holder: a file that still has it is refused. Of a date, the
    harmonised table has the year.
    """
    import yaml

    export: list[dict[str, Any]] = []
    harmonised: list[dict[str, Any]] = []
    for column in found.columns:
        said: dict[str, Any] = {"name": column.name, "logicalType": column.type, "required": column.required}
        if column.description:
            said["description"] = column.description
        if column.codes:
            said["enum"] = [{"value": code} for code in column.codes]
        unit = [{"property": "datalab.unit", "value": column.unit}] if column.unit else []
        taken = {**said, "transformLogic": f'"{column.name}"'}
        if column.type == "date":
            taken = {"name": f"{column.name}_year", "logicalType": "integer", "required": column.required}
            taken["transformLogic"] = f'year("{column.name}")'
            said["logicalTypeOptions"] = {"format": column.format or "yyyy-MM-dd"}
        prose = column.why == "text" and column.type == "string" and not column.codes
        action = "freeText" if prose else "drop"
        drop = [{"property": "datalab.deidentify", "value": action}] if column.identifier else []
        nested = found.format in {"json", "fhir"}
        path = [{"property": "datalab.path", "value": column.header}] if nested else []
        physical = {} if nested else {"physicalName": column.header}
        export.append({**said, **physical, **_properties([*path, *unit, *drop])})
        if not column.identifier:
            harmonised.append({**taken, **_properties(unit)})
    own: list[dict[str, Any]] = [
        {"property": f"datalab.{name}", "value": value}
        for name, value in (
            ("format", found.format if found.format != "csv" else ""),
            ("records", found.records_key),
            ("resourceType", found.resource_type),
            ("delimiter", found.delimiter if found.format == "csv" else ""),
        )
        if value
    ]
    if found.encoding != "utf-8":
        own.append({"property": "datalab.encoding", "value": found.encoding})
    if found.decimal != ".":
        own.append({"property": "datalab.decimal", "value": found.decimal})
    if found.missing:
        own.append({"property": "datalab.missing", "value": list(found.missing)})
    document = {
        "apiVersion": "v3.2.0",
        "kind": "DataContract",
        "id": contract_id,
        "name": title,
        "version": version,
        "status": "active",
        **({"description": {"purpose": description}} if description else {}),
        "schema": [
            {"name": "export", "logicalType": "object", "customProperties": own, "properties": export},
            {"name": "harmonised", "logicalType": "object", "properties": harmonised},
        ],
    }  # fmt: skip
    plain = json.loads(json.dumps(document))  # parts that are used twice would become aliases
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120))


def _properties(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {"customProperties": found} if found else {}
