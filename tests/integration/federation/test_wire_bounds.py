"""What slow, stalled and silent lines cost: a node that takes nothing holds nobody up, and nothing is sent twice."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from datalab.supervisor import Supervisor
from federation.errors import RunFailedError
from federation.pb import federation_pb2 as pb
from federation.pki.keys import Credentials
from federation.run import ConfigValue
from federation.wire.protocol import CHUNK_BYTES, FETCH_WINDOW
from tests.integration.federation.test_faults import reconnect_through
from tests.support.federation import ECHO, ROOT, Federation
from tests.support.peer import HELLO, Peer, accepting
from tests.support.proxy import Proxy

RESEND = ROOT / "tests" / "apps" / "resend"
MODEL = 24 * CHUNK_BYTES


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Federation]:
    """A gateway and one node of this test's own."""
    with Supervisor() as supervisor:
        federation = Federation(tmp_path, supervisor)
        federation.add_node("quick", apps=[ECHO, RESEND])
        federation.wait_for("quick")
        yield federation


def memory_mb(process: subprocess.Popen[bytes]) -> float:
    return psutil.Process(process.pid).memory_info().rss / 1e6


async def stall(federation: Federation, credentials: Credentials, stalled: asyncio.Event, over: asyncio.Event) -> None:
    """Take part in a run, ask for its model over and over, and take nothing of it."""
    async with Peer(federation.lab, credentials) as peer:
        await peer.send(HELLO)
        offer = await peer.receive_kind("offer")
        await peer.send(accepting(offer))
        task = await peer.receive_kind("task")
        model = task.content.entries[0].array_record.entries[0].array.sha256
        for number in range(3000):
            offset = number % (MODEL // CHUNK_BYTES) * CHUNK_BYTES
            fetch = pb.Fetch(run_id=offer.run_id, sha256=model, offset=offset, length=CHUNK_BYTES)
            await peer.send(pb.ConnectRequest(fetch=fetch))
        stalled.set()
        await over.wait()


@pytest.mark.slow
def test_a_node_that_takes_nothing_costs_neither_memory_nor_the_others_time(gateway: Federation) -> None:
    config: dict[str, ConfigValue] = {"bytes": MODEL, "num-server-rounds": 2, "noise": True}
    alone = gateway.run(["quick"], config=config).read_card()
    before = memory_mb(gateway.processes["gateway"])
    credentials = gateway.add_peer("stalled")

    async def both() -> tuple[dict[str, Any], float]:
        stalled, over = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(2) as pool:
            stalling = asyncio.create_task(stall(gateway, credentials, stalled, over))
            held_up = loop.run_in_executor(pool, lambda: gateway.run(["quick", "stalled"], config=config, grace=5))
            await asyncio.wait_for(stalled.wait(), 30)
            other = await loop.run_in_executor(pool, lambda: gateway.run(["quick"], config=config))
            memory = memory_mb(gateway.processes["gateway"])
            over.set()
            await stalling
            with pytest.raises(RunFailedError, match=r"waits for more nodes than there are: 1 of 2. \(stalled"):
                await held_up  # once it is gone for good, that is said
            return other.read_card(), memory

    other, memory = asyncio.run(both())
    assert other["outcome"] == alone["outcome"] == "completed"
    # 3,000 pieces of 1 MiB were asked for and not taken.
    assert memory - before < 60
    fastest, beside = (min(one["seconds"] for one in card["rounds"]) for card in (alone, other))
    assert beside < 5 * fastest


def test_what_was_cut_in_either_direction_goes_on_where_it_stopped(gateway: Federation) -> None:
    address = gateway.lab.address("gateway")
    with Proxy(address["host"], address["port"], piece_delay=0.004) as proxy:
        reconnect_through(gateway, "quick", proxy)
        start = proxy.bytes_passed

        def cut_twice() -> None:
            for share in (0.5, 1.6):  # half-way down, and half-way up again
                while proxy.bytes_passed - start < share * MODEL:
                    time.sleep(0.01)
                proxy.cut()
                gateway.wait_for("quick")

        with ThreadPoolExecutor(1) as pool:
            cutting = pool.submit(cut_twice)
            run = gateway.run(["quick"], app=RESEND, config={"bytes": MODEL})
            cutting.result(timeout=30)
        passed = proxy.bytes_passed - start
    assert np.load(run.artifacts / "sent.npy") == 1, "a cut loses no reply"
    in_flight = (FETCH_WINDOW + 1) * CHUNK_BYTES
    assert 2 * MODEL < passed < 2 * MODEL + 2 * in_flight


@pytest.mark.slow
def test_a_silent_connection_is_kept_open_through_a_nat(gateway: Federation) -> None:
    """The NAT forgets a connection on which nothing has passed for 6 seconds; beats do."""
    address = gateway.lab.address("gateway")
    with Proxy(address["host"], address["port"], forget_after=6) as proxy:
        reconnect_through(gateway, "quick", proxy)
        time.sleep(14)  # the silence is what is tested
        run = gateway.run(["quick"], timeout=60)
        assert proxy.forgotten == 0
        log = gateway.node_home("quick").log_file("node").read_text(encoding="utf-8")
    assert run.read_card()["outcome"] == "completed"
    assert "not connected" not in log
