"""What a node's agent counts of its own work, and tells Prometheus where its operator has named a port."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from federation.node.status import StatusFile
from federation.pb import federation_pb2 as pb

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


@dataclass
class Tally:
    """What has happened since the agent was started.

    Attributes:
        decisions: on offered runs, by what was decided.
        tasks: that were answered, by result.
        app_seconds: that apps took in all.
    """

    decisions: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    app_seconds: float = 0.0

    def decided(self, decision: pb.Decision) -> None:
        """Count a decision."""
        self.decisions[_short(pb.DecisionCode.Name(decision.code), "DECISION_CODE_")] += 1

    def answered(self, reply: pb.Reply) -> None:
        """Count a task that is answered."""
        failed = reply.WhichOneof("result") == "error"
        self.tasks[_short(pb.TaskErrorCode.Name(reply.error.code), "TASK_ERROR_CODE_") if failed else "replied"] += 1
        self.app_seconds += reply.app_seconds


@contextmanager
def telling(tally: Tally, status: StatusFile, port: int | None) -> Iterator[dict[str, str]]:
    """Serve the figures on a port of this machine while the block runs; what is yielded is announced.

    Raises:
        PortTakenError: another process listens there.
    """
    if port is None:  # nor is the library loaded: an agent at rest is to be light
        yield {}
        return
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    from datalab.metrics import serving

    class Collector:
        def collect(self) -> Iterable[Metric]:
            now = status.now
            yield GaugeMetricFamily(
                "datalab_node_connected", "Whether the node is connected.", value=float(now.state == "connected")
            )
            yield GaugeMetricFamily(
                "datalab_node_certificate_expiry_timestamp_seconds",
                "When the node's certificate ends; 0 before the first connection.",
                value=now.certificate_expires,
            )
            yield GaugeMetricFamily(
                "datalab_node_renewal_failing",
                "Whether the certificate could not be renewed the last time.",
                value=float(bool(now.renewal_failure)),
            )
            yield GaugeMetricFamily("datalab_node_runs_open", "Runs that the node takes part in.", value=len(now.runs))
            decisions = CounterMetricFamily("datalab_node_decisions", "Decisions on offered runs.", labels=["decision"])
            for code in pb.DecisionCode.keys()[1:]:
                name = _short(code, "DECISION_CODE_")
                decisions.add_metric([name], tally.decisions[name])
            yield decisions
            tasks = CounterMetricFamily("datalab_node_tasks", "Tasks that were answered.", labels=["result"])
            for name in ("replied", *(_short(code, "TASK_ERROR_CODE_") for code in pb.TaskErrorCode.keys()[1:])):
                tasks.add_metric([name], tally.tasks[name])
            yield tasks
            yield CounterMetricFamily(
                "datalab_node_app_seconds", "Time that apps took for tasks, in all.", value=tally.app_seconds
            )

    registry = CollectorRegistry()
    registry.register(Collector())
    with serving("node", registry, port) as told:
        yield told


def _short(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()
