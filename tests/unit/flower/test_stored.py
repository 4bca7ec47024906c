"""An array that stays in its file is to an app what any other array is."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, RecordDict

from federation.errors import WireError
from federation.flower.records import StoredArray, decode_records, encode_records
from federation.wire.buffers import BufferStore, StoredBuffer

VALUES = np.arange(50_000, dtype=np.float32).reshape(250, 200)


def received(folder: Path) -> RecordDict:
    """Return a record as a runner receives it: its large array lies in ``folder``."""
    store = BufferStore(folder)
    sent = encode_records(RecordDict({"arrays": ArrayRecord({"w": Array(VALUES)})}), store.add)
    return decode_records(sent, lambda sha256: StoredBuffer(store.path(sha256)))


def test_it_stays_in_its_file_and_says_what_was_sent(tmp_path: Path) -> None:
    array = received(tmp_path).array_records["arrays"]["w"]
    assert isinstance(array, StoredArray)
    assert array == Array(VALUES)
    assert (array.numpy() == VALUES).all()
    assert (Array(array.dtype, array.shape, array.stype, array.data).numpy() == VALUES).all()


def test_an_app_may_change_what_it_has_read(tmp_path: Path) -> None:
    array = received(tmp_path).array_records["arrays"]["w"]
    values = array.numpy()
    values += 1
    assert (array.numpy() == VALUES).all()


def test_it_can_be_copied_pickled_and_sent_on(tmp_path: Path) -> None:
    content = received(tmp_path)
    array = content.array_records["arrays"]["w"]
    assert copy.deepcopy(array) == pickle.loads(pickle.dumps(array)) == array
    buffers: dict[bytes, bytes] = {}

    def put(data: memoryview) -> bytes:
        buffers[b"1" * 32] = bytes(data)
        return b"1" * 32

    again = decode_records(encode_records(content, put), buffers.__getitem__)
    assert again.array_records["arrays"]["w"] == array


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    store = BufferStore(tmp_path)
    sent = encode_records(RecordDict({"arrays": ArrayRecord({"w": Array(VALUES)})}), store.add)
    store.path(sent.entries[0].array_record.entries[0].array.sha256).write_bytes(b"short")
    with pytest.raises(WireError, match="size"):
        decode_records(sent, lambda sha256: StoredBuffer(store.path(sha256)))
