"""A permit that makes the release of results a decision: nothing leaves by any way before it, over real processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog.client import LabClient, lab_client
from catalog.errors import NotPermittedError
from catalog.records import Role
from catalog.release.records import CheckName, ReleaseDecision
from catalog.release.transitions import ReleaseState, ReleaseStep
from catalog.run_records import RunState
from datalab.canonical import sha256_hex
from datalab.errors import RefusedError
from federation.commands.run import download, reproduce
from tests.integration.runs.conftest import Lab
from tests.support.pages import give_second_factor, own_token, settle, signed_in, text_of


def test_results_leave_only_once_they_are_released(lab: Lab, tmp_path: Path) -> None:
    url = lab.home.address("lab")["url"]
    with lab_client(lab.home, "operator") as operator:
        held = lab.federation.permit(id="held", data_user="start-up", people=("rosa", "rena"), release=True)
        operator.record_permit(held)
    rena, anton = (
        settle(lab.home, "rena", Role.RESEARCHER, "start-up"),
        settle(lab.home, "anton", Role.ACCESS_BODY, "hdab"),
    )
    run = lab.rosa.runs.submit(lab.launch(permit="held", rounds=1))
    assert run.wait().state is RunState.FINISHED
    assert (run.record().card, run.record().artifacts) == (None, ())
    with lab_client(lab.home, "operator") as operator, signed_in(lab.home, rena) as http:
        for client in (lab.rosa, operator):
            with pytest.raises(NotPermittedError, match="only once it is released"):
                client.download_artifact(run.id, "model.npy")
            with pytest.raises(NotPermittedError, match="only once it is released"):
                client.runs.get(run.id).download(tmp_path)
        assert http.get(f"/runs/{run.id}/files?name=model.npy").status_code == 403
        assert "model.npy" not in http.get(f"/runs/{run.id}").text
        assert http.get(f"/runs/{run.id}/release").status_code == 403
        for command, more in ((download, ["--out", str(tmp_path)]), (reproduce, [])):
            refused = CliRunner().invoke(command, [run.id, "--home", str(lab.home.path), *more])
            assert isinstance(refused.exception, RefusedError), refused.output
        asked = http.post(f"/runs/{run.id}/release-request", data={"text": "for our paper"})
        assert asked.headers["Location"].endswith("notice=release-asked")
    assert list(tmp_path.iterdir()) == []
    with signed_in(lab.home, anton) as http:
        reading = own_token(http, "write")
        assert http.get(f"/runs/{run.id}/release").headers["Location"].startswith("/account/second-factor")
        give_second_factor(http)
        with LabClient(url, reading) as weak, pytest.raises(NotPermittedError, match="scope decide"):
            weak.decide_release(run.id, ReleaseDecision(step=ReleaseStep.RELEASE, text="yes", revision=1))
        assert run.id in http.get("/releases").text
        page = text_of(http.get(f"/runs/{run.id}/release"))
        assert "for our paper" in page
        assert "Longest array or table" in page
        assert http.get(f"/runs/{run.id}/files?name=model.npy").status_code == 200  # whoever decides may look
        with LabClient(url, own_token(http, "decide")) as decider:
            whole = decider.run(run.id)
        assert whole.release is not None
        assert {one.name for one in whole.release.checks} == set(CheckName)
        form = {"step": "release", "revision": str(whole.revision), "text": "looked at it"}
        assert http.post(f"/runs/{run.id}/release", data=form).status_code == 422  # no file is chosen
        form[f"file-{[one.name for one in whole.artifacts].index('model.npy')}"] = "yes"
        assert http.post(f"/runs/{run.id}/release", data=form).headers["Location"].endswith("notice=release-release")
    record = run.record()
    assert record.release is not None
    assert (record.release.state, record.release.decided_by) == (ReleaseState.RELEASED, "anton")
    assert [one.name for one in record.artifacts] == ["model.npy"]
    (path,) = run.download(tmp_path)
    assert sha256_hex(path.read_bytes()) == record.artifacts[0].sha256
