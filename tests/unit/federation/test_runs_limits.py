"""What a gateway cannot make a node do or write down: replay a run that has ended, or fill its audit log."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from datalab.audit.log import AuditLog
from datalab.errors import RefusedError
from datalab.home import Home
from datalab.permits.keys import generate_key, key_id, public_key
from datalab.permits.permit import sign_permit
from datalab.permits.revocation import sign_revocations
from federation.errors import WireError
from federation.node.config import Policy
from federation.node.facts import Keys, gather
from federation.node.ledger import Ledger, Spending
from federation.node.policy import check_not_revoked
from federation.node.runs import Runs
from federation.node.trust import UntrustedError
from federation.pb import federation_pb2 as pb
from federation.wire.protocol import MAX_NAME
from tests.support.waiting import events
from tests.unit.permits.conftest import claims

UNUSED = cast("Any", None)


def runs(folder: Path) -> Runs:
    return Runs("n", Home(folder), UNUSED, [], UNUSED, AuditLog(folder / "audit.jsonl"), Ledger(folder), UNUSED, UNUSED)


@pytest.mark.parametrize("name", ["x", "x" * (MAX_NAME + 1)])
def test_a_task_of_a_run_that_is_not_open_leaves_nothing_in_the_audit_log(tmp_path: Path, name: str) -> None:
    one, sent = runs(tmp_path), []
    before = AuditLog(tmp_path / "audit.jsonl").head()

    async def send(frame: pb.ConnectRequest) -> None:
        sent.append(frame.reply.error.code)

    asyncio.run(one.carry_out(pb.Task(run_id="r", task_id="1", message_type=name, ttl=math.nan), send))
    assert sent == [pb.TASK_ERROR_CODE_REFUSED]
    assert AuditLog(tmp_path / "audit.jsonl").head() == before


def test_an_oversize_offer_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    one = runs(tmp_path)
    before = AuditLog(tmp_path / "audit.jsonl").head()

    async def send(_: pb.ConnectRequest) -> None:
        raise AssertionError

    async def leave_out() -> None:
        raise AssertionError

    with pytest.raises(WireError, match="characters"):
        asyncio.run(one.consider(pb.Offer(run_id="r", purpose="x" * (MAX_NAME + 1)), send, leave_out))
    assert AuditLog(tmp_path / "audit.jsonl").head() == before


def test_a_run_that_has_ended_here_stays_ended_after_a_restart(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.spend(Spending("r", "d", Decimal(1), datetime.now(UTC)))
    assert not Ledger(tmp_path).has_ended("r")
    ledger.end("r")
    assert Ledger(tmp_path).has_ended("r")
    assert len(Ledger(tmp_path).spendings) == 1
    with pytest.raises(RefusedError, match="has ended here"):
        runs(tmp_path)._approve(pb.Offer(run_id="r"))


def test_a_permit_that_is_revoked_while_its_run_goes_on_counts_no_more(tmp_path: Path) -> None:
    """Each task is judged by the list as it is on the disk then."""
    key, now = generate_key(), datetime.now(UTC)
    config = cast("Any", SimpleNamespace(policy=Policy(revocations="revoked.jws")))
    claims = cast("Any", SimpleNamespace(id="permit-1", issuer="the access body"))
    keys = Keys(permits=(public_key(key),))

    def task() -> str:
        return check_not_revoked(claims, key_id(key), gather(tmp_path, config, [], keys, [], now))

    with pytest.raises(RefusedError, match="has no list"):
        task()
    (tmp_path / "revoked.jws").write_text(sign_revocations(["permit-2"], key, issued=now), encoding="ascii")
    assert "not on the list" in task()
    (tmp_path / "revoked.jws").write_text(sign_revocations(["permit-1"], key, issued=now), encoding="ascii")
    with pytest.raises(RefusedError, match="revoked"):
        task()


def test_a_list_of_revoked_permits_that_is_none_ends_the_connection_and_anothers_is_passed_over(tmp_path: Path) -> None:
    key, stranger, now = generate_key(), generate_key(), datetime.now(UTC)
    keys = Keys(permits=(public_key(key),))
    audit = AuditLog(tmp_path / "audit.jsonl")
    one = Runs("n", Home(tmp_path), UNUSED, [], keys, audit, Ledger(tmp_path), UNUSED, UNUSED)
    good = sign_revocations(["permit-1"], key, issued=now)
    anothers = sign_revocations(["permit-1"], stranger, issued=now)
    tampered = f"{good[:-4]}{'AAAA' if good[-4:] != 'AAAA' else 'BBBB'}"
    asyncio.run(one.take_permit_list(anothers))
    asyncio.run(one.take_permit_list(sign_revocations([], key, issued=now + timedelta(hours=1))))
    for wrong in (tampered, "no list", sign_permit(claims(), key)):
        with pytest.raises(UntrustedError, match="none"):
            asyncio.run(one.take_permit_list(wrong))
    assert not [*(tmp_path / "permit-revocations").iterdir()]
    asyncio.run(one.take_permit_list(good))
    asyncio.run(one.take_permit_list(good))
    assert [one["event"] for one in events(tmp_path / "audit.jsonl")] == ["permits revoked"], "once"


def test_a_revocation_whose_line_is_lost_midway_ends_the_other_runs_when_it_comes_again(tmp_path: Path) -> None:
    """The list is on the disk by then, and runs go on: it is no news, and has to count all the same."""
    key, ended = generate_key(), []

    class Open:
        approval = SimpleNamespace(claims=SimpleNamespace(id="permit-1"))

        async def close(self) -> None:
            ended.append(self)
            await asyncio.sleep(0 if len(ended) > 1 else 60)

    one = runs(tmp_path)
    one._keys = Keys(permits=(public_key(key),))
    one._runs = cast("Any", {"a": Open(), "b": Open()})
    revoked = sign_revocations(["permit-1"], key, issued=datetime.now(UTC))

    async def lose_the_line_and_come_back() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.take_permit_list(revoked), 0.1)
        await one.take_permit_list(revoked)

    asyncio.run(lose_the_line_and_come_back())
    assert (len(ended), list(one._runs)) == (2, [])
    said = [event["event"] for event in events(tmp_path / "audit.jsonl")]
    assert said.count("permits revoked") == 1, "a gateway that sends it again and again fills no audit log"
