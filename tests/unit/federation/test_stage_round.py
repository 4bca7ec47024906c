"""The round that a ServerApp gives to a message is a number, or none."""

from __future__ import annotations

import pytest

from federation.errors import WireError
from federation.pb import records_pb2 as pb
from federation.runner.stage import checked_round


def content(**value: object) -> pb.RecordDict:
    message = pb.RecordDict()
    entry = message.entries.add(key="config").config_record.entries.add(key="server-round")
    for kind, one in value.items():
        setattr(entry, kind, one)
    return message


def test_the_round_of_a_strategy_comes_before_the_group() -> None:
    assert checked_round(content(integer=3), "group") == "3"
    assert checked_round(pb.RecordDict(), "group") == "group"


@pytest.mark.parametrize("bad", ["\u00b2", "\u0663", "9" * 5000, "x" * 501])
def test_what_is_no_number_is_refused(bad: str) -> None:
    with pytest.raises(WireError, match="round is not a number"):
        checked_round(content(string=bad), "")
    with pytest.raises(WireError, match="round is not a number"):
        checked_round(pb.RecordDict(), bad)
