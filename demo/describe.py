"""How the demo's stewards describe their datasets: fully, so that every standard can be served."""

from __future__ import annotations

from catalog.records import AccessBody, Contact, DatasetDraft
from catalog.standards.vocabulary import health_category
from datalab.curation.contract import load_contract
from demo.studies import Site, Study


def describe(site: Site, study: Study) -> DatasetDraft:
    """Return a site's dataset as its steward registers it; the addresses are reserved for examples (RFC 2606)."""
    contract = load_contract(site.contract_path)
    return DatasetDraft(
        id=site.dataset,
        title=site.title,
        description=contract.description,
        keywords=study.keywords,
        modality="tabular",
        holder=site.name,
        holder_name=site.holder,
        country=site.country,
        steward=f"Data steward, {site.holder}",
        theme="HEAL",
        access="restricted" if site.shares else "federated-only",
        data_class="personal",
        kept_at="lab" if site.shares else "site",
        node=None if site.shares else site.name,
        contract_id=contract.id,
        contract_version=contract.version,
        legal_basis="GDPR Art. 6(1)(e) and 9(2)(j)",
        purposes=("e",),
        contact=Contact(name=f"Data steward, {site.holder}", email=f"data@{site.name}.example"),
        provenance=site.provenance,
        spatial=(site.country,),
        health_categories=(health_category(site.category),),
        hdab=AccessBody(
            name="Health data access body of the demo",
            contact=Contact(name="Applications", url=f"https://hdab.{site.country.lower()}.example/"),
        ),
    )
