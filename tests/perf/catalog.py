"""How the catalog's search answers when it is large and many ask at once.

``python -m tests.perf.catalog --datasets 10000 --json``

A real object store and lab server as processes of their own, over HTTP. ``--users`` people each ask once a second,
no two the same; one more changes a dataset ten times a second and searches for what it wrote. Then they read pages.
The same is measured with 1,000 datasets first, so that it shows how each figure grows. ``cpu_ms`` is what the server's
process itself worked for a request, which tells more than the time passed where the machine has other work; for a
search, and for a change until it can be found, it is measured before the load, one after another.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil

from catalog.client import LabClient, lab_client
from catalog.records import Dataset, DatasetDraft, DatasetPatch, Role
from catalog.search.index import SearchIndex
from catalog.search.model import SearchQuery
from catalog.service import SERVICE
from catalog.store import Store, now
from datalab.home import Home
from datalab.service import log_json_lines
from datalab.storage.service import SERVICE as OBJECT_STORE
from datalab.supervisor import Supervisor
from tests.relevance import relevance
from tests.support.pages import settle, signed_in
from tests.unit.catalog.examples import anonymous

COUNTRIES = ("DE", "FR", "NL", "AT", "IE", "BE", "MT", "ES", "IT", "PL")
_BATCH, _SMALL = 5000, 1000
_ALONE = 100
"""Searches, and changes, of which each is measured by itself."""


def generate(count: int, chance: random.Random) -> list[DatasetDraft]:
    """Return datasets whose titles, keywords and descriptions are drawn from those of the relevance set."""
    patterns = relevance.datasets()
    words = [word for one in patterns for word in f"{one.title} {one.description}".split()]
    made = []
    for number in range(count):
        like = chance.choice(patterns)
        made.append(
            anonymous(
                id=f"made-{number:06}",
                language=like.language,
                country=chance.choice(COUNTRIES),
                title=f"{like.title} {chance.choice(words)} {number}",
                keywords=tuple(chance.sample(words, 3)),
                description=" ".join(chance.choices(words, k=25)),
                holder=f"holder-{chance.randrange(200)}",
                holder_name=f"Institute {chance.choice(words)}",
            )
        )
    return made


def fill(home: Home, drafts: Sequence[DatasetDraft]) -> None:
    """Put datasets into the catalog's file before the lab starts, thousands with each statement."""
    store = Store(home.folder("catalog") / "records.duckdb")
    moment = now()
    with store.change("benchmark") as change:
        for at in range(0, len(drafts), _BATCH):
            some = drafts[at : at + _BATCH]
            made = [Dataset(**draft.model_dump(), created=moment, updated=moment, revision=1) for draft in some]
            values = [[one.id for one in made], [one.model_dump_json() for one in made]]
            change.execute("INSERT INTO datasets SELECT unnest(?::VARCHAR[]), unnest(?::JSON[])", values)
        change.event("datasets.generated", "catalog", count=len(drafts))
    store.close()


def measure(home: Home, *, datasets: int, users: int, seconds: int, seed: int) -> dict[str, Any]:
    """Start a lab over ``datasets`` made ones and return what was measured."""
    chance = random.Random(seed)
    fill(home, generate(datasets, chance))
    vocabulary = sorted({word for one in relevance.queries() for word in one.query.split()})
    with Supervisor() as supervisor, ExitStack() as stack:
        supervisor.start(OBJECT_STORE.name, OBJECT_STORE.module, home)
        began = time.perf_counter()
        server = supervisor.start(SERVICE.name, SERVICE.module, home, wait=False)
        _wait(supervisor, home)
        start = time.perf_counter() - began
        worked = psutil.Process(server.pid)
        with ThreadPoolExecutor(users + 1) as pool, lab_client(home, "operator") as client:
            alone = _alone(worked, client, vocabulary, random.Random(seed))
            cpu = _cpu_ms(worked)
            searching = [pool.submit(_search, home, vocabulary, seconds, seed + one) for one in range(users)]
            updates = _update(client, seconds)
            searches = [one for done in searching for one in done.result()]
            search_cpu = (_cpu_ms(worked) - cpu) / (len(searches) + 3 * len(updates))
            browsers = [
                stack.enter_context(signed_in(home, settle(home, f"reader-{one}", Role.RESEARCHER)))
                for one in range(users)
            ]
            cpu = _cpu_ms(worked)
            reading = [
                pool.submit(_read_pages, http, vocabulary, seconds, seed + one) for one, http in enumerate(browsers)
            ]
            pages = [one for done in reading for one in done.result()]
            page_cpu = (_cpu_ms(worked) - cpu) / len(pages)
        memory = worked.memory_info().rss / 1e6
    return {
        "datasets": datasets,
        "users": users,
        "searches": len(searches),
        "search_p50_ms": round(statistics.median(searches), 1),
        "search_p95_ms": round(statistics.quantiles(searches, n=20)[-1], 1),
        "update_p95_ms": round(statistics.quantiles(updates, n=20)[-1], 1),
        "page_p95_ms": round(statistics.quantiles(pages, n=20)[-1], 1),
        **alone,
        "mixed_cpu_ms": round(search_cpu, 1),
        "page_cpu_ms": round(page_cpu, 1),
        "server_rss_mb": round(memory),
        "start_seconds": round(start, 1),
        "recall_at_10": round(_recall(home), 3),
    }


