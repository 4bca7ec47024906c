"""What the gateway counts, and tells Prometheus: who is connected, what passes through, which certificates end when."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from federation.pb import federation_pb2 as pb
from federation.pki.identity import Role
from federation.runner.watch import round_of

if TYPE_CHECKING:
    from federation.gateway.hub import Hub
    from federation.gateway.identity import GatewayIdentity
    from federation.pki.registry import Registry

KINDS = ("train", "evaluate", "query")
BOUNDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, math.inf)
"""Seconds, in which tasks are counted."""
ANSWER_SECONDS = 5.0


class Counted:
    """What has passed through the gateway since it was started.

    Attributes:
        tasks: that runners have sent, by kind.
        replies: by their result.
        seconds: tasks that took at most so long in their app, as the nodes say, by index into ``BOUNDS``.
        total_seconds: of all of them.
        rounds: that have begun.
        refused: replies that were not taken.
        runs: that have ended here.
    """

    def __init__(self) -> None:
        self.tasks: Counter[str] = Counter()
        self.replies: Counter[str] = Counter()
        self.seconds = [0] * len(BOUNDS)
        self.total_seconds = 0.0
        self.rounds = self.refused = self.runs = 0
        self._ended = pb.Traffic()
        self._round: dict[str, str] = {}

    def task(self, task: pb.Task) -> None:
        """Count a task on its way to a node; one that trains, of another round than the last of its run, begins it."""
        kind = task.message_type.partition(".")[0]
        self.tasks[kind if kind in KINDS else "other"] += 1
        if kind == "train":
            number = round_of(task.content) or task.group_id
            if self._round.get(task.run_id) != number:
                self._round[task.run_id] = number
                self.rounds += 1

    def reply(self, reply: pb.Reply) -> None:
        """Count a reply on its way to its runner."""
        if reply.WhichOneof("result") == "error":
            self.replies[pb.TaskErrorCode.Name(reply.error.code).removeprefix("TASK_ERROR_CODE_").lower()] += 1
            return
        self.replies["replied"] += 1
        if 0 <= reply.app_seconds < math.inf:  # a node may say anything
            self.seconds[next(at for at, bound in enumerate(BOUNDS) if reply.app_seconds <= bound)] += 1
            self.total_seconds += reply.app_seconds

    def end(self, run: str, traffic: Sequence[pb.Traffic]) -> None:
        """Count a run that ends, and what went to and came from its nodes."""
        self.runs += 1
        self._round.pop(run, None)
        for one in traffic:
            self._ended.to_node += one.to_node
            self._ended.from_node += one.from_node

    def traffic(self, open_now: Iterable[pb.Traffic]) -> tuple[int, int]:
        """Return the bytes to and from nodes, of runs that have ended and of those that are open."""
        both = [self._ended, *open_now]
        return sum(one.to_node for one in both), sum(one.from_node for one in both)


class Figures:
    """Tells what a hub has counted, at the moment that somebody asks; asked from another thread than the hub's.

    Args:
        hub: of the gateway.
        identity: of the gateway.
        registry: of the federation's members.

    Attributes:
        registry: what is served.
    """

    def __init__(self, hub: Hub, identity: GatewayIdentity, registry: Registry) -> None:
        self.registry = CollectorRegistry()
        self._hub = hub
        self._identity = identity
        self._registry = registry
        self._loop = asyncio.get_running_loop()
        self.registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Return all figures."""
        yield from asyncio.run_coroutine_threadsafe(self._passed(), self._loop).result(ANSWER_SECONDS)
        yield self._certificates()
        yield from self._members()

    async def _passed(self) -> list[Metric]:
        """Return what the hub has counted; in its own thread, so that nothing changes meanwhile."""
        hub, counted = self._hub, self._hub.counted
        sessions = GaugeMetricFamily("datalab_gateway_sessions", "Streams that are open.", labels=["role"])
        live = Counter(one.identity.role for one in hub.sessions())
        for role in (Role.NODE, Role.RUNNER):
            sessions.add_metric([role.value], live[role])
        to_nodes, from_nodes = counted.traffic(
            place.traffic for run in hub.runs.values() for place in run.places.values()
        )
        moved = CounterMetricFamily(
            "datalab_gateway_bytes", "Bytes of runs that went to nodes and came from them.", labels=["direction"]
        )
        moved.add_metric(["to_node"], to_nodes)
        moved.add_metric(["from_node"], from_nodes)
        return [
            sessions,
            moved,
            GaugeMetricFamily("datalab_gateway_runs_open", "Runs that go on.", value=len(hub.runs)),
            CounterMetricFamily("datalab_gateway_runs", "Runs that have ended here.", value=counted.runs),
            CounterMetricFamily("datalab_gateway_rounds", "Rounds of training that have begun.", value=counted.rounds),
            CounterMetricFamily(
                "datalab_gateway_replies_refused", "Replies that were not taken.", value=counted.refused
            ),
            GaugeMetricFamily(
                "datalab_gateway_tasks_pending",
                "Tasks that wait for their replies.",
                value=sum(len(run.pending) for run in hub.runs.values()),
            ),
            _by("datalab_gateway_tasks", "Tasks that runners have sent.", "kind", counted.tasks, (*KINDS, "other")),
            _by("datalab_gateway_replies", "Replies of nodes.", "result", counted.replies, _results()),
            _durations(counted),
        ]

    def _members(self) -> Iterable[Metric]:
        """Return of every node that is a member whether it is connected, and when its certificate ends."""
        up = GaugeMetricFamily("datalab_gateway_node_up", "Whether a node is connected.", labels=["node"])
        ends = GaugeMetricFamily(
            "datalab_gateway_node_certificate_expiry_timestamp_seconds",
            "When the newest certificate of a node ends.",
            labels=["node"],
        )
        for member in self._registry.members(Role.NODE):
            if member.revoked is None:
                up.add_metric([member.name], float(member.name in self._hub.nodes))
                if member.certificates:
                    ends.add_metric([member.name], max(one.expires for one in member.certificates).timestamp())
        return up, ends

    def _certificates(self) -> Metric:
        family = GaugeMetricFamily(
            "datalab_gateway_certificate_expiry_timestamp_seconds", "When a certificate ends.", labels=["holder"]
        )
        authority = self._identity.authority
        family.add_metric(["gateway"], self._identity.credentials.holder.expires.timestamp())
        family.add_metric(["issuing-authority"], authority.certificate.not_valid_after_utc.timestamp())
        family.add_metric(["root-authority"], authority.root.not_valid_after_utc.timestamp())
        return family


def _results() -> list[str]:
    codes = [one.removeprefix("TASK_ERROR_CODE_").lower() for one in pb.TaskErrorCode.keys()]  # noqa: SIM118
    return ["replied", *codes]


def _by(name: str, help_text: str, label: str, counted: Counter[str], values: Sequence[str]) -> Metric:
    """Return a counter with each of the values that its label can have, also those that were not seen yet."""
    family = CounterMetricFamily(name, help_text, labels=[label])
    for value in values:
        family.add_metric([value], counted[value])
    return family


def _durations(counted: Counted) -> Metric:
    family = HistogramMetricFamily("datalab_gateway_task_seconds", "How long tasks took in their app at the nodes.")
    buckets, below = [], 0
    for bound, count in zip(BOUNDS, counted.seconds, strict=True):
        below += count
        buckets.append(("+Inf" if bound == math.inf else str(bound), float(below)))
    family.add_metric([], buckets, counted.total_seconds)
    return family
