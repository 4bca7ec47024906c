"""A client for the part of MLflow's REST API (2.0) that a copy of a run needs; the package itself is not needed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self
from urllib.parse import quote

import httpx

from datalab.errors import ServiceFailedError

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
PROXIED = "mlflow-artifacts:/"
"""How the address of artifacts begins that go through the tracking server itself."""
MAX_KEY, MAX_VALUE, MAX_TAG = 250, 6000, 5000
"""Characters that every store of MLflow takes."""
BATCH = 100
"""Parameters or tags in one request; of metrics it takes as many at least."""
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_PIECE = 1 << 20
_KEYS = str.maketrans(dict.fromkeys("\"'\\;,|<>?*&%$#@!~^`=+()[]{}", "_"))
Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Metric:
    """A value of a metric; ``time`` in milliseconds since 1970."""

    key: str
    value: float
    step: int
    time: int


@dataclass(frozen=True)
class TrackedRun:
    """A run at the tracking server."""

    id: str
    status: str
    artifacts: str


class Mlflow:
    """A tracking server.

    Args:
        address: of it, without a path of the API.
        credentials: ``user:password``, or a token; None where it asks for none.
    """

    def __init__(self, address: str, credentials: str | None) -> None:
        auth, headers = None, {}
        if credentials is not None:
            user, colon, password = credentials.partition(":")
            if colon:
                auth = httpx.BasicAuth(user, password)
            else:
                headers["Authorization"] = f"Bearer {credentials}"
        self._http = httpx.Client(
            base_url=address.rstrip("/"), auth=auth, headers=headers, timeout=TIMEOUT, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, made if it is not there.

        Raises:
            ServiceFailedError: the server does not answer, or refuses.
        """
        found = self._call("GET", f"{API}/experiments/get-by-name", params={"experiment_name": name}, missing=True)
        if found is None:
            return str(self._post("experiments/create", name=name)["experiment_id"])
        return str(found["experiment"]["experiment_id"])

    def find(self, experiment: str, tag: str, value: str) -> list[TrackedRun]:
        """Return the runs of an experiment with a tag (raises as ``experiment``); no quotes in either."""
        said = self._post(
            "runs/search", experiment_ids=[experiment], filter=f"tags.\"{tag}\" = '{value}'", max_results=100
        )
        return [_run(one["info"]) for one in said.get("runs", ())]

    def create(self, experiment: str, name: str, started: int, tags: Mapping[str, str]) -> TrackedRun:
        """Begin a run; ``started`` in milliseconds since 1970 (raises as ``experiment``)."""
        said = self._post(
            "runs/create",
            experiment_id=experiment,
            run_name=name,
            start_time=started,
            tags=[{"key": key, "value": value[:MAX_TAG]} for key, value in tags.items()],
        )
        return _run(said["run"]["info"])

    def log(self, run: TrackedRun, parameters: Mapping[str, Any], metrics: Iterable[Metric]) -> None:
        """Add parameters and metrics; values that are no finite numbers are left out (raises as ``experiment``)."""
        said = [{"key": _key(key), "value": str(value)[:MAX_VALUE]} for key, value in parameters.items()]
        for some in _batches(said):
            self._post("runs/log-batch", run_id=run.id, params=some)
        values = [
            {"key": _key(one.key), "value": one.value, "step": one.step, "timestamp": one.time}
            for one in metrics
            if math.isfinite(one.value)
        ]
        for some in _batches(values):
            self._post("runs/log-batch", run_id=run.id, metrics=some)

    def put(self, run: TrackedRun, name: str, source: BinaryIO) -> None:
        """Store a file with a run.

        Raises:
            ServiceFailedError: as ``experiment``; or the server does not take files itself.
        """
        if not run.artifacts.startswith(PROXIED):
            raise ServiceFailedError(
                "The tracking server does not take files itself.",
                where=run.artifacts.partition(":")[0],
                next_step="Start it with --artifacts-destination (and not with --no-serve-artifacts).",
            )
        path = f"{run.artifacts.removeprefix(PROXIED).lstrip('/')}/{name}"
        self._call("PUT", f"{ARTIFACTS}/{quote(path)}", content=iter(lambda: source.read(_PIECE), b""))

    def end(self, run: TrackedRun, status: Status, ended: int) -> None:
        """Say that a run has ended, at a time in milliseconds since 1970 (raises as ``experiment``)."""
        self._post("runs/update", run_id=run.id, status=status, end_time=ended)

    def delete(self, run: TrackedRun) -> None:
        """Remove a run (raises as ``experiment``)."""
        self._post("runs/delete", run_id=run.id)

    def _post(self, method: str, **body: Any) -> dict[str, Any]:
        said = self._call("POST", f"{API}/{method}", json=body)
        assert said is not None, "what is not there is an error"
        return said

    def _call(self, verb: str, path: str, *, missing: bool = False, **what: Any) -> dict[str, Any] | None:
        """Return the answer to one request; None where what is asked for is not there and that is no error."""
        try:
            answer = self._http.request(verb, path, **what)
            if missing and answer.status_code == httpx.codes.NOT_FOUND:
                return None
            if not answer.is_success:
                raise ServiceFailedError(
                    f"The tracking server answered with status {answer.status_code}.", where=f"{verb} {path}"
                )
            found: dict[str, Any] = answer.json() if answer.content else {}
            return found
        except (httpx.HTTPError, ValueError) as error:
            raise ServiceFailedError(
                f"The tracking server does not answer ({type(error).__name__}).",
                where=f"{verb} {path}",
                next_step="See [tracking] in datalab.toml.",
            ) from error


def _run(info: Mapping[str, Any]) -> TrackedRun:
    return TrackedRun(str(info["run_id"]), str(info["status"]), str(info["artifact_uri"]))


def _key(name: str) -> str:
    """Return a name as MLflow takes it: some characters are not allowed in it."""
    return name.translate(_KEYS)[:MAX_KEY]


def _batches(values: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for first in range(0, len(values), BATCH):
        yield values[first : first + BATCH]
