"""The search index: derived from the records, kept beside them, and never the only place of anything.

It notes the number of the last audit event that it has seen. On start it takes up what has happened since; where it is
missing, or of another form, it is made anew.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
import tantivy
from pydantic import TypeAdapter

from catalog.harvest.records import HERE, Description, RemoteEntry
from catalog.records import Dataset, DatasetState, Translation, Version
from catalog.search import query
from catalog.search.model import FACETS, MAX_PAGE, Facet, FacetCount, Hit, RemoteHit, SearchPage, SearchQuery
from catalog.search.text import LANGUAGES, analyzers
from catalog.store import Store

log = structlog.get_logger()

FORM = 2
"""Raised when what is indexed changes, so that indexes of another form are made anew."""
_MAKING_BYTES, _WRITER_BYTES = 64 << 20, 15 << 20
"""What the writer may hold while the index is made anew, and then: a commit clears all of it."""
_BATCH = 2_000
_SOURCE, _REMOTE = "source/", "remote/"
"""Before the id of a catalogue, all entries of which are taken up, and of an entry; ids of datasets have no slash."""
_MARK = "?"
"""Id of the entry that holds the number of the last event; no dataset has it."""
_LICENCE = re.compile(r"[A-Za-z0-9.+() -]{1,100}")
"""An SPDX identifier or expression; addresses and labels of others' own terms are no facet."""
_MAX_VALUES = 50
"""Values of a facet that are counted, the most frequent ones."""
_COUNTS = TypeAdapter(tuple[FacetCount, ...])
Show = Callable[[Version, Dataset], Version]


