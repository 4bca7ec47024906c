"""A runner's stream before a gateway that the test plays itself, over real TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from datalab.home import Home
from federation.pb import federation_pb2 as pb
from federation.pb.enrolment_pb2 import RenewRequest, RenewResponse
from federation.pki.authority import Authority
from federation.pki.identity import Identity, Role
from federation.pki.keys import Credentials, certificate_request, key_pem, new_key
from federation.pki.local import create_federation, issue_gateway_certificate
from federation.runner import stream as runner_stream
from federation.runner.stream import Endpoint, RunnerStream
from federation.wire import pulse
from federation.wire.protocol import RENEW, RUN_CONDUCT
from federation.wire.pulse import Patience, SilentError
from tests.support.serving import serving

RUN = "renewed"
LATE = pb.ConductResponse(reply=pb.Reply(run_id=RUN, task_id="00000001"))
Conduct = Callable[[pb.RunOpen, AsyncIterator[pb.ConductRequest]], AsyncIterator[pb.ConductResponse]]


class Gateway:
    """A federation of its own, and what answers a runner in it.

    Args:
        folder: of its authority, and of the runner's credentials.
    """

    def __init__(self, folder: Path) -> None:
        lab = Home(folder / "lab")
        self.authority: Authority = create_federation(lab)
        self._own = issue_gateway_certificate(lab)
        self.runner = Identity(self.authority.federation, Role.RUNNER, RUN)
        key = new_key()
        chain = self.authority.issue(certificate_request(key), self.runner)
        self.credentials = Credentials(key_pem(key), chain, self.authority.trust_bundle_pem)
        self.credentials.store(folder / "runner")
        self.folder = folder / "runner"

    def converse(self, conduct: Conduct, handle: Callable[[pb.ConductResponse], None]) -> None:
        """Have a runner's stream converse with ``conduct``, which is called for every opening."""

        async def start() -> tuple[grpc.aio.Server, int]:
            return await self._start(conduct)

        with serving(start) as port:
            endpoint = Endpoint(f"127.0.0.1:{port}", self.folder, self.credentials)
            stream = RunnerStream(endpoint, lambda _: pb.RunOpen(run_id=RUN), Patience())
            asyncio.run(stream.converse(handle))

    async def _start(self, conduct: Conduct) -> tuple[grpc.aio.Server, int]:
        async def opened(
            requests: AsyncIterator[pb.ConductRequest], _: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncIterator[pb.ConductResponse]:
            async for frame in conduct((await anext(requests)).open, requests):
                yield frame

        async def renew(request: RenewRequest, _: grpc.aio.ServicerContext[Any, Any]) -> RenewResponse:
            chain = self.authority.issue(request.certificate_request_pem, self.runner)
            return RenewResponse(certificate_chain_pem=chain, trust_bundle_pem=self.authority.trust_bundle_pem)

        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            RUN_CONDUCT: grpc.stream_stream_rpc_method_handler(
                opened, pb.ConductRequest.FromString, pb.ConductResponse.SerializeToString
            ),
            RENEW: grpc.unary_unary_rpc_method_handler(renew, RenewRequest.FromString, RenewResponse.SerializeToString),
        }
        server = grpc.aio.server()
        for path, handler in handlers.items():
            service, _, method = path[1:].partition("/")
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        pair = [(self._own.key_pem, self._own.chain_pem)]
        tls = grpc.ssl_server_credentials(pair, self.authority.trust_bundle_pem, require_client_auth=True)
        port = server.add_secure_port("127.0.0.1:0", tls)
        await server.start()
        return server, port


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    return Gateway(tmp_path_factory.mktemp("gateway"))


def test_a_reply_that_comes_in_the_frame_that_continues_the_run_is_not_lost(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def due(_: object, *, just_renewed: bool) -> float:
        return 60.0 if just_renewed else 0.0

    monkeypatch.setattr(runner_stream, "seconds_until_renewal", due)
    openings: list[bool] = []

    async def conduct(opening: pb.RunOpen, requests: AsyncIterator[pb.ConductRequest]) -> AsyncIterator[Any]:
        openings.append(opening.continues)
        if opening.continues:
            yield pb.ConductResponse(continued=pb.RunContinued(), more=[LATE])
        else:
            async for _ in requests:  # until the runner closes this one, for it has the other
                pass

    handled: list[pb.ConductResponse] = []
    gateway.converse(conduct, handled.append)
    assert openings == [False, True]
    assert [one for frame in handled for one in frame.more] == [LATE]


def test_a_gateway_that_says_nothing_any_more_is_given_up(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection stands, and gRPC has nothing against it: what is missing are the gateway's beats."""
    monkeypatch.setattr(pulse, "SILENT_SECONDS", 0.5)
    beats: list[pb.ConductRequest] = []

    async def conduct(opening: pb.RunOpen, requests: AsyncIterator[pb.ConductRequest]) -> AsyncIterator[Any]:
        assert opening.beats
        yield pb.ConductResponse(continued=pb.RunContinued()) if opening.continues else LATE
        yield pb.ConductResponse(beat=pb.Beat())
        async for frame in requests:
            beats.append(frame)  # noqa: PERF401 - this ends with the connection

    with pytest.raises(SilentError, match="Nothing was heard"):
        gateway.converse(conduct, lambda _: None)
    assert beats
    assert all(one.HasField("beat") for one in beats), "the runner says that it is there as well"
