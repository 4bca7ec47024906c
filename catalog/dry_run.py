"""Would a run start? Per site: the permit, the dataset's terms, the schema, the node; before anything starts.

The node has the last word and decides by its own policy, which the lab does not know. So a dry run that finds nothing
wrong is no promise; one that finds something spares everybody the attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catalog import datasets, lifecycle
from catalog.access.records import PermitRecord
from catalog.launch import AppFacts, Clause, ClauseName, DryRun, NodeFacts, ParameterFacts, Site
from catalog.records import AccountDraft, Dataset, Role, Version
from catalog.run_records import Launch, LaunchPlace
from catalog.store import Store, now
from datalab.errors import BadInputError, DatalabError, NotFoundError
from datalab.permits.use import permits_app, permits_dataset, permits_purpose

EPSILON = "privacy-epsilon"
"""The setting in which an app says what it spends, unless a node's policy names another one."""


def dry_run(
    store: Store,
    launch: Launch,
    app: AppFacts,
    nodes: Mapping[str, NodeFacts],
    account: AccountDraft,
    compute_node: str | None,
) -> DryRun:
    """Return what a launch would come to.

    Args:
        store: the catalog's records.
        launch: what is asked for.
        app: the app that it names.
        nodes: the members of the federation, by name.
        account: who asks.
        compute_node: trains on datasets in the lab's storage where the launch names no node.
    """
    problems: list[str] = []
    permit, refused = _permit(store, launch.permit, account)
    problems += [refused] if refused else []
    purpose = launch.purpose or (permit.claims.purpose.value if permit else None)
    try:
        if permit is not None:
            permits_app(permit.claims, app.sha256)
            permits_purpose(permit.claims, purpose or "")
    except DatalabError as error:
        problems.append(error.what)
    sites, places, schemas = [], [], {}
    needed = _needed(app, launch.settings)
    for place in launch.places:
        site, version = _site(store, place, permit, nodes, compute_node, purpose, account)
        if version is not None and (missing := _without(version, needed)):
            site = site.model_copy(update={"clauses": (*site.clauses, *missing)})
        if (clause := _privacy(site, nodes, {**app.parameters, **launch.settings}.get(EPSILON))) is not None:
            site = site.model_copy(update={"clauses": (*site.clauses, clause)})
        sites.append(site)
        places.append(LaunchPlace(dataset=place.dataset, version=site.version, node=site.node))
        if version is not None:
            schemas[place.dataset] = frozenset((one.name, one.type) for one in version.report.columns)
    taken = [one.node for one in places if one.node]
    if len(set(taken)) < len(taken):
        problems.append("A node takes part with one dataset only; this run names one twice.")
    return DryRun(
        app_name=app.name,
        app_sha256=app.sha256,
        launch=launch.model_copy(update={"places": tuple(places), "purpose": purpose}),
        sites=tuple(_with_schema(site, schemas) for site in sites),
        problems=tuple(problems),
    )


def check_parameters(app: AppFacts, settings: Mapping[str, Any]) -> None:
    """Raise BadInputError if a parameter is not the app's own, of another type than its default, or out of range."""
    for key, value in settings.items():
        if key not in app.parameters:
            raise BadInputError(
                f"The app {app.name} has no parameter {key}.",
                where="parameters",
                next_step=f"It has: {', '.join(sorted(app.parameters)) or 'none'}.",
            )
        default = app.parameters[key]
        if type(value) is not type(default) and not (isinstance(default, float) and type(value) is int):
            raise BadInputError(
                f"The app's parameter {key} is a {type(default).__name__}, such as {default!r}.", where="parameters"
            )
        said = app.described.get(key, ParameterFacts())
        if not said.allows(value):
            only = f"one of {', '.join(map(str, said.values))}" if said.values else f"from {said.low} to {said.high}"
            raise BadInputError(f"The app's parameter {key} is {only}, and {value!r} is not.", where="parameters")


def may_use(permit: PermitRecord, account: AccountDraft) -> bool:
    """Return whether an account may launch runs under a permit: a researcher, if it names them and where they work."""
    claims = permit.claims
    named = account.organisation == claims.data_user and account.name in claims.people
    return account.role is not Role.RESEARCHER or named


def _permit(store: Store, key: str, account: AccountDraft) -> tuple[PermitRecord | None, str | None]:
    try:
        permit = store.get(PermitRecord, "permits", key)
    except NotFoundError:
        return None, f"There is no permit {key} on record."
    if not may_use(permit, account):  # what it says is for its own people
        return None, "The permit does not name you."
    moment = now()
    if permit.revoked is not None:
        return permit, "The permit has been revoked."
    if permit.claims.expires <= moment:
        return permit, "The permit has expired."
    if permit.claims.not_before > moment:
        return permit, "The permit is not valid yet."
    return permit, None


