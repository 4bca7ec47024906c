"""What the demo shows at its end: a table for people, and the same as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from demo.conduct import Demo

MODELS = ("local", "federated", "pooled")


def build_report(demo: Demo, card: dict[str, Any], report: dict[str, Any], pooled: dict[str, Any]) -> dict[str, Any]:
    """Return the demo's result as JSON values.

    Args:
        demo: the finished demo.
        card: its run card.
        report: what the ServerApp wrote: the sites' AUCs by Flower's node id; those of too few patients are left out.
        pooled: AUC of the pooled model by site.
    """
    versions = demo.versions()
    ids = {node["name"]: str(node["flower_id"]) for node in card["nodes"]}
    sites = []
    for site in demo.study.sites:
        metrics = report[ids[demo.node_of(site)]]
        auc = {
            model: {key: metrics[f"{model}-{key}"] for key in ("value", "low", "high")}
            if f"{model}-value" in metrics
            else None
            for model in ("local", "federated")
        }
        version, cost = versions[site.name], demo.costs.get(site.name)
        sites.append(
            {
                "name": site.name,
                "country": site.country,
                "exported": cost.rows_in if cost else version.report.rows_in,
                "suppressed": cost.suppressed if cost else 0,
                "rejected_rows": _plus(version.report.rejected_rows, cost.rejected_rows if cost else 0),
                "excluded": version.report.excluded,
                "rows": version.report.rows,
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
    """Print what each site brought, how the models compare, and where everything is."""
    console.print()
    console.print(_data_table(result))
    console.print(_auc_table(demo, result))
    total = {way: sum(node[way] for node in result["traffic"].values()) for way in ("to_node", "from_node")}
    transport = result["transport"]
    console.print(
        f"{len(result['rounds'])} rounds: {total['to_node'] / 1000:,.1f} kB went to the nodes, "
        f"{total['from_node'] / 1000:,.1f} kB came back; {transport['tls_version']}, "
        f"{'client certificates demanded, held by' if transport['mutual'] else 'NO client certificate demanded of'}",
        highlight=False,
    )
    for identity in transport["client_identities"]:
        console.print(f"  {identity}", highlight=False)
    lab = demo.lab.path
    run = lab / "runs" / card["run"]
    for what, where in (
        ("model", run / "artifacts" / "model.safetensors"),
        ("run card", run / "run-card.json"),
        ("catalog", lab / "catalog-entries.json"),
        ("all of it", demo.folder),
    ):
        console.print(f"{what:<10}{where}", soft_wrap=True, highlight=False)


def _data_table(result: dict[str, Any]) -> Table:
    table = Table(title="What each site brought (persons)", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("site", "", "data"):
        table.add_column(heading)
    for heading in ("exported", "k-anon", "rejected", "excluded", "used", "events"):
        table.add_column(heading, justify="right")
    for site in result["sites"]:
        table.add_row(
            site["name"],
            site["country"],
            "stays" if site["kept_at"] == "site" else "shared",
            *(_count(site[key]) for key in ("exported", "suppressed", "rejected_rows")),
            _count(None if None in site["excluded"].values() else sum(site["excluded"].values())),
            *(_count(site[key]) for key in ("rows", "events")),
        )
    return table


def _auc_table(demo: Demo, result: dict[str, Any]) -> Table:
    table = Table(title=f"AUC on held-out patients, bootstrap 95 % interval\n{demo.study.outcome}", box=SIMPLE_HEAD)
    table.add_column("site")
    for heading in ("own model", "federated", "pooled"):
        table.add_column(heading, justify="right")
    for site in result["sites"]:
        table.add_row(site["name"], *(_auc(site["auc"][model]) for model in MODELS))
    return table


def _plus(count: int | None, more: int) -> int | None:
    return None if count is None else count + more


def _count(value: int | None) -> str:
    return "withheld" if value is None else f"{value:,}"


def _auc(auc: dict[str, float] | None) -> str:
    return "withheld" if auc is None else f"{auc['value']:.3f} ({auc['low']:.3f}-{auc['high']:.3f})"


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
