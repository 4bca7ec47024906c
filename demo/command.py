"""``datalab demo``."""

from __future__ import annotations

import json
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datalab.errors import BadInputError
from datalab.home import Home
from datalab.supervisor import Supervisor

if TYPE_CHECKING:
    from rich.console import Console

    from demo.conduct import Demo


@click.command()
@click.option(
    "--study",
    type=click.Choice(["cancer", "heart"]),
    default="cancer",
    show_default=True,
    help="Breast cancer in two countries, or heart disease in four hospitals.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="For the heart study: the folder with the four files as UCI publishes them.",
)
@click.option("--rounds", type=click.IntRange(1, 1000), default=20, show_default=True, help="Rounds of training.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same parameters.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep everything in this folder, which must be empty or new; a new temporary folder if this is left out.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the result to this file as JSON.",
)
def demo(study: str, data: Path | None, rounds: int, seed: int, keep: Path | None, json_file: Path | None) -> None:
    """Show the whole of Datalab with real data: hospitals and a gigafactory train one model over mutual TLS.

    Every part is a process of its own on this machine: object store, lab server, gateway, one node for each data holder
    that keeps its data, and the lab's compute node for data that was shared. The demo plays the people: it registers
    datasets, issues a permit, launches a federated run, and compares the model with what each site could do alone. All
    processes are stopped at the end, whatever happens.
    """
    from rich.console import Console

    from demo.conduct import Demo
    from demo.report import write_json
    from demo.sources import check_source
    from demo.studies import STUDIES

    chosen = STUDIES[study]
    check_source(chosen, data)
    if json_file is not None:
        write_json(json_file, None)
    folder = _folder(study, keep)
    console = Console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console.print(f"Everything is below {folder}", soft_wrap=True, highlight=False)
    with Supervisor() as supervisor:
        running = Demo(chosen, folder, supervisor, lambda line: console.print(line, soft_wrap=True, highlight=False))
        result = _play(running, console, data=data, rounds=rounds, seed=seed)
    if json_file is not None:
        write_json(json_file, result)


def _play(demo: Demo, console: Console, *, data: Path | None, rounds: int, seed: int) -> dict[str, Any]:
    from demo.pooled import pooled_auc
    from demo.report import build_report, catalog_entries, print_report, write_json
    from federation.commands.run import round_line

    sharing = [site for site in demo.study.sites if site.shares]
    console.print(f"[bold]{demo.study.title}[/]", highlight=False)
    with demo.step("holders export their data; the access body makes its key"):
        demo.lay_out(data)
        demo.make_keys()
    with demo.step("lab started: object store, lab server, gateway"):
        demo.start_lab()
    with demo.step("stewards registered their datasets"):
        demo.register()
    with demo.step("nodes enrolled, curated on site, connected outwards"):
        demo.start_nodes()
    for site in sharing:
        with demo.step(f"{site.name} de-identified its data and shared it"):
            cost = demo.share(site)
        console.print(
            f"  {cost.suppressed} of {cost.rows_in} patients suppressed ({cost.loss:.1%}) so that each class of "
            f"{', '.join(cost.quasi_identifiers)} has at least {cost.k}",
            highlight=False,
        )
        with demo.step(f"Dagster curated and published {site.dataset} version 1"):
            outcome = demo.curate(site)
        checks = outcome["checks"]
        console.print(
            f"  run {outcome['run_id']}: {checks['passed']} checks passed, {checks['failed']} failed",
            highlight=False,
            soft_wrap=True,
        )
        console.print(f"  download refused: {demo.refused_download(site)}", highlight=False, soft_wrap=True)
    with demo.step("the lab's compute node read what was published"):
        demo.start_compute()
    with demo.step("the access body issued a permit"):
        demo.issue_permit()
    with demo.step(f"federated run of {rounds} rounds"):
        run = demo.run(
            rounds=rounds, seed=seed, on_round=lambda event: console.print(f"  {round_line(event)}", highlight=False)
        )
    card = run.read_card()
    with demo.step("pooled model for comparison, because a demo may"):
        pooled = pooled_auc(demo.tables(), card["app"]["config"])
    result = build_report(demo, card, json.loads((run.artifacts / "report.json").read_text(encoding="utf-8")), pooled)
    write_json(demo.lab.path / "catalog-entries.json", catalog_entries(demo))
    print_report(console, demo, result, card)
    return result


def _folder(study: str, keep: Path | None) -> Path:
    """Return the folder to work in: empty, and writable."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix=f"datalab-demo-{study}-"))
    if keep.is_dir() and any(keep.iterdir()):
        raise BadInputError(f"The folder {keep} is not empty.", next_step="Name an empty or a new one with --keep.")
    Home(keep).check_writable()
    return keep.absolute()
