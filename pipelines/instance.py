"""Where Dagster keeps its records: SQLite files in the lab's home; no telemetry, no daemon, no port."""

from __future__ import annotations

import json

import dagster as dg

from datalab.home import Home, write_atomically

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
# What the process prints is its log already.
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


def open_instance(home: Home) -> dg.DagsterInstance:
    """Open the Dagster instance of a lab, made when first asked for; use it as a context manager."""
    folder = home.folder("dagster")
    settings = _SETTINGS.format(folder=json.dumps(str(folder)))
    write_atomically(folder / "dagster.yaml", settings.encode())
    return dg.DagsterInstance.from_config(str(folder))
