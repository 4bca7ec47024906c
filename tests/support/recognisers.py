"""What presidio's recognisers find, of those that need no language model: run by the Python of ``.peers``.

The standard input is a JSON object of texts by kind, the answer one of what was found in each: the texts of the spans.
"""

from __future__ import annotations

import json
import sys
from typing import Any

REGIONS = ("DE", "AT", "CH", "FR", "BE", "NL", "GB", "US")
RECOGNISERS: dict[str, tuple[str, ...]] = {
    "e-mail": ("EmailRecognizer",),
    "telephone": ("PhoneRecognizer",),
    "IBAN": ("IbanRecognizer",),
    "payment card": ("CreditCardRecognizer",),
    "date": ("DateRecognizer",),
    "IP": ("IpRecognizer",),
    "MAC": ("MacAddressRecognizer",),
    "UUID": ("UuidRecognizer",),
    "web address": ("UrlRecognizer",),
    "wallet": ("CryptoRecognizer",),
    "KVNR": ("DeHealthInsuranceRecognizer",),
    "Rentenversicherung": ("DeSocialSecurityRecognizer",),
    "Steuer-ID": ("DeTaxIdRecognizer",),
    "Steuernummer": ("DeTaxNumberRecognizer",),
    "Ausweis": ("DeIdCardRecognizer", "DePassportRecognizer"),
    "Führerschein": ("DeFuehrerscheinRecognizer",),
    "USt-IdNr.": ("DeVatIdRecognizer",),
    "LANR": ("DeLanrRecognizer", "DeBsnrRecognizer"),
    "Kennzeichen": ("DeKfzRecognizer",),
    "codice fiscale": ("ItFiscalCodeRecognizer",),
    "NIF": ("EsNifRecognizer", "EsNieRecognizer"),
    "PESEL": ("PlPeselRecognizer",),
    "personnummer": ("SePersonnummerRecognizer",),
    "henkilötunnus": ("FiPersonalIdentityCodeRecognizer",),
    "NHS": ("NhsRecognizer",),
    "NINO": ("UkNinoRecognizer",),
}
LEAST = 0.15
"""Score below which presidio itself asks for words around that say what it is."""


def main() -> None:
    """Answer."""
    import tldextract
    from presidio_analyzer import predefined_recognizers

    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())  # it would ask the network for a list
    found: dict[str, list[list[str]]] = {}
    for kind, texts in json.load(sys.stdin).items():
        names = RECOGNISERS.get(kind, tuple({one for some in RECOGNISERS.values() for one in some}))
        made = [_made(predefined_recognizers, name) for name in names]
        found[kind] = [
            [
                text[one.start : one.end]
                for recogniser in made
                for one in recogniser.analyze(text, recogniser.supported_entities, None) or []
                if one.score >= LEAST
            ]
            for text in texts
        ]
    print(json.dumps(found))


def _made(module: Any, name: str) -> Any:
    kind = getattr(module, name)
    return kind(supported_regions=REGIONS) if name == "PhoneRecognizer" else kind()


if __name__ == "__main__":
    main()
