"""How good a model is, at each site and overall, from the sites' replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flwr.app import Message

from .evaluation import evaluate_overall
from .exchange import metrics_of


def collect_evaluation(replies: Sequence[Message]) -> dict[str, Any]:
    """Return what each site has said of its predictions, by node id, and the same overall."""
    sites = {
        str(reply.metadata.src_node_id): {key: float(value) for key, value in metrics_of(reply).items()}  # type: ignore[arg-type]
        for reply in replies
    }
    return {"sites": sites, "overall": evaluate_overall(list(sites.values()))}
