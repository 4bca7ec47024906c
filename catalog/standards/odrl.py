"""The terms of a dataset as an ODRL 2.2 offer: what may be done, for which purposes, on which conditions."""

from __future__ import annotations

import json
from typing import Any

from catalog.records import Dataset
from catalog.standards import vocabulary as words
from catalog.standards.address import Address
from catalog.standards.requirements import is_non_public
from catalog.standards.vocabulary import licence_address

TAKING_AWAY = ("reproduce", "distribute", "move", "extract")
"""What nobody may do to data that never leaves its place."""
_TERMS = ("action", "conflict", "leftOperand", "operator")
_LINKS = ("assigner", "consentingParty", "constraint", "duty", "permission", "prohibition", "rightOperand", "target")
_CONTEXT: dict[str, Any] = {
    "@vocab": "http://www.w3.org/ns/odrl/2/",
    "dct": "http://purl.org/dc/terms/",
    "fn": "http://www.w3.org/2006/vcard/ns#fn",
    "uid": "@id",
    **{term: {"@type": "@vocab"} for term in _TERMS},
    **{link: {"@type": "@id"} for link in _LINKS},
}
"""The standard's own names, written out: nobody has to fetch a context to read an offer."""


def offer(dataset: Dataset, address: Address) -> str:
    """Return the offer: data that does not leave may be derived from (a model, a statistic) and not taken away."""
    target = address.dataset(dataset.id)
    kept = is_non_public(dataset)
    permission: dict[str, Any] = {"target": target, "action": "derive" if kept else "use"}
    if dataset.purposes:
        permission["constraint"] = [
            {
                "leftOperand": "purpose",
                "operator": "isAnyOf",
                "rightOperand": [{"@id": words.purpose(letter)} for letter in dataset.purposes],
            }
        ]
    if dataset.access != "public":
        decider = dataset.hdab.name if dataset.hdab else dataset.holder_name
        permission["duty"] = [{"action": "obtainConsent", "consentingParty": {"@type": "Party", "fn": decider}}]
    stated: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "Offer",
        "uid": address.offer(dataset.id),
        "conflict": "prohibit",
        "assigner": {"uid": f"{target}#publisher", "@type": "Party", "fn": dataset.holder_name},
        "permission": [permission],
    }
    if kept:
        stated["prohibition"] = [{"target": target, "action": action} for action in TAKING_AWAY]
    if licence := licence_address(dataset.licence):
        stated["dct:license"] = {"@id": licence}
    return json.dumps(stated, indent=2, ensure_ascii=False)
