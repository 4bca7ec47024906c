"""Whoever changes a log is found out by the other side's, even if the log is consistent in itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from datalab.audit.chain import GENESIS, entry_hash
from datalab.audit.log import AuditLogError
from datalab.audit.verification import verify as verify_chain
from datalab.canonical import canonical_json
from federation.commands.audit import verify
from tests.integration.federation.conftest import NODES
from tests.support.federation import Federation

Entries = list[dict[str, Any]]


@pytest.fixture(scope="module")
def logs(federation: Federation) -> dict[str, Path]:
    """The logs of a node and of the gateway after two runs."""
    for _ in range(2):
        federation.run(NODES, config={"num-server-rounds": 1})
    return {
        "node": federation.node_home(NODES[0]).path / "audit.jsonl",
        "gateway": federation.lab.path / "gateway" / "audit.jsonl",
        "root": federation.node_home(NODES[0]).path / "identity" / "trust.pem",
    }


def read(path: Path) -> Entries:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def write(path: Path, entries: Entries, *, consistent: bool = True) -> Path:
    """Write a log; with hashes and numbers that fit, as its owner could."""
    previous = GENESIS
    for number, entry in enumerate(entries, 1):
        if consistent:
            entry |= {"n": number, "previous": previous}
            entry["hash"] = entry_hash(previous, {key: entry[key] for key in ("n", "time", "event", "details")})
        previous = entry["hash"]
    path.write_bytes(b"".join(canonical_json(entry) + b"\n" for entry in entries))
    return path


def run(*arguments: str | Path) -> tuple[str, BaseException | None]:
    done = CliRunner().invoke(verify, [str(one) for one in arguments])
    return done.output, done.exception


def decided(entries: Entries) -> int:
    """Return where the first decision on a run stands."""
    return next(at for at, one in enumerate(entries) if one["event"] in ("run decided", "node decided"))


@pytest.mark.parametrize(("log", "other"), [("node", "gateway"), ("gateway", "node")])
class TestEitherLog:
    """A node's log against the gateway's, and the gateway's against a node's."""

    def test_what_was_written_agrees(self, logs: dict[str, Path], log: str, other: str) -> None:
        for more in ((), ("--root", logs["root"])):
            output, error = run(logs[log], "--against", logs[other], *more)
            assert error is None, output
            assert "prove nothing" not in output
            # One at the start of each run and one at its end; the very last may be on its way.
            kept = re.search(r"has kept (\d+) signed heads", output)
            assert kept is not None
            assert int(kept[1]) >= 3

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (lambda entries, at: entries[at]["details"].update(run="another"), "written anew"),
            (lambda entries, at: entries.pop(at), "written anew"),
            (lambda entries, at: entries.insert(at, entries.pop(at + 1)), "written anew"),
            (lambda entries, at: entries.__delitem__(slice(at, None)), "the log was cut off"),
        ],
        ids=["changed", "missing", "reordered", "cut off"],
    )
    def test_a_log_written_anew_without_a_flaw_in_itself_is_found(
        self,
        logs: dict[str, Path],
        log: str,
        other: str,
        tmp_path: Path,
        spoil: Callable[[Entries, int], object],
        said: str,
    ) -> None:
        entries = read(logs[log])
        spoil(entries, decided(entries))
        forged = write(tmp_path / "audit.jsonl", entries)
        assert verify_chain(forged).intact
        output, error = run(forged, "--against", logs[other], "--root", logs["root"])
        assert isinstance(error, AuditLogError)
        assert f"{forged}: BROKEN" in output
        assert said in output
        assert f"{logs[other]}: intact" in output

    def test_a_log_with_a_flaw_in_itself_is_found_as_before(
        self, logs: dict[str, Path], log: str, other: str, tmp_path: Path
    ) -> None:
        entries = read(logs[log])
        entries[decided(entries)]["details"]["run"] = "another"
        forged = write(tmp_path / "audit.jsonl", entries, consistent=False)
        output, error = run(forged, "--against", logs[other])
        assert isinstance(error, AuditLogError)
        assert "was changed: its hash does not fit" in output

    def test_the_other_log_has_the_owners_certificates_if_the_owners_own_has_lost_them(
        self, logs: dict[str, Path], log: str, other: str, tmp_path: Path
    ) -> None:
        entries = read(logs[log])
        (owner,) = {one["details"]["member"] for one in entries if one["event"] == "certificate taken"}
        left = [one for one in entries if one["event"] != "certificate taken"]
        forged = write(tmp_path / "audit.jsonl", left)
        _, error = run(forged, "--against", logs[other])
        assert "does not say whose it is" in str(error)
        output, error = run(forged, "--against", logs[other], "--owner", owner, "--root", logs["root"])
        assert isinstance(error, AuditLogError)
        assert "prove nothing" not in output
        assert f"{forged}: BROKEN" in output

    def test_heads_that_the_owner_has_not_signed_prove_nothing_against_them(
        self, logs: dict[str, Path], log: str, other: str, tmp_path: Path
    ) -> None:
        entries = read(logs[other])
        for entry in entries:
            for value in entry["details"].values():
                if isinstance(value, dict) and "owner" in value:
                    value["hash"] = "0" * 64
        slander = write(tmp_path / "other.jsonl", entries)
        output, error = run(logs[log], "--against", slander)
        assert "more heads bear no valid signature" in output
        assert isinstance(error, AuditLogError)
        assert "nothing could be compared" in str(error)

    def test_certificates_of_another_federation_prove_nothing(
        self, logs: dict[str, Path], log: str, other: str, tmp_path: Path
    ) -> None:
        from datalab.home import Home
        from federation.pki.local import create_federation

        elsewhere = create_federation(Home(Home(tmp_path / "elsewhere").folder()))
        (tmp_path / "root.pem").write_bytes(elsewhere.trust_bundle_pem)
        output, error = run(logs[log], "--against", logs[other], "--root", tmp_path / "root.pem")
        assert "prove nothing" in output
        assert isinstance(error, AuditLogError)


def test_heads_that_were_held_back_are_counted(logs: dict[str, Path], tmp_path: Path) -> None:
    """A node that shows an old head leaves what it has written since without a witness."""
    entries = read(logs["gateway"])
    shown = [one for one in entries if one["details"].get("node_head", {}).get("owner", "").endswith(NODES[0])]
    shown[-1]["details"]["node_head"] = shown[0]["details"]["node_head"]
    output, error = run(logs["node"], "--against", write(tmp_path / "other.jsonl", entries))
    assert error is None
    assert "1 of these shown after a newer one" in output


@pytest.mark.parametrize(
    "details",
    [
        [],
        {"head": {"n": -1, "hash": "x", "owner": "{owner}", "signature": "zz"}},
        {"head": {"n": 1, "hash": "0" * 64, "owner": "{owner}", "signature": ""}},
        {"head": {"n": 10**30, "hash": "0" * 64, "owner": "{owner}", "signature": "00"}},
    ],
    ids=["no details", "no head", "no signature", "far off"],
)
def test_whatever_the_other_log_holds_is_no_more_than_unproven(
    logs: dict[str, Path], tmp_path: Path, details: Any
) -> None:
    owner = read(logs["node"])[0]["details"]["member"]
    details = json.loads(json.dumps(details).replace("{owner}", owner))
    certificates = [one for one in read(logs["gateway"]) if one["event"] == "certificate seen"]
    junk = {"event": "node decided", "time": 5, "details": details}
    other = write(tmp_path / "other.jsonl", [*certificates, junk])
    _, error = run(logs["node"], "--against", other, "--root", logs["root"])
    assert isinstance(error, AuditLogError)
    assert "nothing could be compared" in str(error)


def test_logs_that_have_nothing_to_do_with_each_other_are_said_to_have_nothing(
    logs: dict[str, Path], federation: Federation
) -> None:
    stranger = federation.node_home(NODES[1]).path / "audit.jsonl"
    output, error = run(logs["node"], "--against", stranger)
    assert isinstance(error, AuditLogError)
    assert "intact" not in output


@pytest.mark.parametrize(
    "arguments", [["a", "b", "--against", "c"], ["a", "--owner", "x"], ["a", "--root", "x"]], ids=" ".join
)
def test_options_that_say_nothing_are_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(verify, arguments).exit_code == 2
