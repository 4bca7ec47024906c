"""What Datalab needs of Flower's private parts; if Flower changes them, this says so before anything else does."""

from __future__ import annotations

import os

from flwr.app import Message, RecordDict

from federation.flower import seam


def test_messages_are_made_in_the_name_of_the_node_that_the_process_is() -> None:
    seam.identify("run-1", 42)
    message = Message(RecordDict(), 7, "train", group_id="3")
    assert (message.metadata.run_id, message.metadata.src_node_id) == (seam.flower_id("run-1"), 42)


def test_a_reply_finds_its_message() -> None:
    seam.identify("run-1", seam.SERVER_NODE_ID)
    sent = seam.with_id(Message(RecordDict(), 7, "train", group_id="3", ttl=60), "00000001")
    received = seam.instruction(
        RecordDict(), run_id="run-1", node_id=7, message_id="00000001", message_type="train", group_id="3", ttl=60
    )
    for message in (sent, received):
        reply = seam.reply_to(message, RecordDict())
        assert reply.metadata.reply_to_message_id == "00000001"
        assert (reply.metadata.src_node_id, reply.metadata.dst_node_id) == (7, seam.SERVER_NODE_ID)
        assert reply.metadata.group_id == "3"


def test_node_ids_come_from_names_alone_and_fit_in_63_bits() -> None:
    assert seam.flower_id("rotterdam") == seam.flower_id("rotterdam") != seam.flower_id("gbsg")
    assert 0 <= seam.flower_id("rotterdam") < 2**63


def test_flower_is_told_not_to_phone_home() -> None:
    assert os.environ["FLWR_TELEMETRY_ENABLED"] == "0"
    assert os.environ["FLWR_DISABLE_UPDATE_CHECK"] == "1"


def test_a_context_starts_with_empty_state() -> None:
    context = seam.make_context("run-1", 7, node_config={"dataset": "/data"}, run_config={"rounds": 3})
    assert (context.node_id, dict(context.node_config), len(context.state)) == (7, {"dataset": "/data"}, 0)
    assert seam.empty_run("run-1").run_id == context.run_id
