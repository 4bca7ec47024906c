"""What a node may announce of a curation report."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from datalab.curation.report import Check, Column, CurationReport

SHA = "ab" * 32


def report(
    *, rows: int = 500, rejected: int = 0, events: int | None = 100, missing: int = 0, **excluded: int
) -> CurationReport:
    return CurationReport(
        contract_id="ward",
        contract_version="1.0.0",
        contract_digest=SHA,
        raw_sha256=SHA,
        rows_in=rows + rejected + sum(excluded.values()),
        rows=rows,
        rejected_rows=rejected,
        excluded=dict(excluded),
        events=events,
        disclosure_threshold=10,
        checks=(Check(name="age: values", passed=rejected == 0, detail="Age is never missing.", found=rejected),),
        columns=(
            Column(name="age", type="number", unit="a", description="Age.", missing=missing, low=20.0, high=90.0),
        ),
        parquet_sha256=SHA,
        parquet_bytes=1000,
    )


def test_large_counts_and_zeros_are_told() -> None:
    whole = report(rejected=0, censored=50)
    assert whole.public() == whole


def test_a_small_count_is_hidden_together_with_another() -> None:
    public = report(rejected=3, censored=50).public()
    assert (public.rejected_rows, public.excluded, public.rows, public.rows_in) == (None, {"censored": None}, 500, 553)
    assert public.checks[0].found is None


def test_where_nothing_else_can_be_hidden_the_total_is() -> None:
    public = report(rejected=3).public()
    assert (public.rows, public.rejected_rows, public.rows_in) == (500, None, None)


def test_two_small_counts_do_not_hide_each_other_if_their_sum_is_small() -> None:
    public = report(rejected=3, early=2, late=40).public()
    assert (public.rejected_rows, public.excluded) == (None, {"early": None, "late": None})


def test_an_outcome_that_nearly_all_or_nearly_none_have_is_hidden() -> None:
    assert [report(events=events).public().events for events in (0, 9, 10, 490, 491, 500)] == [
        None, None, 10, 490, None, None,
    ]  # fmt: skip


def test_a_small_count_of_missing_or_present_values_is_hidden() -> None:
    assert [report(missing=count).public().columns[0].missing for count in (0, 1, 9, 10, 490, 491, 500)] == [
        0, None, None, 10, 490, None, 500,
    ]  # fmt: skip


def test_a_higher_threshold_hides_more_and_a_lower_one_nothing_less() -> None:
    whole = report(censored=50, missing=20)
    assert whole.public(100).excluded == {"censored": None}
    assert (whole.public(100).columns[0].low, whole.public().columns[0].low) == (None, 20.0)
    assert report(rejected=3).public(1) == report(rejected=3).public()


COUNTS = st.integers(0, 40)


@given(rows=COUNTS, rejected=COUNTS, early=COUNTS, late=COUNTS, events=COUNTS)
def test_no_small_count_can_be_told_or_subtracted(rows: int, rejected: int, early: int, late: int, events: int) -> None:
    public = report(rows=rows, rejected=rejected, events=min(events, rows), early=early, late=late).public()
    real = [rows, rejected, early, late]
    shown = [public.rows, public.rejected_rows, *public.excluded.values()]
    assert not any(count is not None and 0 < count < 10 for count in [*shown, public.events])
    hidden = [count for count, told in zip(real, shown, strict=True) if told is None]
    if hidden and public.rows_in is not None:
        assert len(hidden) > 1
        assert public.rows_in - sum(count for count in shown if count is not None) >= 10


def test_a_report_survives_json() -> None:
    whole = report(rejected=3, censored=50)
    assert CurationReport.model_validate_json(whole.model_dump_json()) == whole
    assert CurationReport.model_validate_json(whole.public().model_dump_json()) == whole.public()
