"""What the demo shows at its end: a table for people, and the same as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from demo.conduct import Demo

MODELS = ("local", "federated", "pooled")


def build_report(demo: Demo, card: dict[str, Any], report: dict[str, Any], pooled: dict[str, Any]) -> dict[str, Any]:
    """Return the demo's result as JSON values.

    Args:
        demo: the finished demo.
        card: its run card.
        report: what the ServerApp wrote: the sites' AUCs by Flower's node id.
        pooled: AUC of the pooled model by site.
    """
    versions = demo.versions()
    ids = {node["name"]: str(node["flower_id"]) for node in card["nodes"]}
    sites = []
    for site in demo.study.sites:
        metrics = report[ids[demo.node_of(site)]]
        auc = {
            model: {key: metrics[f"{model}-{key}"] for key in ("value", "low", "high")}
            for model in ("local", "federated")
        }
        version = versions[site.name]
        sites.append(
            {
                "name": site.name,
                "country": site.country,
                "rows": version.report.rows,
                "excluded": version.report.excluded,
                "events": version.report.events,
                "kept_at": site.kept_at,
                "auc": {**auc, "pooled": pooled[site.name]},
            }
        )
    record = demo.record()
    transport = demo.transport()
    return {
        "study": demo.study.name,
        "sites": sites,
        "rounds": card["rounds"],
        "transport": {**asdict(transport), "client_identities": [node["identity"] for node in card["nodes"]]},
        "datasets": [
            {
                "id": version.dataset,
                "version": version.number,
                "rows": version.report.rows,
                "rejected_rows": version.report.rejected_rows,
                "checks": {"passed": version.checks_passed, "failed": version.checks_failed},
                "parquet_sha256": version.report.parquet_sha256,
            }
            for version in versions.values()
        ],
        "artifacts": [{"name": one.name, "uri": one.uri, "sha256": one.sha256} for one in record.artifacts],
        "traffic": card["traffic"],
        "steps": [{"name": name, "seconds": seconds} for name, seconds in demo.steps.items()],
    }


def print_report(console: Console, demo: Demo, result: dict[str, Any], card: dict[str, Any]) -> None:
    """Print the table, and where everything is."""
    table = Table(title=f"AUC on held-out patients, with a bootstrap 95 % interval: {demo.study.outcome}")
    for heading in ("site", "country", "data"):
        table.add_column(heading)
    for heading in ("patients", "excluded", "events", "own model", "federated", "pooled"):
        table.add_column(heading, justify="right")
    for site in result["sites"]:
        excluded = [one for one in site["excluded"].values() if one is not None]
        withheld = len(excluded) < len(site["excluded"])
        table.add_row(
            site["name"],
            site["country"],
            "stays at the site" if site["kept_at"] == "site" else "shared with the lab",
            _count(site["rows"]),
            _count(None if withheld else sum(excluded)),
            _count(site["events"]),
            *(_auc(site["auc"][model]) for model in MODELS),
        )
    console.print()
    console.print(table)
    total = {way: sum(node[way] for node in result["traffic"].values()) for way in ("to_node", "from_node")}
    console.print(
        f"{len(result['rounds'])} rounds; {total['to_node'] / 1000:,.1f} kB went to the nodes and "
        f"{total['from_node'] / 1000:,.1f} kB came back, over {result['transport']['tls_version']} with client "
        f"certificates: {', '.join(result['transport']['client_identities'])}."
    )
    lab = demo.lab.path
    run = lab / "runs" / card["run"]
    for what, where in (
        ("model", run / "artifacts" / "model.safetensors"),
        ("run card", run / "run-card.json"),
        ("catalog entry", lab / "catalog-entries.json"),
        ("everything", demo.folder),
    ):
        console.print(f"  {what:<14}{where}", soft_wrap=True, highlight=False)


def _count(value: int | None) -> str:
    return "withheld" if value is None else f"{value:,}"


def _auc(auc: dict[str, float]) -> str:
    return f"{auc['value']:.3f} ({auc['low']:.3f}-{auc['high']:.3f})"


def catalog_entries(demo: Demo) -> list[dict[str, Any]]:
    """Return the catalog's records of the study's datasets and versions, as its API gives them."""
    from catalog.client import lab_client

    with lab_client(demo.lab, "operator") as lab:
        return [
            {
                "dataset": lab.dataset(site.dataset).model_dump(mode="json"),
                "versions": [one.model_dump(mode="json") for one in lab.versions(site.dataset)],
            }
            for site in demo.study.sites
        ]


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON; raises NotWritableError where that cannot be done."""
    import json

    from datalab.errors import NotWritableError

    try:
        path.write_text(json.dumps(value, indent=2), encoding="utf-8")
    except OSError as error:
        raise NotWritableError(f"Cannot write {path}: {error.strerror}.", next_step="Name another file.") from error
