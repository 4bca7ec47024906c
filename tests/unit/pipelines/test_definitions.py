"""What Dagster knows of the lab, as a snapshot: a change to it is a change to this file."""

from __future__ import annotations

import dagster as dg
import pytest

from pipelines.definitions import CURATE, defs

ORDER = ["landing", "validated", "deidentified", "harmonised", "profiled", "published"]
CHECKS = {
    "deidentified": ["k_anonymity"],
    "harmonised": ["parquet_readable"],
    "profiled": ["row_accounting", "quality_rules"],
}


def graph() -> dg.BaseAssetGraph:
    return defs.resolve_asset_graph()


def test_assets_follow_one_another() -> None:
    keys = {key.to_user_string(): key for key in graph().get_all_asset_keys()}
    assert sorted(keys) == sorted(ORDER)
    for before, after in zip([None, *ORDER], ORDER, strict=False):
        parents = graph().get(keys[after]).parent_keys
        assert [parent.to_user_string() for parent in parents] == ([before] if before else [])


def test_checks_are_the_quality_record_and_block() -> None:
    found: dict[str, list[str]] = {}
    for key in graph().asset_check_keys:
        found.setdefault(key.asset_key.to_user_string(), []).append(key.name)
    assert {asset: sorted(names) for asset, names in found.items()} == {
        asset: sorted(names) for asset, names in CHECKS.items()
    }


def test_every_asset_is_partitioned_by_dataset_version_and_described() -> None:
    for key in graph().get_all_asset_keys():
        node = graph().get(key)
        assert isinstance(node.partitions_def, dg.DynamicPartitionsDefinition)
        assert node.partitions_def.name == "dataset_versions"
        assert node.description
        assert node.group_name == "curation"


def test_one_job_runs_them_all_and_its_configuration_has_no_place_for_a_secret() -> None:
    job = defs.resolve_job_def(CURATE)
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == set(ORDER)
    source = {
        "home": "/lab",
        "folder": "/lab/curation/1",
        "upload": "1",
        "contract": "/lab/contracts/1.odcs.yaml",
        "intent": "1",
    }
    assert dg.validate_run_config(job, {"resources": {"run": {"config": source}}})
    with pytest.raises(dg.DagsterInvalidConfigError, match='unexpected config entry "token"'):
        dg.validate_run_config(job, {"resources": {"run": {"config": {**source, "token": "x"}}}})


def test_a_sensor_and_a_schedule_ask_for_runs() -> None:
    sensor, schedule = defs.resolve_sensor_def("new_landings"), defs.resolve_schedule_def("refresh")
    assert (sensor.job_name, sensor.minimum_interval_seconds) == ("curate_landed", 30)
    assert (schedule.job_name, schedule.cron_schedule) == ("curate_landed", "0 * * * *")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
