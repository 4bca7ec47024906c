"""An app tried out before anybody is asked to approve it: virtual sites on this machine, and every part a real one.

Gateway, node agents and runner are processes; streams are mutual TLS; ClientApps and ServerApp run in their sandboxes;
each site curates its share of the sample and decides by its own policy. Keys and data are made for the trial.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from datalab.boundary import read_toml
from datalab.errors import BadInputError
from datalab.home import Home
from datalab.permits.claims import PermitClaims, PermittedDataset, Purpose
from datalab.permits.keys import PUBLIC_FILE, generate_key, write_key_pair
from datalab.permits.permit import sign_permit
from datalab.supervisor import Supervisor
from federation import client
from federation.bundle import digest, pack
from federation.pki.identity import Role
from federation.pki.local import create_federation, invite
from federation.run import ConfigValue, RunFolder, RunPlace

SAMPLE = "sample.csv"
EXAMPLE = "run.toml"
SITE_COLUMN = "site"
"""Column of a sample that says whose a row is; it is not part of a site's table."""
_DATASET = "sample"
_PURPOSE = Purpose.RESEARCH_ALGORITHMS


@dataclass(frozen=True)
class Sample:
    """Rows to try an app on.

    Attributes:
        columns: their names.
        sites: by site, the rows.
    """

    columns: tuple[str, ...]
    sites: Mapping[str, list[list[str]]]

    @classmethod
    def read(cls, path: Path, sites: int) -> Sample:
        """Read a CSV file with a header; its column ``site``, or else turns, says which of its ``sites`` has a row.

        Raises:
            BadInputError: it is not such a file, or has fewer rows than sites.
        """
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                header, *rows = list(csv.reader(file, strict=True))
        except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
            raise BadInputError("The sample is not a CSV file with a header, in UTF-8.", where=str(path)) from error
        odd = next((number for number, row in enumerate(rows, start=2) if len(row) != len(header)), None)
        if odd is not None or len(rows) < sites:
            problem = f"Record {odd} has another number of fields than the header." if odd else "It has too few rows."
            raise BadInputError(f"The sample cannot be used. {problem}", where=str(path))
        at = header.index(SITE_COLUMN) if SITE_COLUMN in header else None
        names = sorted({row[at] for row in rows}) if at is not None else [str(number) for number in range(sites)]
        shares: dict[str, list[list[str]]] = {f"site-{number + 1}": [] for number in range(min(sites, len(names)))}
        for number, row in enumerate(rows):
            place = names.index(row[at]) if at is not None else number
            shares[f"site-{place % len(shares) + 1}"].append([one for i, one in enumerate(row) if i != at])
        return cls(tuple(one for i, one in enumerate(header) if i != at), shares)

    def csv(self, site: str) -> str:
        """Return a site's rows as its export."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.columns, *self.sites[site]])
        return out.getvalue()

    def contract(self) -> dict[str, Any]:
        """Return a data contract under which every row is as it must be: numbers where all values are, else text."""
        values = [[row[i] for rows in self.sites.values() for row in rows if row[i]] for i in range(len(self.columns))]
        kinds = {
            name: {"logicalType": "number" if all(map(_is_number, column)) else "string"}
            for name, column in zip(self.columns, values, strict=True)
        }
        export = [{"name": name, **kind} for name, kind in kinds.items()]
        harmonised = [{"name": name, "transformLogic": f'"{name}"', **kind} for name, kind in kinds.items()]
        return {
            "apiVersion": "v3.1.0",
            "kind": "DataContract",
            "id": _DATASET,
            "name": "Sample",
            "version": "1.0.0",
            "status": "active",
            "schema": [
                {"name": "export", "logicalType": "object", "properties": export},
                {"name": "harmonised", "logicalType": "object", "properties": harmonised},
            ],
        }


def example_settings(app: Path) -> dict[str, ConfigValue]:
    """Return the settings in the app's example, ``[config]`` of its ``run.toml``; none if it has none."""
    path = app / EXAMPLE
    settings: dict[str, ConfigValue] = read_toml(path).get("config", {}) if path.exists() else {}
    return settings


