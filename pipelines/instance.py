"""Where Dagster keeps its records: SQLite files in the lab's home; no telemetry, no daemon, no port.

Dagster opens, commits and closes a file some fifteen times a stage. As SQLite is set by default, that is as many waits
for the disk: each commit is forced there, and each close writes the log back, as the last one to use the file. Here a
commit waits for the disk only when the log is written back, and a connection that stays open puts that off. A power
failure may so cost the last events of Dagster's own record, and never the file; what a run is taken up by after one
lies in its folder, and the lab's catalog says what was published.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import dagster as dg
from sqlalchemy import event
from sqlalchemy.engine import Engine

from datalab.home import Home, write_atomically

AT_ONCE = 2
"""Runs that Dagster's daemon begins at a time: each may fill the memory that is set for curation."""
DATASET = "datalab/dataset"
"""The tag of a run that names its dataset, of which one at a time is curated."""
_SETTINGS = """\
telemetry: {{enabled: false}}
nux: {{enabled: false}}
run_storage:
  module: dagster._core.storage.runs
  class: SqliteRunStorage
  config: {{base_dir: {folder}}}
# One file for all runs: a file a run costs half a second of schema each.
event_log_storage:
  module: dagster._core.storage.event_log
  class: ConsolidatedSqliteEventLogStorage
  config: {{base_dir: {folder}}}
schedule_storage:
  module: dagster._core.storage.schedules
  class: SqliteScheduleStorage
  config: {{base_dir: {folder}}}
# For Dagster's daemon, where a site runs one: how many runs it begins at a time, and of one dataset.
concurrency:
  runs:
    max_concurrent_runs: {at_once}
    tag_concurrency_limits:
    - {{key: {tag}, value: {{applyLimitPerUniqueValue: true}}, limit: 1}}
# A run that was to begin and never did is given up; one that was killed later is seen by the sensor.
run_monitoring: {{enabled: true, start_timeout_seconds: 300}}
# What the process prints is its log already.
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


@contextmanager
def open_instance(home: Home) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance of a lab, made when first asked for."""
    folder = home.folder("dagster")
    settings = _SETTINGS.format(folder=json.dumps(str(folder)), at_once=AT_ONCE, tag=DATASET)
    write_atomically(folder / "dagster.yaml", settings.encode())
    event.listen(Engine, "connect", _commit_to_log)
    try:
        with dg.DagsterInstance.from_config(str(folder)) as instance, ExitStack() as held:
            for path in folder.rglob("*.db"):
                # It is the reading that makes this a user of the file, whose log nobody else then writes back.
                held.enter_context(closing(sqlite3.connect(path))).execute("PRAGMA user_version").fetchone()
            yield instance
    finally:
        event.remove(Engine, "connect", _commit_to_log)


def _commit_to_log(connection: sqlite3.Connection, _record: object) -> None:
    """Have a commit wait for the disk only where the write-ahead log is written back."""
    connection.execute("PRAGMA synchronous = NORMAL")