def _site(
    store: Store,
    place: LaunchPlace,
    permit: PermitRecord | None,
    nodes: Mapping[str, NodeFacts],
    compute_node: str | None,
    purpose: str | None,
    account: AccountDraft,
) -> tuple[Site, Version | None]:
    try:
        dataset = lifecycle.read(store, place.dataset, account)
        number = place.version or max((one.number for one in datasets.versions(store, place.dataset)), default=0)
        version = datasets.version(store, place.dataset, number)
    except NotFoundError:
        why = f"There is no such version of the dataset {place.dataset}; it must be curated and published first."
        return Site(dataset=place.dataset, version=place.version, node=place.node, clauses=(_no("schema", why),)), None
    node = place.node or dataset.node or compute_node
    clauses = [_permitted(permit, dataset.id, number), _offered(dataset, purpose), _there(node, dataset, nodes)]
    return Site(dataset=dataset.id, version=number, node=node, clauses=tuple(clauses)), version


def _permitted(permit: PermitRecord | None, dataset: str, version: int) -> Clause:
    if permit is None:
        return _no("permit", "There is no such permit.")
    try:
        permits_dataset(permit.claims, dataset, version)
    except DatalabError as error:
        return _no("permit", error.what)
    return Clause(name="permit", holds=True, why=f"The permit {permit.id} names it.")


def _offered(dataset: Dataset, purpose: str | None) -> Clause:
    if dataset.purposes and (purpose or "").partition("-")[0] not in dataset.purposes:
        return _no("policy", f"The data holder does not offer it for purpose {purpose}.")
    return Clause(name="policy", holds=None, why="The data holder offers it for this purpose; its node decides.")


def _there(node: str | None, dataset: Dataset, nodes: Mapping[str, NodeFacts]) -> Clause:
    if node is None:
        return _no("node", "It is in the lab's storage: name the compute node that is to train on it.")
    if dataset.node is not None and node != dataset.node:
        return _no("node", f"It is kept at the node {dataset.node}, not at {node}.")
    if node not in nodes:
        return _no("node", f"The federation has no node {node}.")
    if not nodes[node].connected:
        return Clause(name="node", holds=None, why=f"The node {node} is not connected now.")
    return Clause(name="node", holds=True, why=f"The node {node} is connected.")


def _privacy(site: Site, nodes: Mapping[str, NodeFacts], said: Any) -> Clause | None:
    """Return whether a site's privacy budget is enough; None where nobody speaks of any."""
    spends, node = float(said) if isinstance(said, int | float) else 0.0, nodes.get(site.node or "")
    left = node.privacy_left.get(site.dataset) if node else None
    if left is None:
        why = f"The run spends {spends:g}; whether that is within a budget, the node knows."
        return Clause(name="privacy", holds=None, why=why) if spends else None
    if spends > left:
        return _no("privacy", f"The run spends {spends:g}, and {left:g} is left of its privacy budget.")
    return Clause(name="privacy", holds=True, why=f"The run spends {spends:g} of the {left:g} left of its budget.")


def _needed(app: AppFacts, settings: Mapping[str, Any]) -> dict[str, tuple[str, bool]]:
    """Return the columns that a launch names: by which parameter, and whether they have to hold numbers."""
    needed: dict[str, tuple[str, bool]] = {}
    for name, said in app.described.items():
        for column in said.named(settings.get(name, app.parameters.get(name, ""))):
            needed[column] = (name, said.numbers or needed.get(column, ("", False))[1])
    return needed


def _without(version: Version, needed: Mapping[str, tuple[str, bool]]) -> list[Clause]:
    """Return what speaks against a launch in the columns of a version."""
    kinds = {one.name: one.type for one in version.report.columns}
    clauses = []
    for column, (parameter, numbers) in needed.items():
        if column not in kinds:
            known = ", ".join(sorted(kinds)[:30])
            clauses.append(_no("schema", f"It has no column {column}, which {parameter} names. It has: {known}."))
        elif numbers and kinds[column] == "string":
            clauses.append(_no("schema", f"Its column {column}, which {parameter} names, does not hold numbers."))
    return clauses


def _with_schema(site: Site, schemas: Mapping[str, frozenset[tuple[str, str]]]) -> Site:
    if site.dataset not in schemas:
        return site
    own = schemas[site.dataset]
    differing = sorted({name for other in schemas.values() for name, _ in own ^ other})
    if differing:
        clause = _no("schema", f"Its columns are not those of the other datasets: {', '.join(differing[:10])}.")
    else:
        why = f"It has {len(own)} columns{', the same as the others' if len(schemas) > 1 else ''}."
        clause = Clause(name="schema", holds=True, why=why)
    return site.model_copy(update={"clauses": (*site.clauses, clause)})


def _no(name: ClauseName, why: str) -> Clause:
    return Clause(name=name, holds=False, why=why)
