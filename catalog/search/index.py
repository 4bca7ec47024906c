"""The search index: derived from the records, kept beside them, and never the only place of anything.

A file in its folder holds the number of an audit event that it has seen. On start it takes up what has happened since;
where it is missing, or of another form, it is made anew.
"""

from __future__ import annotations

import ctypes
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
import tantivy
from pydantic import TypeAdapter

from catalog.harvest.records import RemoteEntry
from catalog.records import Dataset, DatasetState, Version
from catalog.search import entries, query
from catalog.search.model import FACETS, MAX_PAGE, Facet, FacetCount, SearchPage, SearchQuery
from catalog.search.text import analyzers
from catalog.store import Store
from datalab.home import write_atomically

log = structlog.get_logger()

_MAKING_BYTES, _WRITER_BYTES = 64 << 20, 15 << 20
"""What the writer may hold while the index is made anew, and then: a commit clears all of it."""
_BATCH = 2_000
_MARK = "last-event"
"""File in the index's folder: the number of an event up to which all changes are in the index."""
_MARK_EVERY = 1_000
"""After how many events the mark is moved; a start after a crash takes up what came after it once more."""
_SOURCE = "source/"
"""Before the id of a catalogue, all entries of which are taken up; ids of datasets have no slash."""
_MAX_VALUES = 50
"""Values of a facet that are counted, the most frequent ones."""
_COUNTS = TypeAdapter(tuple[FacetCount, ...])


class SearchIndex:
    """The index of one catalog.

    Args:
        folder: where it is kept.
        store: the records that it is made from.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._schema = entries.schema()
        self._folder = folder / entries.form()
        self._index, fresh = _open(self._folder, self._schema)
        for name, analyzer in analyzers().items():
            self._index.register_tokenizer(name, analyzer)
        self._asked, self._done = 0, 0
        self._pending: set[str] = set()
        self._noting = threading.Lock()
        self._seen = self._marked = -1 if fresh else self._mark_on_disk()
        self._catch_up()
        self._writer = self._index.writer(_WRITER_BYTES, 1)
        self._thread = ThreadPoolExecutor(1, "search-index")
        store.watch(self.put)

    def close(self) -> None:
        """Take up what waits, and let go of the files."""
        self._thread.shutdown()
        with self._lock:
            self._writer.wait_merging_threads()
            self._mark()

    def put(self, datasets: Iterable[str]) -> None:
        """Note datasets to be taken up; that begins at once, and a search waits until it is done."""
        with self._noting:
            self._pending.update(datasets)
            self._asked += 1
        self._thread.submit(self._take_up_early)

    def _take_up_early(self) -> None:
        try:
            self._take_up(self._asked)
        except Exception:  # whoever searches next tries again and is told
            log.exception("the search index could not take up a change")

    def _take_up(self, asked: int) -> None:
        """Wait until the first ``asked`` calls of ``put`` can be found, all that are noted at a time in one commit."""
        if self._done >= asked:
            return
        with self._lock:
            if self._done >= asked:
                return
            seen = self._store.last_event()  # before what is noted: the mark never runs ahead of it
            with self._noting:
                asked, taken, self._pending = self._asked, self._pending, set()
            try:
                self._add(self._writer, taken)
                self._commit(self._writer)
            except BaseException:
                with self._noting:
                    self._pending |= taken
                raise
            self._done, self._seen = asked, seen
            if seen - self._marked >= _MARK_EVERY:
                self._mark()

    def search(self, asked: SearchQuery, sees_counts: entries.SeesCounts) -> SearchPage:
        """Return one page of what is found, with facets.

        Args:
            asked: what to find; where nothing has all its words, what has any of them is found.
            sees_counts: says of which datasets whoever asks sees small counts.
        """
        self._take_up(self._asked)
        searcher = self._index.searcher()
        words = query.words(self._schema, searcher, asked.text)
        every = query.narrowed(self._schema, words, {})
        total, facets = _count(searcher, every, asked.filters)
        if loose := total == 0 and len(words) > 1:
            some = query.narrowed(self._schema, words, {}, every=False)
            total, others = _count(searcher, some, asked.filters)
            facets = {facet: facets[facet] or others[facet] for facet in FACETS}
        found = query.narrowed(self._schema, words, asked.filters, every=not loose)
        return SearchPage(
            total=total,
            page=asked.page,
            pages=min(MAX_PAGE, -(-total // asked.size)),
            hits=tuple(entries.hit(searcher.doc(address), sees_counts) for address in _page(searcher, found, asked)),
            facets=facets,
        )

    def _catch_up(self) -> None:
        last = self._store.last_event()
        if self._seen == last:
            return
        writer = self._index.writer(_MAKING_BYTES, 1)
        if 0 <= self._seen < last:
            changed = self._store.scan(
                "SELECT DISTINCT CASE WHEN subject LIKE 'source/%' THEN subject ELSE split_part(subject, '/', 2) END "
                "FROM events WHERE n > ? AND (subject LIKE 'dataset/%' OR subject LIKE 'source/%')",
                [self._seen],
            )
        else:
            log.info("the search index is made anew")
            writer.delete_all_documents()
            changed = self._store.rows(f"SELECT id FROM datasets UNION ALL SELECT '{_SOURCE}' || id FROM sources")
        ids = [str(row[0]) for row in changed]
        for at in range(0, len(ids), _BATCH):
            self._add(writer, ids[at : at + _BATCH])
        self._commit(writer)
        writer.wait_merging_threads()
        del writer
        _give_back()
        self._seen = last
        self._mark()

    def _mark_on_disk(self) -> int:
        try:
            return int((self._folder / _MARK).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return -1

    def _mark(self) -> None:
        """Note how far the index is: everything up to there is committed."""
        write_atomically(self._folder / _MARK, str(self._seen).encode())
        self._marked = self._seen

    def _add(self, writer: tantivy.IndexWriter, ids: Iterable[str]) -> None:
        ids = set(ids)
        sources = {one for one in ids if one.startswith(_SOURCE)}
        for one in sources:
            source = one.removeprefix(_SOURCE)
            writer.delete_documents_by_term("source", source)
            for entry in _remotes(self._store, "source", [source]).values():
                writer.add_document(entries.remote_entry(entry))
        changed = {one for one in ids if one.startswith(entries.REMOTE)}
        remotes = _remotes(self._store, "id", [one.removeprefix(entries.REMOTE) for one in changed])
        for one in changed:
            writer.delete_documents_by_term("id", one)
            if one.removeprefix(entries.REMOTE) in remotes:
                writer.add_document(entries.remote_entry(remotes[one.removeprefix(entries.REMOTE)]))
        own = ids - sources - changed
        datasets, latest = _read(self._store, list(own))
        for one in own:
            writer.delete_documents_by_term("id", one)
            if one in datasets and datasets[one].state is DatasetState.PUBLISHED:
                writer.add_document(entries.entry(datasets[one], latest.get(one)))

    def _commit(self, writer: tantivy.IndexWriter) -> None:
        writer.commit()
        self._index.reload()


def _give_back() -> None:
    """Have the C library return what making an index took: it would keep 200 MB of 100,000 datasets for itself."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc
        libc.malloc_trim(0)


