"""The lab's catalog, opened: what one process owns while it runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from catalog.access import revocations
from catalog.accounts import Accounts
from catalog.backup import take_snapshot
from catalog.credentials import Credentials
from catalog.curations import Curations
from catalog.drafts import Drafts
from catalog.erasure.eraser import Eraser
from catalog.harvest.harvester import Harvester
from catalog.lake import Lake
from catalog.landing import Landing
from catalog.oidc import Oidc
from catalog.publish import Publisher
from catalog.retention.keeper import Keeper
from catalog.search.index import SearchIndex
from catalog.sessions import Sessions
from catalog.snapshot import Snapshot
from catalog.store import Store
from catalog.tokens import Tokens
from datalab.home import Home
from datalab.permits.lists import FOLDER, RevocationFiles
from datalab.sealing.keys import KeyRing
from datalab.settings import Compute, load_settings
from datalab.storage.store import ObjectStore


@dataclass(frozen=True)
class Lab:
    """Everything a request may need.

    Attributes:
        store: the records and their audit chain.
        objects: the object store, as the lab's own user.
        landing: raw files.
        accounts: who may come in.
        tokens: personal API tokens.
        credentials: passwords and second factors of people.
        sessions: who is signed in with a browser.
        publisher: makes versions.
        eraser: removes people.
        search: finds datasets.
        drafts: datasets in the making.
        curations: runs of the pipeline over uploaded files.
        home: where the lab keeps its files.
        snapshot: copies both catalog files for a backup, on behalf of an ``actor``.
        oidc: the identity provider that the lab trusts, or None.
        keeper: removes what has outlived its time.
        harvester: reads other catalogues.
        compute: how runs share what there is.
        permit_keys: folder of the public keys that the lab pins for permits, ``HOME/permit-keys/*.jwk``.
        revocation_files: the signed lists of revoked permits, where the gateway finds them.
    """

    store: Store
    objects: ObjectStore
    landing: Landing
    accounts: Accounts
    tokens: Tokens
    credentials: Credentials
    sessions: Sessions
    publisher: Publisher
    eraser: Eraser
    search: SearchIndex
    drafts: Drafts
    curations: Curations
    home: Home
    oidc: Oidc | None
    permit_keys: Path
    revocation_files: RevocationFiles
    snapshot: Callable[..., Snapshot]
    keeper: Keeper
    harvester: Harvester
    compute: Compute


@contextmanager
def open_lab(home: Home, objects: ObjectStore) -> Iterator[Lab]:
    """Open the catalog of ``home``, finish what a crash interrupted, and close it at the end.

    Raises:
        CatalogInUseError: another process has it open.
    """
    folder = home.folder("catalog")
    shutil.rmtree(home.path / "backups", ignore_errors=True)  # snapshots that nobody has fetched
    with ExitStack() as stack:
        store = Store(folder / "records.duckdb")
        stack.callback(store.close)
        lake = Lake(folder / "lake.ducklake", objects)
        stack.callback(lake.close)
        files = RevocationFiles(home.folder(FOLDER))
        revocations.lay_out(store, files)
        accounts = Accounts(store)
        accounts.ensure_service_accounts(home)
        publisher = Publisher(store, lake, objects)
        publisher.reconcile()
        landing = Landing(home, objects)
        landing.seal_plain(store)
        drafts = Drafts(store, objects, KeyRing(home))
        drafts.sweep()
        eraser = Eraser(home, store, lake, objects, publisher, drafts, landing)
        eraser.resume()
        search = SearchIndex(folder / "search", store)
        stack.callback(search.close)
        curations = Curations(home, store)
        stack.callback(curations.close)
        settings = load_settings(home)
        harvester = Harvester(store, settings.harvest)
        stack.callback(harvester.close)
        yield Lab(
            store=store,
            objects=objects,
            landing=landing,
            accounts=accounts,
            tokens=Tokens(store),
            credentials=Credentials(store, home.secret("second-factor-key"), folder / "attempts.jsonl"),
            sessions=Sessions(store),
            publisher=publisher,
            eraser=eraser,
            search=search,
            drafts=drafts,
            curations=curations,
            home=home,
            oidc=_open_oidc(home, store),
            permit_keys=home.folder("permit-keys"),
            revocation_files=files,
            snapshot=partial(take_snapshot, home, store, lake, publisher),
            keeper=Keeper(home, store, lake, objects, landing, publisher, settings.retention),
            harvester=harvester,
            compute=settings.compute,
        )


def _open_oidc(home: Home, store: Store) -> Oidc | None:
    if (provider := load_settings(home).oidc) is None:
        return None
    secret = home.folder("secrets") / "oidc-client-secret"
    own = secret.read_text(encoding="ascii").strip() if secret.exists() else ""
    return Oidc(store, provider, own, home.secret("oidc-key"))