class SearchIndex:
    """The index of one catalog.

    Args:
        folder: where it is kept.
        store: the records that it is made from.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._schema = _schema()
        self._index, fresh = _open(folder / f"form-{FORM}", self._schema)
        for name, analyzer in analyzers().items():
            self._index.register_tokenizer(name, analyzer)
        self._asked, self._done = 0, 0
        self._pending: set[str] = set()
        self._noting = threading.Lock()
        self._catch_up(fresh=fresh)
        self._writer = self._index.writer(_WRITER_BYTES, 1)
        self._thread = ThreadPoolExecutor(1, "search-index")
        store.watch(self.put)

    def close(self) -> None:
        """Take up what waits, and let go of the files."""
        self._thread.shutdown()
        with self._lock:
            self._writer.wait_merging_threads()

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
                self._commit(self._writer, seen)
            except BaseException:
                with self._noting:
                    self._pending |= taken
                raise
            self._done = asked

    def search(self, asked: SearchQuery, show: Show) -> SearchPage:
        """Return one page of what is found, with facets.

        Args:
            asked: what to find.
            show: returns a version as whoever asks may see it.
        """
        self._take_up(self._asked)
        searcher = self._index.searcher()
        found = self._query(searcher, asked, asked.filters)
        offset = (asked.page - 1) * asked.size
        order = {"title": "title_sort", "updated": "updated", "rows": "rows"}.get(asked.sort)
        if order is None and not asked.text.strip():
            order = "title_sort"
        ascending = tantivy.Order.Asc if order == "title_sort" else tantivy.Order.Desc
        result = (
            searcher.search(found, asked.size, offset=offset)
            if order is None
            else searcher.search(found, asked.size, offset=offset, order_by_field=order, order=ascending)
        )
        total = int(result.count or 0)  # type: ignore[attr-defined]  # missing from its stubs
        ids = [searcher.doc(address)["id"][0] for _, address in result.hits]
        return SearchPage(
            total=total,
            page=asked.page,
            pages=min(MAX_PAGE, -(-total // asked.size)),
            hits=tuple(self._hits(ids, show)),
            facets=self._facets(searcher, asked, found),
        )

    def _query(
        self, searcher: tantivy.Searcher, asked: SearchQuery, filters: dict[Facet, tuple[str, ...]]
    ) -> tantivy.Query:
        no_mark = tantivy.Query.term_query(self._schema, "kind", "dataset")
        found = query.build(self._schema, searcher, asked.text, filters)
        must = tantivy.Occur.Must
        return tantivy.Query.boolean_query([(must, found), (must, tantivy.Query.const_score_query(no_mark, 0.0))])

    def _facets(
        self, searcher: tantivy.Searcher, asked: SearchQuery, found: tantivy.Query
    ) -> dict[Facet, tuple[FacetCount, ...]]:
        """Count each facet's values among what its own filter does not narrow."""
        narrowed = [facet for facet in FACETS if asked.filters.get(facet)]
        counted = _count(searcher, found, [facet for facet in FACETS if facet not in narrowed])
        for facet in narrowed:
            others = {one: values for one, values in asked.filters.items() if one != facet}
            counted |= _count(searcher, self._query(searcher, asked, others), [facet])
        return {facet: counted[facet] for facet in FACETS}

    def _hits(self, ids: list[str], show: Show) -> Iterable[Hit | RemoteHit]:
        datasets, latest = _read(self._store, [one for one in ids if not one.startswith(_REMOTE)])
        remotes = _remotes(self._store, "id", [one.removeprefix(_REMOTE) for one in ids if one.startswith(_REMOTE)])
        for one in ids:
            if one.removeprefix(_REMOTE) in remotes:
                yield RemoteHit(remote=remotes[one.removeprefix(_REMOTE)])
            elif one in datasets:
                version = show(latest[one], datasets[one]) if one in latest else None
                yield Hit(
                    dataset=datasets[one],
                    version=version.number if version else None,
                    rows=version.report.rows if version else None,
                    checks=len(version.report.checks) if version else None,
                    checks_passed=version.checks_passed if version else None,
                )

    def _catch_up(self, *, fresh: bool) -> None:
        last = self._store.last_event()
        seen = -1 if fresh else self._marked()
        if seen == last:
            return
        writer = self._index.writer(_MAKING_BYTES, 1)
        if 0 <= seen < last:
            changed = self._store.scan(
                "SELECT DISTINCT CASE WHEN subject LIKE 'source/%' THEN subject ELSE split_part(subject, '/', 2) END "
                "FROM events WHERE n > ? AND (subject LIKE 'dataset/%' OR subject LIKE 'source/%')",
                [seen],
            )
        else:
            log.info("the search index is made anew")
            writer.delete_all_documents()
            changed = self._store.rows(f"SELECT id FROM datasets UNION ALL SELECT '{_SOURCE}' || id FROM sources")
        ids = [str(row[0]) for row in changed]
        for at in range(0, len(ids), _BATCH):
            self._add(writer, ids[at : at + _BATCH])
        self._commit(writer, last)
        writer.wait_merging_threads()
        del writer
        _give_back()

    def _marked(self) -> int:
        self._index.reload()
        searcher = self._index.searcher()
        hits = searcher.search(tantivy.Query.term_query(self._schema, "kind", "mark"), 1).hits
        return int(searcher.doc(hits[0][1])["event"][0]) if hits else -1

    def _add(self, writer: tantivy.IndexWriter, ids: Iterable[str]) -> None:
        ids = set(ids)
        sources = {one for one in ids if one.startswith(_SOURCE)}
        for one in sources:
            source = one.removeprefix(_SOURCE)
            writer.delete_documents_by_term("source", source)
            for entry in _remotes(self._store, "source", [source]).values():
                writer.add_document(_remote_document(entry))
        changed = {one for one in ids if one.startswith(_REMOTE)}
        remotes = _remotes(self._store, "id", [one.removeprefix(_REMOTE) for one in changed])
        for one in changed:
            writer.delete_documents_by_term("id", one)
            if one.removeprefix(_REMOTE) in remotes:
                writer.add_document(_remote_document(remotes[one.removeprefix(_REMOTE)]))
        own = ids - sources - changed
        datasets, latest = _read(self._store, list(own))
        for one in own:
            writer.delete_documents_by_term("id", one)
            if one in datasets and datasets[one].state is DatasetState.PUBLISHED:
                writer.add_document(_document(datasets[one], latest.get(one)))

    def _commit(self, writer: tantivy.IndexWriter, seen: int) -> None:
        writer.delete_documents_by_term("id", _MARK)
        mark = tantivy.Document()
        mark.add_text("id", _MARK)
        mark.add_text("kind", "mark")
        mark.add_unsigned("event", seen)
        writer.add_document(mark)
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


