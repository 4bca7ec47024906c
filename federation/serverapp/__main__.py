"""``python -m federation.serverapp``: frames come on stdin and go to what was stdout; the app prints to stderr."""

from __future__ import annotations

import os
import sys
import traceback

from flwr.serverapp import ServerApp

from datalab.errors import DatalabError
from federation.flower import seam
from federation.flower.apps import load, seed_everything
from federation.pb import server_app_pb2 as pb
from federation.serverapp.grid import DatalabGrid
from federation.serverapp.runner import Runner
from federation.wire.pipe import read_frame, take_standard_streams
from federation.wire.values import decode_config


def main() -> None:
    """Run the app once, as the runner says."""
    requests, responses = take_standard_streams()
    opening = read_frame(requests, pb.ServerAppRequest)
    if opening is None:
        return
    runner = Runner(opening.start, requests, responses)
    end = pb.ServerAppEnd()
    try:
        _run(opening.start, runner)
    except DatalabError as error:
        traceback.print_exc()
        end.failure, end.what = type(error).__name__, error.what
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the app raises ends the run; its trace is in the log
        traceback.print_exc()
        end.failure = type(error).__name__
    runner.end(end)


def _run(start: pb.ServerAppStart, runner: Runner) -> None:
    seam.identify(start.run_id, seam.SERVER_NODE_ID)
    config = decode_config(start.run_config)
    context = seam.make_context(start.run_id, seam.SERVER_NODE_ID, node_config={}, run_config=config)
    sys.path.insert(0, start.app_folder)
    os.chdir(start.artifacts)
    seed_everything(start.seed, "server")
    load(start.server_app, ServerApp)(DatalabGrid(start.run_id, start.nodes, runner), context)


if __name__ == "__main__":
    main()
