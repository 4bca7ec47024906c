"""The lab's API for projects, access requests and permits: what ``LabClient`` does, and what goes with permits."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from catalog.access.records import (
    AccessRequest,
    PermitDraft,
    PermitRecord,
    Project,
    ProjectDraft,
    Reason,
    RegisterEntry,
    RequestContent,
    RequestDraft,
    ResultDraft,
    Terms,
)
from catalog.access.transitions import State
from catalog.client import LabClient
from catalog.records import Record
from datalab.permits.revocation import RevocationList


class AccessClient(LabClient):
    """A lab, as a researcher, a data steward or an access body sees it.

    Each method that takes a request needs it as it was last read: its revision goes along, and ``ConflictError`` says
    that somebody has changed it meanwhile.
    """

    # Projects

    def create_project(self, draft: ProjectDraft) -> Project:
        """Start a project."""
        return self._call(Project, "POST", "/projects", body=draft)

    def projects(self) -> list[Project]:
        """Return the projects that the account sees, by id."""
        return self._pages(Project, "/projects", lambda last: last.id)

    def update_project(self, project: Project, draft: ProjectDraft) -> Project:
        """Change a project."""
        return self._call(Project, "PUT", f"/projects/{project.id}", body=draft, revision=project.revision)

    # Requests

    def create_request(self, draft: RequestDraft) -> AccessRequest:
        """Begin a request; it is a draft."""
        return self._call(AccessRequest, "POST", "/requests", body=draft)

    def requests(self, *, states: Sequence[State] = (), offset: int = 0, limit: int = 100) -> list[AccessRequest]:
        """Return requests that the account sees, those that changed last first."""
        params = {"state": [*states], "offset": offset, "limit": limit}
        return self._call(list[AccessRequest], "GET", "/requests", params=params)

    def request(self, request: str) -> AccessRequest:
        """Return one request."""
        return self._call(AccessRequest, "GET", f"/requests/{quote(request, safe='')}")

    def edit_request(self, request: AccessRequest, content: RequestContent) -> AccessRequest:
        """Write what a request says."""
        return self._step(request, "", content, method="PUT")

    def submit_request(self, request: AccessRequest) -> AccessRequest:
        """Hand a request in."""
        return self._step(request, "/submission")

    def withdraw_request(self, request: AccessRequest) -> AccessRequest:
        """Take a request back for good."""
        return self._step(request, "/withdrawal")

    def comment(self, request: str, text: str) -> AccessRequest:
        """Say something about a request to everybody who sees it."""
        path = f"/requests/{quote(request, safe='')}/comments"
        return self._call(AccessRequest, "POST", path, body=Reason(text=text))

    def return_request(self, request: AccessRequest, text: str) -> AccessRequest:
        """Return a request to its applicant, with the reason."""
        return self._step(request, "/return", Reason(text=text))

    def reject_request(self, request: AccessRequest, text: str) -> AccessRequest:
        """Reject a request for good, with the reason."""
        return self._step(request, "/rejection", Reason(text=text))

    def approve_request(self, request: AccessRequest, terms: Terms) -> AccessRequest:
        """Approve a request; once it is ``approved``, its ``claims`` are to be signed."""
        return self._step(request, "/approval", terms)

    def answer_request(self, request: AccessRequest, text: str) -> AccessRequest:
        """Give the statistic that was asked for."""
        return self._step(request, "/answer", Reason(text=text))

    def grant(self, request: AccessRequest, token: str) -> PermitRecord:
        """Hand in the signed permit of an approved request."""
        path = f"/requests/{request.id}/permit"
        return self._call(PermitRecord, "POST", path, body=PermitDraft(token=token), revision=request.revision)

    # Permits

    def permit(self, permit: str) -> PermitRecord:
        """Return one permit."""
        return self._call(PermitRecord, "GET", f"/permits/{quote(permit, safe='')}")

    def renew(self, permit: str) -> AccessRequest:
        """Begin a request for a permit that follows another one."""
        return self._call(AccessRequest, "POST", f"/permits/{quote(permit, safe='')}/renewal")

    def add_result(self, permit: str, draft: ResultDraft) -> PermitRecord:
        """Say what came of a permit."""
        return self._call(PermitRecord, "POST", f"/permits/{quote(permit, safe='')}/results", body=draft)

    def revoked(self) -> list[str]:
        """Return the ids that a list of revoked permits by the account's body has to name."""
        return self._call(list[str], "GET", "/permits/revoked")

    def publish_revoked(self, token: str) -> RevocationList:
        """Publish a signed list of revoked permits."""
        return self._call(RevocationList, "POST", "/permits/revoked", body=PermitDraft(token=token))

    # For everybody

    def register(self) -> list[RegisterEntry]:
        """Return the public register."""
        return self._pages(RegisterEntry, "/register", lambda last: last.id)

    def revocations(self, key: str) -> str:
        """Return the latest list of revoked permits that a key, named by its id, has signed."""
        return self._send("GET", "/revocations", params={"key": key}).text

    def _step(
        self, request: AccessRequest, path: str, body: Record | None = None, *, method: str = "POST"
    ) -> AccessRequest:
        where = f"/requests/{request.id}{path}"
        return self._call(AccessRequest, method, where, body=body, revision=request.revision)
