"""Dagster's instance: on disk in the home, and silent."""

from __future__ import annotations

from pathlib import Path

from datalab.home import Home
from pipelines.defs.curation.partitions import dataset_versions
from pipelines.instance import open_instance


def test_it_keeps_its_records_in_the_home_and_tells_nobody(tmp_path: Path) -> None:
    home = Home(tmp_path / 'a "home"')
    with open_instance(home) as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        instance.add_dynamic_partitions(str(dataset_versions.name), ["gbsg|breast-cancer|1"])
        # Nothing has been written back yet: the log is there still, although Dagster has closed the file.
        assert (home.path / "dagster" / "event_log.db-wal").stat().st_size > 0
    with open_instance(home) as instance:
        assert instance.get_dynamic_partitions(str(dataset_versions.name)) == ["gbsg|breast-cancer|1"]
    names = {path.name for path in (home.path / "dagster").iterdir()}
    assert names == {"dagster.yaml", "runs.db", "event_log.db", "schedules.db"}
    assert [path.name for path in home.path.iterdir()] == ["dagster"]
