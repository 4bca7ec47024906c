"""``python -m federation.runner --home RUN_FOLDER``: conducts one run, from ``run.json`` to its run card.

Started again on the folder of a run that was interrupted, it goes on where that was.
"""

from __future__ import annotations

from datalab.errors import DatalabError
from datalab.home import Home
from datalab.service import run_service
from federation.run import COMPLETED, FAILED, RunFolder, RunSpec
from federation.runner.conductor import Conductor
from federation.runner.watch import Watch


def main(home: Home) -> None:
    """Conduct the run in ``home``.

    Raises:
        DatalabError: a node refused, the app failed, or the lab could not be reached; the run card says so too. Or
            another process conducts the run already, or has done so to its end.
    """
    folder = RunFolder(home.path)
    spec = folder.read_spec()
    with folder.conducting():
        _conduct(home, folder, spec)


def _conduct(home: Home, folder: RunFolder, spec: RunSpec) -> None:
    watch = Watch(folder.events)
    home.announce("runner", run=spec.id)
    try:
        Conductor(folder, spec, watch).conduct()
        watch.say("end", outcome=COMPLETED)
    except DatalabError as error:
        if folder.unfinished:  # the lab does not answer, for one
            watch.say("interrupted", reason=str(error))
        else:
            watch.say("end", outcome=FAILED, reason=str(error))
        raise
    finally:
        watch.close()
        home.withdraw("runner")


if __name__ == "__main__":
    run_service(main)
