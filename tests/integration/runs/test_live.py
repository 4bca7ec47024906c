"""A run's page as the browser gets it: each change as one event, until the run is over or the session ends."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from catalog.records import Role
from catalog.run_records import RunState
from tests.integration.runs.conftest import Lab
from tests.support.pages import settle, signed_in


def parts(http: httpx.Client, run: str, **headers: str) -> Iterator[dict[str, str]]:
    """Follow a run's page; yields events by field, the HTML as ``data``."""
    with http.stream("GET", f"/runs/{run}/live", headers=headers, timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        event: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                event[name] = f"{event[name]}\n{value}" if name in event else value
            elif event:
                yield event
                event = {}


def test_a_runs_page_is_sent_whenever_it_changes_until_it_is_over(lab: Lab) -> None:
    ruth = settle(lab.home, "ruth", Role.RESEARCHER, "start-up")
    run = lab.rosa.submit_run(lab.launch())
    with signed_in(lab.home, ruth) as http:
        said = list(parts(http, run.id))
        assert said[-1]["event"] == "over"
        sent = [one for one in said if one.get("event") == "part"]
        assert len({one["id"] for one in sent}) == len(sent) > 1
        assert "model.npy" in sent[-1]["data"]
        assert "<script" not in sent[-1]["data"]
        resumed = next(one for one in parts(http, run.id, **{"Last-Event-ID": sent[0]["id"]}) if "event" in one)
        assert resumed["id"] == sent[-1]["id"]


def test_what_an_app_says_is_bounded_on_the_page_and_whole_beside_it(lab: Lab) -> None:
    ria = settle(lab.home, "ria", Role.RESEARCHER, "start-up")
    run = lab.rosa.submit_run(lab.launch())
    lab.rosa.runs.get(run.id).wait()
    said = "\n".join(f"{number}: " + "'" * 60 for number in range(1000))[-60_000:]
    (lab.home.path / "runs" / run.id / "log" / "server-app.log").write_text(said, encoding="utf-8")
    with signed_in(lab.home, ria) as http:
        page = http.get(f"/runs/{run.id}")
        assert "999: &#39;" in page.text
        assert len(page.content) < 150_000 - 75_000  # styles and scripts
        assert f'href="/runs/{run.id}/log"' in page.text
        whole = http.get(f"/runs/{run.id}/log")
        assert whole.text == said
        assert whole.headers["Content-Type"] == "text/plain; charset=utf-8"
        (lab.home.path / "runs" / run.id / "log" / "server-app.log").write_text("short", encoding="utf-8")
        assert f'href="/runs/{run.id}/log"' not in http.get(f"/runs/{run.id}").text


def test_a_stream_ends_with_the_session(lab: Lab) -> None:
    rika = settle(lab.home, "rika", Role.RESEARCHER, "start-up")
    run = lab.rosa.submit_run(lab.launch(rounds=100_000))
    with signed_in(lab.home, rika) as http:
        stream = parts(http, run.id)
        assert next(one for one in stream if "event" in one)["event"] == "part"
        with signed_in(lab.home, rika) as other:
            other.cookies = http.cookies
            assert other.post("/sign-out").status_code == 303
        assert list(stream)[-1]["event"] == "leave"
    assert lab.rosa.cancel_run(run.id).state is RunState.STOPPED


def test_another_organisations_run_has_no_page(lab: Lab) -> None:
    run = lab.rosa.submit_run(lab.launch())
    other = settle(lab.home, "rolf", Role.RESEARCHER, "works")
    with signed_in(lab.home, other) as http:
        for path in ("", "/clone", "/model-card", "/documentation", "/files?name=run-card.json", "/log"):
            assert http.get(f"/runs/{run.id}{path}").status_code == 403, path
        assert http.get(f"/runs/compare?run={run.id}").status_code == 403
        assert http.post(f"/runs/{run.id}/cancel").status_code == 403
        assert [one["event"] for one in parts(http, run.id) if "event" in one] == ["leave"]
        assert run.id not in http.get("/compute").text
    lab.rosa.runs.get(run.id).wait()