def _open(folder: Path, schema: tantivy.Schema) -> tuple[tantivy.Index, bool]:
    """Return the index in ``folder`` and whether it is new; one that cannot be read is thrown away."""
    if folder.is_dir() and tantivy.Index.exists(str(folder)):
        try:
            return tantivy.Index(schema, path=str(folder)), False
        except ValueError as error:
            log.warning("the search index cannot be read; it is made anew", error=str(error))
    shutil.rmtree(folder.parent, ignore_errors=True)
    folder.mkdir(parents=True)
    return tantivy.Index(schema, path=str(folder)), True


def _page(searcher: tantivy.Searcher, found: tantivy.Query, asked: SearchQuery) -> list[tantivy.DocAddress]:
    """Return where the entries of the page are."""
    offset = (asked.page - 1) * asked.size
    order = {"title": "title_sort", "updated": "updated", "rows": "rows"}.get(asked.sort)
    if order is None and not asked.text.strip():
        order = "title_sort"
    ascending = tantivy.Order.Asc if order == "title_sort" else tantivy.Order.Desc
    result = (
        searcher.search(found, asked.size, count=False, offset=offset)
        if order is None
        else searcher.search(found, asked.size, count=False, offset=offset, order_by_field=order, order=ascending)
    )
    return [address for _, address in result.hits]


def _count(
    searcher: tantivy.Searcher, found: tantivy.Query, filters: Mapping[Facet, Sequence[str]]
) -> tuple[int, dict[Facet, tuple[FacetCount, ...]]]:
    """Return how many of what is found the filters leave, and each facet's values among what the other filters leave.

    All of it is counted while what is found is gone through once.
    """
    groups: dict[str, list[Facet]] = {query.filtered(filters): []}
    for facet in FACETS:
        others = {one: values for one, values in filters.items() if one != facet}
        groups.setdefault(query.filtered(others), []).append(facet)
    counted = searcher.aggregate(
        found,
        {
            str(at): {
                "filter": text,
                "aggs": {facet: {"terms": {"field": facet, "size": _MAX_VALUES}} for facet in facets},
            }
            for at, (text, facets) in enumerate(groups.items())
        },
    )
    buckets = {
        facet: counted[str(at)][facet]["buckets"] for at, facets in enumerate(groups.values()) for facet in facets
    }
    return counted["0"]["doc_count"], {
        facet: _COUNTS.validate_python(
            [
                {"value": one["key"], "count": one["doc_count"]}
                for one in sorted(buckets[facet], key=lambda one: (-one["doc_count"], one["key"]))
            ]
        )
        for facet in FACETS
    }


def _read(store: Store, ids: list[str]) -> tuple[dict[str, Dataset], dict[str, Version]]:
    """Return datasets and their latest versions, as the records have them now."""
    datasets = store.scan("SELECT id, record FROM datasets WHERE id IN (SELECT unnest(?::VARCHAR[]))", [ids])
    versions = store.scan(
        "SELECT dataset, max_by(record, number) FROM versions "
        "WHERE dataset IN (SELECT unnest(?::VARCHAR[])) GROUP BY dataset",
        [ids],
    )
    return (
        {key: Dataset.model_validate_json(record) for key, record in datasets},
        {key: Version.model_validate_json(record) for key, record in versions},
    )


def _remotes(store: Store, column: str, keys: list[str]) -> dict[str, RemoteEntry]:
    """Return the entries of other catalogues that are there, by id; ``column`` is what the keys are of."""
    rows = (
        store.scan(f"SELECT record FROM remotes WHERE {column} IN (SELECT unnest(?::VARCHAR[]))", [keys])
        if keys
        else []
    )
    found = (RemoteEntry.model_validate_json(row[0]) for row in rows)
    return {one.id: one for one in found if one.withdrawn is None}