def _schema() -> tantivy.Schema:
    fields = tantivy.SchemaBuilder()
    fields.add_text_field("id", stored=True, tokenizer_name="raw")
    fields.add_text_field("kind", tokenizer_name="raw")
    fields.add_unsigned_field("event", stored=True)
    fields.add_text_field("title", tokenizer_name="words")
    fields.add_text_field("words", tokenizer_name="words")
    fields.add_text_field("grams", tokenizer_name="grams")
    for language in LANGUAGES:
        fields.add_text_field(f"stem_{language}", tokenizer_name=f"stem_{language}")
    for facet in FACETS:
        fields.add_text_field(facet, tokenizer_name="raw", fast=True)
    fields.add_text_field("title_sort", tokenizer_name="raw", fast=True)
    fields.add_unsigned_field("updated", fast=True)
    fields.add_unsigned_field("rows", fast=True)
    return fields.build()


def _document(dataset: Dataset, latest: Version | None) -> tantivy.Document:
    made = tantivy.Document()
    made.add_text("id", dataset.id)
    made.add_text("kind", "dataset")
    texts: list[Dataset | Translation] = [dataset, *dataset.translations.values()]
    described = [*(word for one in texts for word in one.keywords), dataset.holder_name, dataset.id]
    columns = [column.name for column in latest.report.columns] if latest else []
    _add_words(made, [one.title for one in texts], described, [*(one.description for one in texts), *columns])
    for facet, value in facets_of(dataset).items():
        if value is not None:
            made.add_text(facet, value)
    made.add_text("title_sort", f"{dataset.title.casefold()[:200]} {dataset.id}")
    made.add_unsigned("updated", int(dataset.updated.timestamp()))
    # By the public form: the order of small counts would tell them.
    made.add_unsigned("rows", (latest.public.rows or 0) if latest else 0)
    return made


def _remote_document(entry: RemoteEntry) -> tantivy.Document:
    said, made = entry.described, tantivy.Document()
    made.add_text("id", f"{_REMOTE}{entry.id}")
    made.add_text("kind", "dataset")
    texts: list[Description | Translation] = [said, *said.translations.values()]
    titles, words = [one.title for one in texts], [word for one in texts for word in one.keywords]
    _add_words(made, titles, [*words, said.publisher or "", entry.source_name], [one.description for one in texts])
    for theme in said.themes:
        made.add_text("theme", theme)
    licence = said.licence if said.licence and _LICENCE.fullmatch(said.licence) else None
    facets = {"country": entry.country, "access": said.access, "licence": licence, "source": entry.source}
    for facet, value in facets.items():
        if value is not None:
            made.add_text(facet, value)
    made.add_text("title_sort", f"{said.title.casefold()[:200]} {entry.id}")
    made.add_unsigned("updated", int(entry.changed.timestamp()))
    made.add_unsigned("rows", 0)
    return made


def _add_words(made: tantivy.Document, titles: list[str], described: list[str], others: list[str]) -> None:
    """Add what a dataset is found by: its titles, what else names and describes it in short, and longer texts."""
    for text in titles:
        made.add_text("title", text)
    for text in (*titles, *described, *others):
        for field in ("words", *(f"stem_{language}" for language in LANGUAGES)):
            made.add_text(field, text)
    for text in (*titles, *described):
        made.add_text("grams", text)


def facets_of(dataset: Dataset) -> dict[Facet, str | None]:
    """Return a dataset's value of each facet."""
    download = dataset.data_class == "anonymous" and dataset.access != "federated-only"
    return {
        "country": dataset.country,
        "holder": dataset.holder,
        "theme": dataset.theme,
        "access": dataset.access,
        "modality": dataset.modality,
        "licence": dataset.licence,
        "use": "download" if download else "federated",
        "source": HERE,
    }


def _count(
    searcher: tantivy.Searcher, found: tantivy.Query, facets: list[Facet]
) -> dict[Facet, tuple[FacetCount, ...]]:
    if not facets:
        return {}
    counted = searcher.aggregate(found, {facet: {"terms": {"field": facet, "size": _MAX_VALUES}} for facet in facets})
    return {
        facet: _COUNTS.validate_python(
            [
                {"value": one["key"], "count": one["doc_count"]}
                for one in sorted(counted[facet]["buckets"], key=lambda one: (-one["doc_count"], one["key"]))
            ]
        )
        for facet in facets
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
    entries = (RemoteEntry.model_validate_json(row[0]) for row in rows)
    return {one.id: one for one in entries if one.withdrawn is None}
