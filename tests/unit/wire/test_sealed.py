"""What is signed of an offer changes with everything that an offer says, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from datalab.canonical import canonical_json
from federation.pb import federation_pb2 as pb
from federation.wire.sealed import Shown, offer_document


def offer() -> pb.Offer:
    made = pb.Offer(run_id="run-1", app_sha256=b"a" * 32, dataset="toy", dataset_version=1, permit="p", purpose="e-ii")
    made.seed = 2**63
    made.config.entries.add(key="rate", double=0.1)
    made.config.entries.add(key="rounds", integer=3)
    made.config.entries.add(key="names").strings.values.extend(["a", "b"])
    return made


def set_rate(one: pb.Offer) -> None:
    one.config.entries[0].double = 0.2


def make_rate_text(one: pb.Offer) -> None:
    one.config.entries[0].string = "0.1"


@pytest.mark.parametrize(
    "change",
    [
        lambda one: setattr(one, "run_id", "run-2"),
        lambda one: setattr(one, "app_sha256", b"b" * 32),
        lambda one: setattr(one, "dataset_version", 2),
        lambda one: setattr(one, "permit", "q"),
        lambda one: setattr(one, "purpose", "a"),
        lambda one: setattr(one, "seed", 1),
        lambda one: one.config.entries[2].strings.values.append("c"),
        set_rate,
        make_rate_text,
    ],
)
def test_every_word_of_an_offer_counts(change: Callable[[pb.Offer], None]) -> None:
    changed = offer()
    change(changed)
    assert canonical_json(offer_document(changed, "n1")) != canonical_json(offer_document(offer(), "n1"))


def test_the_node_counts_and_the_labs_audit_head_does_not() -> None:
    later = offer()
    later.audit_head.number = 9
    assert offer_document(later, "n1") == offer_document(offer(), "n1")
    assert offer_document(offer(), "n2") != offer_document(offer(), "n1")


def head(number: int, of: str = "a") -> pb.AuditHead:
    return pb.AuditHead(number=number, hash=of * 64)


def test_a_head_that_is_shown_late_or_anew_does_not_move_on() -> None:
    shown = Shown()
    assert shown.moves_on("oslo", head(5))
    assert not shown.moves_on("oslo", head(5))
    assert shown.moves_on("oslo", head(5), again=True)
    assert not shown.moves_on("oslo", head(5, "b"), again=True), "two heads with one number: the log was written anew"
    assert not shown.moves_on("oslo", head(4), again=True)
    assert shown.moves_on("bergen", head(4)), "another's log has nothing to do with it"
    assert shown.moves_on("oslo", head(6))
