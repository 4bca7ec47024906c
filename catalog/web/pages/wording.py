"""The words that stand for the records' codes. Templates translate them where they show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from catalog.access.policy import Lack, is_health
from catalog.access.records import Kind
from catalog.access.transitions import PermitState, State, Step
from catalog.fairshare import Why
from catalog.progress import Standstill
from catalog.records import Dataset, Role
from catalog.release.records import CheckName
from catalog.release.transitions import ReleaseState
from catalog.run_records import RunState
from catalog.search.model import Extent
from catalog.web.pages.language import Language, mark

ACCESS = {
    "public": mark("Public"),
    "restricted": mark("Restricted"),
    "federated-only": mark("Federated only"),
}
REMOTE_ACCESS = {
    "public": mark("Public"),
    "restricted": mark("Restricted"),
    "non-public": mark("Not public"),
}
"""On what terms another catalogue offers a dataset."""
HARVEST = {
    "changed": mark("Changed"),
    "unchanged": mark("Nothing has changed"),
    "refused": mark("Refused"),
    "failed": mark("Failed"),
}
ACCESS_MEANS = {
    "public": mark("Anyone with an account may download it under its licence."),
    "restricted": mark("It is used under a permit."),
    "federated-only": mark("It is used in federated runs under a permit and nowhere else."),
}
DATA_CLASS = {"anonymous": mark("Anonymous"), "personal": mark("Personal")}
DATA_CLASS_MEANS = {
    "anonymous": mark("Nobody can be identified in it."),
    "personal": mark("About persons, pseudonymised included; it never leaves where it is kept."),
}
KEPT_AT = {"lab": mark("In the lab's storage"), "site": mark("At the holder's node")}
THEME = {
    "AGRI": mark("Agriculture, fisheries, forestry and food"),
    "ECON": mark("Economy and finance"),
    "EDUC": mark("Education, culture and sport"),
    "ENER": mark("Energy"),
    "ENVI": mark("Environment"),
    "GOVE": mark("Government and public sector"),
    "HEAL": mark("Health"),
    "INTR": mark("International issues"),
    "JUST": mark("Justice, legal system and public safety"),
    "OP_DATPRO": mark("Provisional data"),
    "REGI": mark("Regions and cities"),
    "SOCI": mark("Population and society"),
    "TECH": mark("Science and technology"),
    "TRAN": mark("Transport"),
}
MODALITY = {
    "tabular": mark("Tables"),
    "time-series": mark("Time series"),
    "text": mark("Text"),
    "imaging": mark("Images"),
    "signal": mark("Signals"),
    "genomic": mark("Genomic data"),
    "geospatial": mark("Geospatial data"),
    "other": mark("Other data"),
}
EXTENT: dict[Extent, str] = {
    "under-1000": mark("Fewer than 1,000"),
    "1000-9999": mark("1,000 to 9,999"),
    "10000-99999": mark("10,000 to 99,999"),
    "100000-999999": mark("100,000 to 999,999"),
    "from-1000000": mark("1,000,000 or more"),
}
"""How many rows a dataset has."""
USE = {"download": mark("To download"), "federated": mark("In federated runs")}
PURPOSE = {
    "a": mark("Public or occupational health"),
    "b": mark("Policymaking and regulatory activities"),
    "c": mark("Official statistics"),
    "d": mark("Education or teaching in health or care"),
    "e": mark("Scientific research in health or care"),
    "e-i": mark("Research: development and innovation of products or services"),
    "e-ii": mark("Research: training, testing and evaluating algorithms"),
    "f": mark("Improving the delivery of care"),
}
OFFERED = {letter: text for letter, text in PURPOSE.items() if len(letter) == 1}
"""The purposes that a data holder can offer data for; a permit may be narrower."""
ROLE = {
    Role.OPERATOR: mark("Lab operator"),
    Role.STEWARD: mark("Data steward"),
    Role.RESEARCHER: mark("Researcher"),
    Role.ACCESS_BODY: mark("Data access body"),
    Role.AUDITOR: mark("Auditor"),
    Role.PIPELINE: mark("Service: pipelines"),
    Role.GATEWAY: mark("Service: gateway"),
    Role.COMPUTE: mark("Service: compute node"),
    Role.RUNNER: mark("Service: runner"),
}
PEOPLE = {role: ROLE[role] for role in (Role.STEWARD, Role.RESEARCHER, Role.ACCESS_BODY, Role.AUDITOR, Role.OPERATOR)}
"""The roles that a person can have."""
RUN_STATE = {
    RunState.QUEUED: mark("Queued"),
    RunState.SUBMITTED: mark("Starting"),
    RunState.RUNNING: mark("Running"),
    RunState.FINISHED: mark("Finished"),
    RunState.FAILED: mark("Failed"),
    RunState.STOPPED: mark("Stopped"),
}
RELEASE_STATE = {
    ReleaseState.HELD: mark("Held"),
    ReleaseState.ASKED: mark("Release asked for"),
    ReleaseState.RELEASED: mark("Released"),
    ReleaseState.REFUSED: mark("Not released"),
}
RELEASE_MEANS = {
    ReleaseState.HELD: mark("What this run leaves behind may leave the lab only once it is released."),
    ReleaseState.ASKED: mark("The files are looked at before they may leave the lab."),
    ReleaseState.RELEASED: mark("The files that are listed above may leave the lab."),
    ReleaseState.REFUSED: mark("The files stay in the lab. The release can be asked for again."),
}
RELEASE_CHECK = {
    CheckName.EXAMPLES: mark("Rows that the site trained on; not fewer than may be told of"),
    CheckName.FILE_TYPE: mark("Bytes of a file of a kind that can be looked into"),
    CheckName.PARAMETERS: mark("Numbers in all files; not more than there are rows, or rows could be kept in them"),
    CheckName.COPIED_ROWS: mark("Longest array or table; shorter than half of the smallest site, or it could be rows"),
    CheckName.SMALL_CELLS: mark("Counts of few people; none below the smallest count that may be told"),
    CheckName.SIZE: mark("Bytes in all; not more than the data itself would take"),
}
"""What is looked at before files leave, as the head of two numbers: what was found, and what it is held against."""
DATASET_STATE = {
    "draft": mark("Draft"),
    "published": mark("Published"),
    "withdrawn": mark("Withdrawn"),
    "deleted": mark("Deleted"),
}
DATASET_STATE_MEANS = {
    "draft": mark("A draft: only the data holder and the lab see it."),
    "withdrawn": mark("Withdrawn: nobody may use it at present."),
    "deleted": mark("Deleted: only the data holder and the lab see it, and can restore it."),
}
DATASET_MOVE = {
    "draft": mark("Restore"),
    "published": mark("Publish"),
    "withdrawn": mark("Take out of use"),
    "deleted": mark("Delete"),
}
DATASET_MOVE_MEANS = {
    "draft": mark("as a draft that only the data holder and the lab see."),
    "published": mark("everybody finds it, and it may be used on its terms."),
    "withdrawn": mark("its page stays and says so, and no new run may use it."),
    "deleted": mark("only the data holder and the lab see it, and can restore it."),
}
CHANGE = {"same": mark("Unchanged"), "added": mark("New"), "removed": mark("Gone"), "changed": mark("Changed")}
COUNT = {
    "records": mark("Records that came in"),
    "rows": mark("Rows in the dataset"),
    "rejected": mark("Rejected by the contract"),
    "events": mark("Rows whose outcome is an event"),
}
REQUEST_STATE = {
    State.DRAFT: mark("Draft"),
    State.SUBMITTED: mark("Submitted"),
    State.RETURNED: mark("Returned"),
    State.APPROVED: mark("Approved, to be signed"),
    State.GRANTED: mark("Granted"),
    State.ANSWERED: mark("Answered"),
    State.REJECTED: mark("Rejected"),
    State.WITHDRAWN: mark("Withdrawn"),
}
STEP = {
    Step.RETURN: mark("returned it"),
    Step.REJECT: mark("rejected it"),
    Step.ANSWER: mark("answered it"),
}
"""What somebody did with a request, after their name."""
PERMIT_STATE = {
    PermitState.ACTIVE: mark("In force"),
    PermitState.RENEWED: mark("Renewed"),
    PermitState.EXPIRED: mark("Expired"),
    PermitState.REVOKED: mark("Revoked"),
    "answered": mark("Answered"),
}
KIND = {Kind.DATA: mark("Use of data"), Kind.STATISTIC: mark("A statistic")}
KIND_MEANS = {
    Kind.DATA: mark("for analyses and training of models, under a permit (EHDS Art. 67)"),
    Kind.STATISTIC: mark("an anonymous answer alone, without access to data (EHDS Art. 69)"),
}
LACK = {
    Lack.EMPTY: mark("Fill this in."),
    Lack.NO_MANDATE: mark(
        "This purpose is reserved for public bodies and who acts for one: say which body, and the mandate."
    ),
    Lack.NO_DATASET: mark("Name at least one dataset of this lab."),
    Lack.UNKNOWN_DATASET: mark("One of these is no dataset of this lab."),
    Lack.OPEN_DATASET: mark("One of these is public: it needs no permit and can be downloaded."),
    Lack.SEVERAL_HOLDERS: mark(
        "The stewards of several data holders would have to decide: make one request for each holder."
    ),
    Lack.UNKNOWN_PERSON: mark(
        "Everybody named here must have a researcher's account of your organisation in this lab."
    ),
    Lack.OUTSIDE_PROJECT: mark("Everybody named here must be one of the project's people."),
    Lack.NOT_UNDERTAKEN: mark("Without this, no data may be used."),
}
"""What a request lacks; the same words as in ``catalog.access.policy``, marked for translation."""
HEALTH = {
    "connected": mark("Connected"),
    "away": mark("Not connected"),
    "expired": mark("Certificate expired"),
    "revoked": mark("Revoked"),
}
HEALTH_ICON = {"connected": "✓", "away": "!", "expired": "✗", "revoked": "✗"}
TYPE = {"integer": mark("Whole number"), "number": mark("Number"), "string": mark("Text")}
"""Types of a curated dataset's columns."""
VERSION_STATE = {"published": mark("Published"), "announced": mark("Announced by the node")}
NOTICE = {
    "registered": mark("The dataset is registered."),
    "node-approved": mark("The key is approved. The node gets its certificate with its next call."),
    "node-revoked": mark("The node is revoked. Its stream is cut, and its certificates no longer count."),
    "linked": mark("The identity is linked. You can sign in with it from now on."),
    "unlinked": mark("The identity is no longer linked."),
    "discarded": mark("The draft is discarded."),
    "changed": mark("The dataset is changed."),
    "moved": mark("The state of the dataset is changed."),
    "version-withdrawn": mark("The version is withdrawn. Nobody may use it any more."),
    "revoked": mark("The permit is revoked, and its runs are stopped. No new one may name it."),
    "draft": mark("The draft is kept. Nobody else has been asked yet."),
    "submitted": mark("The request is handed in. Who assesses and decides can see it now."),
    "request-withdrawn": mark("The request is withdrawn."),
    "commented": mark("Your comment is there for everybody who sees this request."),
    "returned": mark("The request is returned to its applicant."),
    "rejected": mark("The request is rejected."),
    "endorsed": mark("Your approval is kept. A second person has to approve the same."),
    "approved": mark("The request is approved."),
    "granted": mark("The permit is granted and in the public register."),
    "answered": mark("The statistic is given and in the public register."),
    "result": mark("The result is in the public register."),
    "project": mark("The project is saved."),
    "needed": mark("Decisions need a second factor. Set it up or give its code, then decide."),
    "second-factor": mark("The second factor is set up."),
    "token-revoked": mark("The token is revoked."),
    "withdrawn": mark("The account is withdrawn. Nobody can come in with it."),
    "cancelled": mark("The run is cancelled."),
    "release-asked": mark("The release is asked for. Whoever decides sees it now."),
    "release-withdrawn": mark("The question is taken back."),
    "release-release": mark("The files are released."),
    "release-refuse": mark("The release is refused."),
    "release-recall": mark("The release is taken back. What was fetched already is with the data user."),
    "source-added": mark("The catalogue is on record."),
    "source-begun": mark("The harvest has begun. What comes of it is shown here."),
    "source-removed": mark("The catalogue is removed, and its datasets are no longer found here."),
    "signed-out": mark("You are signed out."),
    "password": mark("The password is set. Sign in with it."),
}
"""What a page says after something was done, by the address's ``notice``."""
WAITS = {
    Why.ROOM: mark("All node places that it needs are in use."),
    Why.HELD_FREE: mark("Places are kept free for a larger run that has waited long."),
    Why.QUOTA: mark("The quota of its organisation for this period is used up."),
    Why.TOO_LARGE: mark("It needs more node places than the lab has."),
}
"""Why a run waits."""
STANDSTILL = {
    Standstill.NO_ROOM: mark("The cluster has no room for it yet."),
    Standstill.NO_IMAGE: mark("The cluster cannot fetch the image that it runs in. Tell the lab's operator."),
    Standstill.NOT_STARTED: mark("The cluster cannot start it. Tell the lab's operator."),
    Standstill.NOT_MADE: mark("The cluster has not taken it up yet."),
}
"""Why a run has not begun although its turn has come."""
CLASS = {
    "public": mark("Public bodies"),
    "academia": mark("Academia and research"),
    "sme": mark("Start-ups and SMEs"),
    "industry": mark("Industry"),
}
SCAN = {
    "licence": mark("Licence"),
    "files": mark("Files"),
    "needs": mark("Packages that it needs"),
    "no exact version": mark("Of these, without an exact version"),
    "imports": mark("Imports"),
    "reaches beyond its numbers": mark("Reaches beyond its numbers"),
    "hides what it runs": mark("Hides what it runs"),
    "cannot be read": mark("Cannot be read"),
}
"""What a scan of an app says, by its heads."""
CLAUSE = {
    "permit": mark("Permit"),
    "policy": mark("Policy"),
    "schema": mark("Schema"),
    "node": mark("Node"),
    "privacy": mark("Privacy budget"),
}
TONE = {
    "public": "good", "restricted": "warn", "federated-only": "info",
    "anonymous": "plain", "personal": "warn",
    "queued": "plain", "submitted": "info", "running": "info", "finished": "good", "failed": "bad", "stopped": "warn",
    "published": "good", "announced": "info", "draft": "info", "withdrawn": "bad", "deleted": "bad",
    "same": "plain", "added": "good", "removed": "bad", "changed": "warn",
    "returned": "warn", "approved": "info", "granted": "good", "answered": "good", "rejected": "bad",
    "held": "plain", "asked": "info", "released": "good", "refused": "bad",
    "unchanged": "plain", "non-public": "info",
    "active": "good", "renewed": "info", "revoked": "bad", "connected": "good", "away": "warn", "expired": "bad",
}  # fmt: skip
"""The badge's colour; the badge's words always say the same."""
FIELD = {
    "title": mark("Title"),
    "description": mark("Description"),
    "holder_name": mark("Name of the data holder"),
    "steward": mark("Data steward"),
    "keywords": mark("Keywords"),
    "modality": mark("Modality"),
    "theme": mark("Theme"),
    "licence": mark("Licence"),
    "access": mark("Access"),
    "contract_version": mark("Version of the contract"),
    "legal_basis": mark("Legal basis"),
    "purposes": mark("Purposes"),
}
"""The fields of a dataset that may change."""


