"""What is shipped of a run's journal: all of it, in few objects that nobody can read, or change unnoticed."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from datalab.canonical import sha256_hex
from datalab.home import Home
from datalab.service import free_ports
from datalab.storage.store import ObjectStore
from federation.journal import Journal
from federation.pb import federation_pb2 as pb
from federation.pb.journal_pb2 import JournalEntry
from federation.run import RunFolder, RunPlace, RunSpec
from federation.runner import shipping
from federation.runner.shipping import Shipping
from federation.shipped import Head, JournalBrokenError, ShippedRun, head_key
from federation.wire.buffers import BufferStore
from tests.support.waiting import wait_until

SEGMENT = 10_000


@dataclass
class Case:
    """A run's folder in a lab's home whose journal grows."""

    home: Home
    objects: ObjectStore
    folder: RunFolder
    journal: Journal
    said: list[str] = field(default_factory=list)

    def grow(self, data: bytes, *, large: bool = False) -> None:
        """Write down a reply with an array; a large one lies beside the journal."""
        reply = pb.Reply(task_id="1", node="oslo")
        array = reply.content.entries.add(key="arrays").array_record.entries.add(key="model").array
        array.dtype, array.shape[:] = "uint8", [len(data)]
        if large:
            array.sha256 = BufferStore(self.folder.buffers).add(data)
        else:
            array.data = data
        self.journal.append(JournalEntry(reply=reply).SerializeToString())
        with self.folder.events.open("ab") as events:
            events.write(b'{"event": "batch"}\n')

    def shipping(self) -> Shipping:
        """A runner that begins, or begins again."""
        return Shipping(self.home, self.folder, lambda: self.journal.size, lambda event, **_: self.said.append(event))

    def stored(self) -> dict[str, bytes]:
        """The objects of the run, by key."""
        keys = [one.key for one in self.objects.list(f"journals/{self.folder.path.name}/")]
        return {key: b"".join(self.objects.read(key)) for key in keys}

    def head(self) -> Head:
        head = ShippedRun(self.home, "scheduler", self.folder.path.name).head()
        assert head is not None
        return head

    def read_back(self, out: Path) -> tuple[bytes, bytes]:
        """Return journal and events as they are stored."""
        shipped, head = ShippedRun(self.home, "scheduler", self.folder.path.name), self.head()
        for part in (head.journal, head.events):
            shipped.fetch_file([one.sha256 for one in part], out / str(len(list(out.iterdir()))))
        journal, events = (path.read_bytes() for path in sorted(out.iterdir()))
        return journal, events


def ship(run: Shipping) -> None:
    """Ship all that there is."""
    while run._ship():
        pass


@pytest.fixture
def case(lab_home: Home, object_store: ObjectStore, request: pytest.FixtureRequest) -> Iterator[Case]:
    name = f"run-{abs(hash(request.node.name))}"
    folder = RunFolder(lab_home.folder("runs", name))
    folder.bundle.write_bytes(b"an app")
    folder.write_spec(
        RunSpec(id=name, app_sha256="0" * 64, places=(RunPlace(node="a", dataset="b"),), permit="", purpose="e")
    )
    yield Case(lab_home, object_store, folder, Journal(folder.journal))
    shutil.rmtree(folder.path)


def test_a_journal_that_grows_is_few_objects_and_each_buffer_moves_once(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "SEGMENT_BYTES", SEGMENT)
    put, sent = ShippedRun.put, Counter[str]()

    def counted(self: ShippedRun, sha256: str, chunks: Iterable[bytes]) -> None:
        sent[sha256] += 1
        put(self, sha256, chunks)

    monkeypatch.setattr(ShippedRun, "put", counted)
    run, buffer = case.shipping(), os.urandom(3 << 20)
    for number in range(30):
        case.grow(os.urandom(1000))
        case.grow(buffer, large=True)
        if number == 15:
            run = case.shipping()  # it was killed, and begins again where it was
        ship(run)
    assert sent[sha256_hex(buffer)] == 2, "by each of the two runners"
    sizes = [one.bytes for one in case.head().journal]
    assert sum(sizes) == case.journal.size
    assert len(sizes) <= case.journal.size // SEGMENT + 1
    stored = case.stored()
    assert len(stored) == 1 + 2 + 1 + len(sizes) + len(case.head().events), "head, spec and bundle, buffer, segments"
    assert sum(len(one) > len(buffer) for one in stored.values()) == 1
    assert case.read_back(tmp_path) == (case.folder.journal.read_bytes(), case.folder.events.read_bytes())


def test_what_is_stored_tells_nothing_but_sizes(case: Case) -> None:
    secret = b"what a node has sent " * 5000
    case.grow(secret)
    case.grow(secret, large=True)
    ship(case.shipping())
    stored = case.stored()
    digests = {
        case.head().spec,
        *(one.sha256 for one in case.head().journal),
        *(path.name for path in case.folder.buffers.iterdir()),
    }
    assert not any(digest in key for key in stored for digest in digests)
    assert not any(secret[:20] in data or case.folder.spec.read_bytes()[:20] in data for data in stored.values())


def _cut(stored: dict[str, bytes], key: str) -> None:
    stored[key] = stored[key][:-1]


def _flip(stored: dict[str, bytes], key: str) -> None:
    stored[key] = bytes([stored[key][0] ^ 1]) + stored[key][1:]


def _remove(stored: dict[str, bytes], key: str) -> None:
    del stored[key]


def _swap(stored: dict[str, bytes], key: str) -> None:
    stored[key] = next(data for other, data in stored.items() if other != key and len(data) != len(stored[key]))


@pytest.mark.parametrize("part", ["head", "journal"])
@pytest.mark.parametrize("change", [_cut, _flip, _remove, _swap])
def test_what_was_changed_is_refused(
    case: Case, tmp_path: Path, part: str, change: Callable[[dict[str, bytes], str], None]
) -> None:
    case.grow(os.urandom(5000))
    ship(case.shipping())
    before, stored = case.stored(), case.stored()
    head = head_key(case.folder.path.name)
    shipped = ShippedRun(case.home, "scheduler", case.folder.path.name)
    key = head if part == "head" else shipped._object(bytes.fromhex(case.head().journal[0].sha256))
    change(stored, key)
    for one in before:
        case.objects.delete(one)
        if one in stored:
            case.objects.put_bytes(one, stored[one])
    if (part, change) == ("head", _remove):
        assert shipped.head() is None
        return
    with pytest.raises(JournalBrokenError, match="not what was shipped") as error:
        case.read_back(tmp_path)
    assert error.value.next_step


def test_the_end_of_a_run_waits_until_all_is_stored(case: Case) -> None:
    run = case.shipping()
    with run.going_on():
        run.flush()
        case.grow(os.urandom(1000))
        began = time.monotonic()
        run.flush()
        assert sum(one.bytes for one in case.head().journal) == case.journal.size
        assert time.monotonic() - began < shipping.FLUSH_SECONDS
    assert case.said == []


def test_a_store_that_is_down_is_said_once_and_waited_for_at_most_so_long(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "FLUSH_SECONDS", 0.5)
    monkeypatch.setattr(shipping, "INTERVAL", 0.1)
    at = case.home.address("object-store")
    case.home = Home(tmp_path)
    case.home.announce("object-store", endpoint=f"127.0.0.1:{free_ports('127.0.0.1', 1)[0]}", bucket=at["bucket"])
    run = case.shipping()
    with run.going_on():
        case.grow(os.urandom(1000))
        run.flush()
        wait_until(lambda: case.said == ["journal"], "it was said")
        time.sleep(0.5)
    assert case.said == ["journal"]
    assert not case.folder.shipped.exists()


def test_another_lab_and_another_run_cannot_open_it(case: Case, tmp_path: Path) -> None:
    ship(case.shipping())
    stored = case.objects
    other = head_key("another-run")
    stored.put_bytes(other, case.stored()[head_key(case.folder.path.name)])
    with pytest.raises(JournalBrokenError, match="its head was changed"):
        ShippedRun(case.home, "scheduler", "another-run").head()
    stored.erase(other)
    elsewhere = Home(tmp_path)
    for path in (case.home.path / "secrets").glob("s3-*"):
        (elsewhere.folder("secrets") / path.name).write_bytes(path.read_bytes())
    elsewhere.announce("object-store", endpoint=stored.endpoint, bucket=stored.bucket)
    with pytest.raises(JournalBrokenError, match="another secret"):
        ShippedRun(elsewhere, "scheduler", case.folder.path.name).head()
