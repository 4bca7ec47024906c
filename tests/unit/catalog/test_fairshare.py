from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.fairshare import HOUR, Job, Use, Why, decide
from datalab.settings import Compute, Organisation
from tests.support.workload import ORGANISATIONS, RULES, work_off, workload


def rules(**changes: object) -> Compute:
    organisations = {name: Organisation(kind=kind) for name, kind in ORGANISATIONS.items()}
    return Compute.model_validate({"node_places": 4, "organisations": organisations, **changes})


@pytest.mark.parametrize(
    ("deadlines", "idle"),
    [
        (0.0, 0.05),  # kept free for wide runs, which would never find room otherwise
        (0.5, 0.02),  # used by those of which it is known that they end in time
    ],
)
def test_ten_thousand_runs_each_class_gets_its_share_nobody_starves_and_what_is_free_is_used(
    deadlines: float, idle: float
) -> None:
    worked = work_off(RULES, workload(10_000, seed=1, deadlines=deadlines), warm_up=48 * HOUR)
    print(f"idle {worked.idle:.4f}")
    assert worked.ended == 10_000
    assert worked.idle < idle
    assert worked.saturated > 10 * 24 * HOUR
    total = sum(worked.took.values())
    for kind, share in RULES.shares.items():
        assert worked.took[kind] / total == pytest.approx(share, rel=0.02), kind
        assert worked.all_took[kind] / sum(worked.all_took.values()) == pytest.approx(share, abs=0.02), kind


def test_the_class_that_has_had_least_of_its_share_goes_first() -> None:
    waiting = [Job("a", "university", 4, 0.0), Job("b", "ministry", 4, 0.0)]
    used = {"university": Use(recent=300.0), "ministry": Use(recent=250.0)}
    # 300 of a share of 0.3 is less than 250 of one of 0.2.
    assert decide(rules(sme_floor=0), waiting, [], used, 10.0).start == ("a",)


def test_start_ups_have_a_floor_whatever_they_have_had() -> None:
    waiting = [Job("a", "start-up", 1, 0.0), Job("b", "ministry", 4, 0.0)]
    used = {"start-up": Use(recent=1e6)}
    assert decide(rules(), waiting, [], used, 10.0).start == ("a",)
    assert decide(rules(sme_floor=0), waiting, [], used, 10.0).start == ("b",)


def test_priority_counts_within_an_organisation_only() -> None:
    waiting = [
        Job("a", "works", 4, 0.0), Job("b", "works", 4, 1.0, priority=5), Job("c", "group", 4, 2.0, priority=9)
    ]  # fmt: skip
    assert decide(rules(), waiting, [], {"group": Use(recent=1.0)}, 10.0).start == ("b",)


def test_a_run_that_does_not_fit_is_passed_for_a_while_and_then_waited_for() -> None:
    waiting = [Job("wide", "works", 4, 0.0), Job("small", "group", 1, 1.0)]
    running = [Job("now", "ministry", 1, 0.0)]
    used = {"group": Use(recent=1.0)}
    soon = decide(rules(), waiting, running, used, 60.0)
    assert soon.start == ("small",)
    assert soon.waiting["wide"].why is Why.ROOM
    later = decide(rules(), waiting, running, used, 2 * HOUR)
    assert later.start == ()
    assert later.waiting["small"].why is Why.HELD_FREE


def test_places_kept_free_are_used_by_runs_that_end_in_time_or_stay_beside() -> None:
    waiting = [
        Job("wide", "works", 4, 0.0),
        Job("short", "group", 1, 1.0, limit=HOUR),
        Job("long", "group", 1, 2.0, limit=2 * HOUR),
        Job("unknown", "group", 1, 3.0),
    ]
    used, now = {"group": Use(recent=1.0)}, 2 * HOUR
    known = [Job("now", "ministry", 2, now - HOUR, limit=2.5 * HOUR)]  # over by half past one hour from now
    found = decide(rules(node_places=5), waiting, known, used, now)
    assert found.start == ("short", "long")  # the first will have ended, the second stays beside the four
    assert found.waiting["unknown"].why is Why.HELD_FREE
    nobody_knows = [one._replace(limit=None) for one in known]
    assert decide(rules(node_places=5), waiting, nobody_knows, used, now).start == ()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.floats(60, 5 * HOUR)), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(1, 3), st.one_of(st.none(), st.floats(60, 5 * HOUR))), max_size=12),
)
def test_whoever_goes_before_never_makes_the_one_that_is_waited_for_wait_longer(
    running: list[tuple[int, float]], small: list[tuple[int, float | None]]
) -> None:
    now, places = 10 * HOUR, sum(nodes for nodes, _ in running) + 1
    wide = Job("wide", "works", places, 0.0)
    busy = [Job(f"busy-{n}", "ministry", nodes, now, limit=limit) for n, (nodes, limit) in enumerate(running)]
    others = [Job(f"small-{n}", "group", nodes, 1.0, limit=limit) for n, (nodes, limit) in enumerate(small)]
    shares = rules(node_places=places, sme_floor=0)
    found = decide(shares, [wide, *others], busy, {"group": Use(recent=1.0)}, now)
    assert "wide" not in found.start
    latest = max(now + limit for _, limit in running)  # it needs all places
    for one in others:
        if one.id in found.start:
            assert one.limit is not None
            assert now + one.limit <= latest


def test_a_used_up_quota_and_a_run_that_never_fits_are_named() -> None:
    organisations = {"works": Organisation(kind="industry", node_hours=1)}
    waiting = [Job("a", "works", 1, 0.0), Job("b", "group", 5, 0.0), Job("c", "ministry", 1, 0.0)]
    found = decide(rules(organisations=organisations), waiting, [], {"works": Use(period=HOUR)}, 1.0)
    assert found.start == ("c",)
    assert {key: one.why for key, one in found.waiting.items()} == {"a": Why.QUOTA, "b": Why.TOO_LARGE}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([*ORGANISATIONS]), st.integers(1, 6), st.integers(-10, 10)), max_size=30),
    st.integers(0, 4),
)
def test_places_are_never_overrun_and_each_run_starts_or_is_told_why(
    asked: list[tuple[str, int, int]], taken: int
) -> None:
    waiting = [Job(f"run-{n}", who, nodes, float(n), priority=p) for n, (who, nodes, p) in enumerate(asked)]
    found = decide(rules(), waiting, [Job("now", "works", taken, 0.0)] if taken else [], {}, 100.0)
    sizes = {job.id: job.nodes for job in waiting}
    assert sum(sizes[one] for one in found.start) + taken <= 4
    assert {*found.start} | {*found.waiting} == {*sizes}
    free = 4 - taken - sum(sizes[one] for one in found.start)
    assert all(sizes[one] > free for one, why in found.waiting.items() if why.why is Why.ROOM)