def translated(
    language: Language, words: Mapping[str, str], means: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """Return codes with their words in a language, and after a colon what they mean, where that is given."""
    said = {code: language.words(text) for code, text in words.items()}
    if means is not None:
        pattern = language.words(mark("%(term)s: %(meaning)s"))
        said = {code: pattern % {"term": term, "meaning": language.words(means[code])} for code, term in said.items()}
    return list(said.items())


def decider(language: Language, dataset: Dataset) -> str:
    """Return who decides on requests for a dataset."""
    if is_health(dataset):
        return dataset.hdab.name if dataset.hdab else language.words(mark("A health data access body."))
    return language.words(mark("The data holder's steward."))


def moment(text: str) -> datetime:
    """Return the time of an audit entry, which is kept as text."""
    return datetime.fromisoformat(text)


def instant(seconds: float) -> datetime:
    """Return the time of a run's event, which is kept in seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def figures(names: list[str]) -> list[tuple[str]]:
    """Return headings of columns of numbers."""
    return [(name,) for name in names]


def bare(value: float) -> str:
    """Return a bound as it is typed."""
    return f"{value:g}"


def same(values: Sequence[object]) -> list[tuple[str, str]]:
    """Return codes as the words for themselves."""
    return [(str(one), str(one)) for one in values]
