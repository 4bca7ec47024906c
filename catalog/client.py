"""Client of the lab server's JSON API, typed with the catalog's records.

Light on purpose (httpx and pydantic, neither DuckDB nor a web framework), so that gateways and pipelines may
use it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from catalog.access.records import PermitDraft, PermitRecord
from catalog.compare import Comparison
from catalog.erasure.records import Erasure, ErasureDraft, Marks
from catalog.errors import (
    CatalogError,
    ConflictError,
    DataMismatchError,
    NotPermittedError,
    TooLargeError,
    TooManyAttemptsError,
)
from catalog.event_records import Event, EventsVerification
from catalog.harvest.records import RemoteEntry, Source, SourceDraft
from catalog.launch import AppFacts, DryRun, Work
from catalog.progress import Progress
from catalog.records import (
    AccountDraft,
    Announcement,
    Dataset,
    DatasetDraft,
    DatasetPatch,
    DatasetState,
    Hold,
    Invitation,
    IssuedAccount,
    PublishRequest,
    Reason,
    StateChange,
    StoredFile,
    Version,
)
from catalog.release.records import ReleaseAsk, ReleaseDecision
from catalog.retention.records import Due
from catalog.run_records import Launch, RunDraft, RunPatch, RunRecord
from catalog.running import Runs
from catalog.search.model import SearchPage, SearchQuery
from catalog.snapshot import KeptBackup, Snapshot
from catalog.standards.requirements import Readiness
from catalog.upload_records import Landed, Upload
from datalab.errors import BadInputError, DatalabError, IdentityError, NotFoundError, ServiceFailedError
from datalab.home import Home

_T = TypeVar("_T")
_PIECE = 1 << 20
_HARVEST = 1500.0
"""Seconds that a harvest may take: the lab gives up before."""
_ERRORS: dict[int, type[DatalabError]] = {
    400: BadInputError,
    401: IdentityError,
    403: NotPermittedError,
    404: NotFoundError,
    409: ConflictError,
    412: ConflictError,
    413: TooLargeError,
    422: BadInputError,
    428: ConflictError,
    429: TooManyAttemptsError,
}


class LabClient:
    """A lab, as one account sees it. Use it as a context manager, or call ``close``.

    Every method raises the ``DatalabError`` that the server answered with (same what, where and next step), and
    ``ServiceFailedError`` where the server cannot be reached.

    Args:
        url: address of the lab server, such as ``http://127.0.0.1:8440``.
        token: the account's bearer token.
        timeout: seconds to wait for an answer; publishing reads whole files back, so be generous.
    """

    def __init__(self, url: str, token: str, *, timeout: float = 300.0) -> None:
        self._http = httpx.Client(
            base_url=f"{url}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(timeout, connect=10.0),
            trust_env=False,
        )
        self._url = url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def health(self) -> None:
        """Return if the lab server answers and its store works."""
        self._send("GET", "/health")

    # Datasets

    def register_dataset(self, draft: DatasetDraft, *, state: DatasetState = DatasetState.PUBLISHED) -> Dataset:
        """Register a dataset, published or as a draft; ConflictError if the id is taken."""
        return self._call(Dataset, "POST", "/datasets", body=draft, params={"state": state.value})

    def datasets(self) -> list[Dataset]:
        """Return all datasets, by id."""
        return self._pages(Dataset, "/datasets", lambda last: last.id)

    def search(self, query: SearchQuery) -> SearchPage:
        """Return one page of the datasets that are found, with facets."""
        asked: dict[str, Any] = {"q": query.text, "sort": query.sort, "page": query.page, "size": query.size}
        asked.update({str(facet): values for facet, values in query.filters.items()})
        return self._call(SearchPage, "GET", "/search", params=asked)

    def dataset(self, dataset: str) -> Dataset:
        """Return one dataset."""
        return self._call(Dataset, "GET", f"/datasets/{_part(dataset)}")

    def update_dataset(self, dataset: str, patch: DatasetPatch, *, revision: int) -> Dataset:
        """Change a dataset that is still at ``revision``; ConflictError if somebody was faster."""
        return self._call(Dataset, "PATCH", f"/datasets/{_part(dataset)}", body=patch, revision=revision)

    def move_dataset(self, dataset: str, wanted: StateChange, *, revision: int) -> Dataset:
        """Publish, withdraw, delete or restore a dataset that is still at ``revision``."""
        return self._call(Dataset, "POST", f"/datasets/{_part(dataset)}/state", body=wanted, revision=revision)

    def standards(self, dataset: str) -> list[Readiness]:
        """Return per standard what a dataset still lacks."""
        return self._call(list[Readiness], "GET", f"/datasets/{_part(dataset)}/standards")

    def export(self, dataset: str, form: str, *, version: int | None = None) -> str:
        """Return a dataset as ``dcat-ap.ttl``, ``croissant`` or another form; its latest version unless one is named.

        Raises:
            ConflictError: the dataset lacks what the standard demands; the error names each field.
        """
        params = {} if version is None else {"version": version}
        return self._send("GET", f"/datasets/{_part(dataset)}/exports/{_part(form)}", params=params).text

    def export_catalogue(self, form: str, *, page: int = 1) -> str:
        """Return one page of the whole catalogue as ``dcat-ap.ttl`` or another form of DCAT-AP."""
        return self._send("GET", f"/catalog/{_part(form)}", params={"page": page}).text

    # Files and versions

    def upload(self, dataset: str, path: Path, *, filename: str | None = None) -> Upload:
        """Stream a raw file to the lab's landing area, and compare the digest that arrived with the one sent."""
        digest = hashlib.sha256()

        def pieces() -> Iterator[bytes]:
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
                    yield piece

        answer = self._send(
            "POST",
            f"/datasets/{_part(dataset)}/uploads",
            params={"filename": filename or path.name},
            content=pieces(),
            headers={"Content-Length": str(path.stat().st_size), "Content-Type": "application/octet-stream"},
        )
        upload = Upload.model_validate_json(answer.content)
        if upload.sha256 != digest.hexdigest():
            raise DataMismatchError(
                "What arrived at the lab is not what was sent.", where=path.name, next_step="Upload it again."
            )
        return upload

    def get_upload(self, upload: str) -> Upload:
        """Return the record of an upload."""
        return self._call(Upload, "GET", f"/uploads/{_part(upload)}")

    def landings(self) -> list[Landed]:
        """Return all uploads of the lab and what has become of each, the oldest first."""
        return self._call(list[Landed], "GET", "/landings")

    def publish(self, dataset: str, request: PublishRequest) -> Version:
        """Publish curated Parquet from ``staging/`` as the next version; idempotent per intent."""
        return self._call(Version, "POST", f"/datasets/{_part(dataset)}/versions", body=request)

    def announce(self, dataset: str, announcement: Announcement) -> Version:
        """Record a version that a node keeps; the same contract and Parquet digests give the same version."""
        return self._call(Version, "POST", f"/datasets/{_part(dataset)}/announcements", body=announcement)

    def versions(self, dataset: str) -> list[Version]:
        """Return all versions of a dataset, the oldest first."""
        return self._call(list[Version], "GET", f"/datasets/{_part(dataset)}/versions")

    def version(self, dataset: str, number: int) -> Version:
        """Return one version of a dataset."""
        return self._call(Version, "GET", f"/datasets/{_part(dataset)}/versions/{number}")

    def lineage(self, dataset: str, number: int) -> list[dict[str, Any]]:
        """Return the OpenLineage run events of a version."""
        return self._call(list[dict[str, Any]], "GET", f"/datasets/{_part(dataset)}/versions/{number}/lineage")

    def compare(self, dataset: str, before: int, after: int) -> Comparison:
        """Return two versions beside each other: columns, rows, checks."""
        asked = {"before": before, "after": after}
        return self._call(Comparison, "GET", f"/datasets/{_part(dataset)}/comparison", params=asked)

    def withdraw_version(self, dataset: str, number: int, reason: str) -> Version:
        """Withdraw a version for good; nobody may use it afterwards."""
        path = f"/datasets/{_part(dataset)}/versions/{number}/withdrawal"
        return self._call(Version, "POST", path, body=Reason(reason=reason))

    def files(self, dataset: str, number: int) -> list[StoredFile]:
        """Return where the files of a version lie in the bucket (for the lab's own compute and pipelines)."""
        return self._call(list[StoredFile], "GET", f"/datasets/{_part(dataset)}/versions/{number}/files")

    def download_url(self, dataset: str, number: int, *, file: int = 0) -> str:
        """Return a short-lived address of one file of a version of anonymous data."""
        path = f"/datasets/{_part(dataset)}/versions/{number}/download"
        return self._send("GET", path, params={"file": file}).headers["Location"]

    # Other catalogues

    def sources(self) -> list[Source]:
        """Return the catalogues that are harvested, by id, each with what came of it last."""
        return self._call(list[Source], "GET", "/sources")

    def add_source(self, draft: SourceDraft) -> Source:
        """Put a catalogue on record; NotPermittedError if its address may not be fetched from."""
        return self._call(Source, "POST", "/sources", body=draft)

    def remove_source(self, source: str) -> None:
        """Take a catalogue off the record, and what was found in it."""
        self._send("DELETE", f"/sources/{_part(source)}")

    def harvest(self, source: str, *, file: Path | None = None, allow_removals: bool = False) -> Source:
        """Harvest a catalogue from its address, or from a file that has all of it; return what came of it.

        Args:
            source: id of the catalogue.
            file: its ending says how it is written: ``.ttl``, ``.nt``, ``.jsonld``, ``.rdf``.
            allow_removals: whether more of its entries may be withdrawn than the lab's settings say.
        """
        path, allow = f"/sources/{_part(source)}", {"allow_removals": allow_removals}
        if file is None:
            answer = self._send("POST", f"{path}/harvests", params=allow, timeout=_HARVEST)
        else:
            asked = {**allow, "filename": file.name}
            headers = {"Content-Type": "application/octet-stream"}
            answer = self._send(
                "PUT", f"{path}/document", params=asked, content=file.read_bytes(), headers=headers, timeout=_HARVEST
            )
        return Source.model_validate_json(answer.content)

    def remote_entry(self, entry: str) -> RemoteEntry:
        """Return a dataset of another catalogue as it is described there."""
        return self._call(RemoteEntry, "GET", f"/remotes/{_part(entry)}")

    # Erasure

    def erase(self, draft: ErasureDraft) -> Erasure:
        """Remove a person from everything that the lab keeps of a data holder's, and leave them out from now on."""
        return self._call(Erasure, "POST", "/erasures", body=draft)

    def erasures(self) -> list[Erasure]:
        """Return all erasures, the oldest first."""
        return self._call(list[Erasure], "GET", "/erasures")

    def opt_outs(self, holder: str) -> Marks:
        """Return the marks of a holder's people who are left out of every curation."""
        return self._call(Marks, "GET", f"/opt-outs/{_part(holder)}")

    def processing(self, form: str, dataset: str | None = None) -> str:
        """Return a record of processing or material for an impact assessment, of one dataset or of the whole lab."""
        of = "" if dataset is None else f"/datasets/{_part(dataset)}"
        return self._send("GET", f"{of}/processing/{_part(form)}").text

    def retention(self, at: datetime | None = None) -> list[Due]:
        """Return what has outlived its time, now or at another moment; nothing is changed."""
        return self._call(list[Due], "GET", "/retention", params=None if at is None else {"at": at.isoformat()})

    def carry_out_retention(self) -> list[Due]:
        """Have what has outlived its time removed now, and return it."""
        return self._call(list[Due], "POST", "/retention")

    def hold(self, dataset: str, reason: str | None) -> Dataset:
        """Put a dataset under legal hold, or release it (None)."""
        return self._call(Dataset, "PUT", f"/datasets/{_part(dataset)}/hold", body=Hold(reason=reason))

    def take_snapshot(self, goes_to: str = "") -> Snapshot:
        """Have the lab copy its catalog's files, as they are at this moment, into its home, for a backup elsewhere."""
        return self._call(Snapshot, "POST", "/backups", params={"folder": goes_to})

    def kept_backups(self) -> list[KeptBackup]:
        """Return the newest backup in each folder that the lab knows of."""
        return self._call(list[KeptBackup], "GET", "/backups")

    # Permits

    def record_permit(self, token: str) -> PermitRecord:
        """Record a signed permit; the lab verifies it against the keys it pins."""
        try:
            draft = PermitDraft(token=token)
        except ValidationError as error:
            raise BadInputError(
                "This is not a signed permit (a compact JWS).", next_step="Hand in what `datalab permit issue` wrote."
            ) from error
        return self._call(PermitRecord, "POST", "/permits", body=draft)

    def permits(self) -> list[PermitRecord]:
        """Return all permits on record, by id."""
        return self._pages(PermitRecord, "/permits", lambda last: last.id)

    def revoke_permit(self, permit: str) -> PermitRecord:
        """Mark a permit as revoked; no new run may name it."""
        return self._call(PermitRecord, "POST", f"/permits/{_part(permit)}/revocation")

    # Runs

    def upload_app(self, bundle: bytes) -> AppFacts:
        """Hand in a Flower app as a bundle (``federation.bundle.pack``), and return what the lab takes it for."""
        headers = {"Content-Type": "application/zip"}
        return TypeAdapter(AppFacts).validate_json(self._send("POST", "/apps", content=bundle, headers=headers).content)

    def apps(self) -> list[AppFacts]:
        """Return the lab's app templates."""
        return self._call(list[AppFacts], "GET", "/apps")

    def dry_run(self, launch: Launch) -> DryRun:
        """Return what would come of a launch, site by site; nothing is started."""
        return self._call(DryRun, "POST", "/runs/dry-run", body=launch)

    def submit_run(self, launch: Launch) -> RunRecord:
        """Put a run into the queue; NotPermittedError if the dry run finds something against it."""
        return self._call(RunRecord, "POST", "/runs/queue", body=launch)

    def cancel_run(self, run: str) -> RunRecord:
        """Stop a run, or take it out of the queue."""
        return self._call(RunRecord, "POST", f"/runs/{_part(run)}/cancellation")

    def run_progress(self, run: str, *, seen: str = "", wait: float = 0.0) -> Progress:
        """Return how a run goes; with ``wait``, once that is another state than ``seen`` or the seconds are over."""
        return self._call(Progress, "GET", f"/runs/{_part(run)}/progress", params={"seen": seen, "wait": wait})

    def download_artifact(self, run: str, name: str) -> bytes:
        """Return one of the files that a run left behind."""
        return self._send("GET", f"/runs/{_part(run)}/artifacts", params={"name": name}).content

    def ask_release(self, run: str, text: str) -> RunRecord:
        """Ask for the release of what a run left behind, where a permit or dataset of it asks for one."""
        return self._call(RunRecord, "POST", f"/runs/{_part(run)}/release-request", body=ReleaseAsk(text=text))

    def withdraw_release(self, run: str) -> RunRecord:
        """Take back what was asked."""
        return self._call(RunRecord, "POST", f"/runs/{_part(run)}/release-withdrawal")

    def decide_release(self, run: str, decision: ReleaseDecision) -> RunRecord:
        """Release what a run left behind, or some of its files; refuse that; or take a release back."""
        return self._call(RunRecord, "POST", f"/runs/{_part(run)}/release", body=decision)

    def waiting_releases(self) -> list[RunRecord]:
        """Return the runs whose release this account has to decide on, those that were asked for first."""
        return self._call(list[RunRecord], "GET", "/releases")

    def claim_runs(self, known: Sequence[str], *, wait: float = 0.0) -> Work:
        """For the scheduler: return what it is to do next; waits up to ``wait`` seconds for something to come up."""
        return self._call(Work, "POST", "/runs/claims", params={"known": list(known), "wait": wait})

    def create_run(self, draft: RunDraft) -> RunRecord:
        """Record a run; ConflictError if the id is taken."""
        return self._call(RunRecord, "POST", "/runs", body=draft)

    @property
    def runs(self) -> Runs:
        """The runs: submit, watch, cancel, download."""
        return Runs(self)

    def run_records(self) -> list[RunRecord]:
        """Return all runs, by id."""
        return self._pages(RunRecord, "/runs", lambda last: last.id)

    def run(self, run: str) -> RunRecord:
        """Return one run."""
        return self._call(RunRecord, "GET", f"/runs/{_part(run)}")

    def update_run(self, run: str, patch: RunPatch, *, revision: int) -> RunRecord:
        """Change a run that is still at ``revision``: its state, card or artifacts."""
        return self._call(RunRecord, "PATCH", f"/runs/{_part(run)}", body=patch, revision=revision)

    # Accounts and audit

    def create_account(self, draft: AccountDraft) -> IssuedAccount:
        """Make an account; its token is in the answer and nowhere else."""
        return self._call(IssuedAccount, "POST", "/accounts", body=draft)

    def invite(self, draft: AccountDraft) -> Invitation:
        """Give a person's account, made if it is new, a one-time code with which to choose a password."""
        return self._call(Invitation, "POST", "/accounts/invitations", body=draft)

    def events(self, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Return entries of the audit chain that come after number ``after``."""
        return self._call(list[Event], "GET", "/events", params={"after": after, "limit": limit})

    def verify_events(self) -> EventsVerification:
        """Have the lab recompute its audit chain."""
        return self._call(EventsVerification, "GET", "/events/verify")

    def _call(
        self,
        kind: type[_T],
        method: str,
        path: str,
        *,
        body: BaseModel | None = None,
        revision: int | None = None,
        params: dict[str, Any] | None = None,
    ) -> _T:
        headers = {"Content-Type": "application/json"}
        if revision is not None:
            headers["If-Match"] = f'"{revision}"'
        content = None if body is None else body.model_dump_json(exclude_unset=True).encode()
        answer = self._send(method, path, content=content, headers=headers, params=params)
        return TypeAdapter(kind).validate_json(answer.content)

    def _pages(self, kind: type[_T], path: str, key: Any) -> list[_T]:
        found: list[_T] = []
        page: Sequence[_T] = self._call(list[kind], "GET", path)  # type: ignore[valid-type]  # a type at run time
        while page:
            found += page
            page = self._call(list[kind], "GET", path, params={"after": key(page[-1])})  # type: ignore[valid-type]
        return found

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise ServiceFailedError(
                f"The lab server does not answer ({type(error).__name__}).",
                where=self._url,
                next_step="See that it is running; on its own machine: datalab up.",
            ) from error
        if answer.status_code >= 400:
            raise _error(answer)
        return answer


def lab_client(home: Home, role: str) -> LabClient:
    """Return a client for the lab that runs in ``home``, with the token of its service account for ``role``.

    Raises:
        NotFoundError: the lab is not running there.
    """
    return LabClient(home.address("lab")["url"], home.secret(f"token-{role}"))


def asked_lab(home: Path | None, lab: str | None, token_file: Path | None) -> LabClient:
    """Return a client for the lab that a command is to ask: by address and API token, or its operator's by its home.

    Raises:
        BadInputError: neither is given.
    """
    if lab is not None and token_file is not None:
        return LabClient(lab.rstrip("/"), token_file.read_text(encoding="ascii").strip())
    if home is None:
        raise BadInputError("It is not said which lab.", next_step="Give --lab URL and --token-file FILE, or --home.")
    return lab_client(Home(home), "operator")


def _part(text: str) -> str:
    return quote(text, safe="")


def _error(answer: httpx.Response) -> DatalabError:
    """Turn an error answer into the error it stands for."""
    kind = _ERRORS.get(answer.status_code, CatalogError)
    try:
        told = answer.json()["error"]
        return kind(str(told["what"]), where=told.get("where"), next_step=told.get("next_step"))
    except (ValueError, KeyError, TypeError):
        return kind(f"The lab server answered with status {answer.status_code}.", where=str(answer.url))