def try_app(
    app: Path,
    sample: Sample,
    *,
    folder: Path,
    config: Mapping[str, ConfigValue],
    supervisor: Supervisor,
    on_event: Callable[[Mapping[str, Any]], None],
) -> RunFolder:
    """Run an app at virtual sites, and return the folder of its run.

    Args:
        app: its folder.
        sample: what the sites have.
        folder: for everything that is made.
        config: run configuration.
        supervisor: owns the processes.
        on_event: called with each event of the run.

    Raises:
        DatalabError: a part did not start, the app is refused, or the run did not complete.
    """
    lab, key = Home(folder / "lab"), generate_key()
    (lab.folder() / "datalab.toml").write_text("[ports]\ngateway = 0\nenrolment = 0\n", encoding="utf-8")
    public = Home(folder / "access-body").folder()
    write_key_pair(key, public)
    create_federation(lab)
    supervisor.start("gateway", "federation.gateway.server", lab)
    homes = {name: Home(folder / "sites" / name) for name in sample.sites}
    app_sha256, permit_key = digest(pack(app)), (public / PUBLIC_FILE).read_bytes()
    for part, (name, home) in enumerate(homes.items()):
        partition = f"partition-id = {part}\nnum-partitions = {len(homes)}\n"
        _lay_out(home, name, lab, sample, app_sha256, permit_key, partition)
        supervisor.start("node", "federation.node.agent", home, wait=False)
    for home in homes.values():
        supervisor.wait_ready("node", home)
    now = datetime.now(UTC)
    claims = PermitClaims(
        id="trial",
        issuer="Trial",
        data_user="Trial",
        people=("Whoever tries the app",),
        project="Trial of an app on sample data",
        purpose=_PURPOSE,
        datasets=(PermittedDataset(id=_DATASET),),
        not_before=now - timedelta(minutes=1),
        expires=now + timedelta(hours=1),
    )
    run = client.submit(
        lab,
        app,
        run_id="trial",
        places=[RunPlace(node=name, dataset=_DATASET) for name in homes],
        permit=sign_permit(claims, key),
        purpose=_PURPOSE,
        config=config,
        record=False,
    )
    for event in client.watch(run, client.start(run, supervisor)):
        on_event(event)
    return run


def app_logs(folder: Path) -> list[Path]:
    """Return what the app printed in a trial, at the lab and at each site."""
    return sorted([*folder.glob("lab/runs/*/log/server-app.log"), *folder.glob("sites/*/log/run-*.log")])


def _lay_out(
    home: Home, name: str, lab: Home, sample: Sample, app_sha256: str, permit_key: bytes, partition: str
) -> None:
    """Write a site's home: its export, contract, policy, what it tells apps of itself, and token."""
    (home.folder("export") / "sample.csv").write_text(sample.csv(name), encoding="utf-8")
    (home.path / "sample.odcs.yaml").write_text(json.dumps(sample.contract()), encoding="utf-8")  # JSON is YAML
    (home.path / "permit-key.jwk").write_bytes(permit_key)
    (home.path / "node.toml").write_text(
        f'[policy]\npurposes = ["{_PURPOSE}"]\npermit_keys = ["permit-key.jwk"]\nminimum_rows = 1\n\n'
        f'[[policy.apps]]\nsha256 = "{app_sha256}"\n\n'
        f'[[datasets]]\nid = "{_DATASET}"\nsource = "export/sample.csv"\ncontract = "sample.odcs.yaml"\n\n'
        f"[node_config]\n{partition}",
        encoding="utf-8",
    )
    token = home.path / "token"
    token.touch(mode=0o600)
    token.write_text(invite(lab, Role.NODE, name, organisation=name, country="EU"), encoding="ascii")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
