"""Croissant 1.1 with the fields of responsible AI (RAI 1.0): a dataset as machine-learning tools read it.

Data that may be fetched has files and record sets, and loads; of other data the columns are told
(``variableMeasured``), and its terms are those of its ODRL offer.
"""

from __future__ import annotations

import json
from typing import Any

from catalog.records import Dataset, Version
from catalog.standards import vocabulary as words
from catalog.standards.address import Address
from catalog.standards.requirements import is_non_public
from datalab.curation.report import Column

_TYPES = {"integer": "sc:Integer", "number": "sc:Float", "double": "sc:Float", "string": "sc:Text"}
_CR = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject",
    "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
    "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator",
    "source", "subField", "transform",
)  # fmt: skip
_CONTEXT: dict[str, Any] = {
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "description": {"@container": "@language"},
    **{name: f"cr:{name}" for name in _CR},
}


def croissant(dataset: Dataset, version: Version, address: Address) -> str:
    """Return one version of a dataset as Croissant."""
    here = address.dataset(dataset.id)
    stated: dict[str, Any] = {
        "@context": {"@language": dataset.language, **_CONTEXT},
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": dataset.title,
        "description": dataset.description,
        "url": here,
        "license": _terms(dataset, address),
        "version": f"{version.number}.0.0",
        "datePublished": version.created.date().isoformat(),
        "dateModified": dataset.updated.date().isoformat(),
        "keywords": list(dataset.keywords),
        "publisher": {"@type": "sc:Organization", "name": dataset.holder_name},
        "creator": {"@type": "sc:Organization", "name": dataset.holder_name},
        "citeAs": f"{dataset.holder_name}: {dataset.title}. Version {version.number}. {here}",
        "isLiveDataset": False,
        **_responsible(dataset, version),
    }
    if is_non_public(dataset) or not version.files:
        stated["variableMeasured"] = [_measured(column) for column in version.report.columns]
    else:
        stated["distribution"] = [_file(version, index, address) for index in range(len(version.files))]
        stated["recordSet"] = [_record_set(version, index) for index in range(len(version.files))]
    return json.dumps({name: value for name, value in stated.items() if value != []}, indent=2, ensure_ascii=False)


def _terms(dataset: Dataset, address: Address) -> str:
    """Return on what terms the data may be used: its licence, or, where it has none, the offer."""
    return words.licence_address(dataset.licence) or dataset.licence or address.offer(dataset.id)


def _responsible(dataset: Dataset, version: Version) -> dict[str, Any]:
    """Return what is known of how the data came to be and what it is fit for; nothing is made up."""
    report = version.report
    frame = (
        [day.isoformat() for day in (dataset.temporal.start, dataset.temporal.end) if day] if dataset.temporal else []
    )
    personal = "Pseudonymised or otherwise personal data; it never leaves and is used under a permit in federated runs."
    stated: dict[str, Any] = {
        "rai:dataCollection": dataset.collection or dataset.provenance,
        "rai:dataCollectionTimeFrame": frame,
        "rai:dataPreprocessingProtocol": [
            f"Curated by the data contract {report.contract_id} {report.contract_version}.",
            *(f"Checked: {check.detail}" for check in report.checks if check.passed),
        ],
        "rai:dataBiases": [dataset.biases] if dataset.biases else [],
        "rai:dataLimitations": [dataset.limitations] if dataset.limitations else [],
        "rai:dataUseCases": [words.PURPOSES[letter] for letter in dataset.purposes],
        "rai:personalSensitiveInformation": [personal] if dataset.data_class == "personal" else [],
    }
    return {name: value for name, value in stated.items() if value}


def _file(version: Version, index: int, address: Address) -> dict[str, Any]:
    file = version.files[index]
    return {
        "@type": "cr:FileObject",
        "@id": f"file-{index}",
        "name": f"{version.dataset}-v{version.number}-{index}.parquet",
        "contentUrl": address.download(version.dataset, version.number, index),
        "contentSize": f"{file.bytes} B",
        "encodingFormat": "application/x-parquet",
        "sha256": file.sha256,
    }


def _record_set(version: Version, index: int) -> dict[str, Any]:
    name = "rows" if len(version.files) == 1 else f"rows-{index}"
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column.name}",
                "name": column.name,
                "description": _explained(column),
                "dataType": _TYPES.get(column.type, "sc:Text"),
                "source": {"fileObject": {"@id": f"file-{index}"}, "extract": {"column": column.name}},
            }
            for column in version.report.columns
        ],
    }


def _measured(column: Column) -> dict[str, Any]:
    stated = {"@type": "sc:PropertyValue", "name": column.name, "description": column.description}
    return {**stated, "unitText": column.unit} if column.unit else stated


def _explained(column: Column) -> str:
    return f"{column.description} ({column.unit})" if column.unit else column.description