def _alone(worked: psutil.Process, client: LabClient, vocabulary: list[str], chance: random.Random) -> dict[str, float]:
    """Return what the server works for one search, and for one change with all that makes it searchable."""
    asks = [_asked(vocabulary, number, chance) for number in range(_ALONE)]
    for one in asks[: _ALONE // 10]:
        client.search(one)  # the first ones fill caches of files
    cpu = _cpu_ms(worked)
    for one in asks:
        client.search(one)
    searching = (_cpu_ms(worked) - cpu) / _ALONE
    revision, cpu = client.dataset("made-000000").revision, _cpu_ms(worked)
    for number in range(_ALONE):
        changed = client.update_dataset("made-000000", DatasetPatch(title=f"Change {number}"), revision=revision)
        revision = changed.revision
        time.sleep(0.05)  # the index takes it up
    changing = (_cpu_ms(worked) - cpu) / _ALONE
    return {"cpu_ms_per_search": round(searching, 2), "cpu_ms_per_update": round(changing, 2)}


def _asked(vocabulary: list[str], number: int, chance: random.Random) -> SearchQuery:
    words = " ".join(chance.sample(vocabulary, chance.randint(1, 3)))
    filters = {"country": (chance.choice(COUNTRIES),)} if number % 2 else {}
    return SearchQuery.model_validate({"text": words, "filters": filters})


def _cpu_ms(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system) * 1000


def _wait(supervisor: Supervisor, home: Home) -> None:
    """Wait for the lab, which first makes its index: longer than it otherwise may take."""
    while not (home.path / "run" / f"{SERVICE.name}.json").exists():
        supervisor.check()
        time.sleep(0.1)


def _search(home: Home, vocabulary: list[str], seconds: int, seed: int) -> list[float]:
    chance, took = random.Random(seed), []
    with lab_client(home, "operator") as client:
        time.sleep(chance.random())
        for number in range(seconds):
            began = time.perf_counter()
            client.search(_asked(vocabulary, number, chance))
            took.append((time.perf_counter() - began) * 1000)
            time.sleep(max(0.0, 1 - took[-1] / 1000))
    return took


def _read_pages(http: httpx.Client, vocabulary: list[str], seconds: int, seed: int) -> list[float]:
    """Read the list of datasets and a dataset in turn, as a browser would, once a second."""
    chance, took = random.Random(seed), []
    http.timeout = httpx.Timeout(60)
    time.sleep(chance.random())
    path = "/datasets"
    for number in range(seconds):
        began = time.perf_counter()
        answer = http.get(path)
        took.append((time.perf_counter() - began) * 1000)
        answer.raise_for_status()
        found = re.findall(r'href="(/datasets/[a-z0-9-]+)"', answer.text)
        words = "+".join(chance.sample(vocabulary, chance.randint(1, 3)))
        filters = f"&country={chance.choice(COUNTRIES)}" if number % 4 == 1 else ""
        path = chance.choice(found) if found and number % 2 == 0 else f"/datasets?q={words}{filters}"
        time.sleep(max(0.0, 1 - took[-1] / 1000))
    return took


def _update(client: LabClient, seconds: int) -> list[float]:
    took = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        title = f"Changed at {time.time_ns()}"
        revision = client.dataset("made-000000").revision
        began = time.perf_counter()
        client.update_dataset("made-000000", DatasetPatch(title=title), revision=revision)
        took.append((time.perf_counter() - began) * 1000)
        found = client.search(SearchQuery(text=title.rpartition(" ")[2]))
        if [hit.dataset.title for hit in found.own][:1] != [title]:
            raise AssertionError("a change was not found by the next search")
        time.sleep(0.1)
    return took


def _recall(home: Home) -> float:
    """Return recall@10 of the relevance set, in a catalog of its own."""
    from catalog import datasets
    from tests.unit.catalog.examples import account

    folder = home.folder("relevance")
    store = Store(folder / "records.duckdb")
    for one in relevance.datasets():
        datasets.register(store, one, account())
    index = SearchIndex(folder / "search", store)
    return statistics.mean(relevance.recall(index, one) for one in relevance.queries())


def main() -> None:
    """Parse the arguments and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    log_json_lines()  # on standard error
    result: dict[str, Any] = {}
    before: dict[str, Any] = {}
    for datasets in sorted({min(_SMALL, arguments.datasets), arguments.datasets}):
        before = result
        with tempfile.TemporaryDirectory() as folder:
            home = Home(Path(folder))
            (home.folder() / "datalab.toml").write_text("[ports]\nlab = 0\nobject_store = 0\n", encoding="utf-8")
            result = measure(
                home, datasets=datasets, users=arguments.users, seconds=arguments.seconds, seed=arguments.seed
            )
    result[f"at_{_SMALL}"] = before or None
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"95 % of searches take at most {result['search_p95_ms']} ms; {result}")


if __name__ == "__main__":
    main()
