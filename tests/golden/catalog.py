"""Makes a frozen catalog of the present schema: ``python -m tests.golden.catalog``.

It is written once for each schema, by the last release that has it: tests open it with every later one.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
from pathlib import Path

from catalog import datasets, lifecycle
from catalog.accounts import Accounts
from catalog.credentials import Credentials
from catalog.drafts import Draft, DraftFile
from catalog.records import Announcement, DatasetPatch, DatasetState, Role, StateChange
from catalog.store import Store, now
from catalog.upload_records import Upload
from datalab.home import Home
from tests.unit.catalog.examples import account, at_site, described, draft, report

FOLDER = Path(__file__).parent


def write(path: Path) -> None:
    """Make a catalog with a record of most kinds in it, in ``path``."""
    home = Home(path.parent)
    store = Store(path)
    Accounts(store).ensure_service_accounts(home)
    Credentials(store, home.secret("second-factor-key"), path.parent / "attempts").invite(
        account(Role.STEWARD, organisation="gbsg"), actor="operator"
    )
    datasets.register(store, draft(**described()), account())
    datasets.update(store, "gbsg", DatasetPatch(title="Another title"), revision=1, account=account())
    datasets.register(store, at_site(id="rotterdam"), account())
    said = Announcement(node="rotterdam", version=1, report=report())
    datasets.announce(store, "rotterdam", said, account(Role.GATEWAY))
    lifecycle.move(
        store, "gbsg", StateChange(state=DatasetState.WITHDRAWN, reason="Faults"), revision=2, account=account()
    )
    upload = Upload(
        id="one", dataset="gbsg", filename="raw.csv", key="landing/gbsg/gbsg/one/raw.csv", sha256="0" * 64, bytes=1,
        uploaded_by="a-steward", created=now(),
    )  # fmt: skip
    moment = now()
    draft_file = DraftFile(name="raw.csv", bytes=8)
    begun = Draft(
        id="two", account="a-steward", kept_at="lab", created=moment, updated=moment, fields={}, file=draft_file
    )
    with store.change("a-steward") as change:
        change.insert("uploads", upload.id, upload)
        change.insert("drafts", begun.id, begun)
        change.event("upload.received", "upload/one")
    store.close()


def main() -> None:
    """Write ``catalog-<schema>.duckdb.gz`` beside this file, which must not be there yet."""
    try:
        from catalog.migrations import LATEST
    except ModuleNotFoundError:  # the first schema had no number
        LATEST = 1  # noqa: N806
    target = FOLDER / f"catalog-{LATEST}.duckdb.gz"
    with (
        tempfile.TemporaryDirectory() as folder,
        target.open("xb") as file,
        gzip.GzipFile("", "wb", fileobj=file) as out,
    ):
        write(Path(folder) / "records.duckdb")
        with (Path(folder) / "records.duckdb").open("rb") as made:
            shutil.copyfileobj(made, out)


if __name__ == "__main__":
    main()
