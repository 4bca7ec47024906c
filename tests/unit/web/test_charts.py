from __future__ import annotations

from catalog.progress import Round
from catalog.web.pages.chart import MOST_CHARTS, chart, charts


def test_loss_comes_first_then_each_metric_and_what_nodes_tell_besides_is_none() -> None:
    rounds = [
        Round(number=n, loss=1.0 / n, metrics={"auc": n / 10, "loss": 1.0 / n, "num-examples": 9.0}) for n in (1, 2, 3)
    ]
    loss, auc = charts({"run": rounds})
    assert (loss.what, loss.first, loss.last, loss.high) == ("", 1, 3, 1.0)
    assert (auc.what, auc.low, auc.high) == ("auc", 0.1, 0.3)
    assert len(auc.lines[0][1].split()) == 3


def test_a_metric_that_one_run_has_is_drawn_for_that_one_and_not_too_many_are() -> None:
    first = [Round(number=n, loss=0.5, metrics={"auc": 0.5}) for n in (1, 2)]
    second = [Round(number=n, loss=0.4, metrics={f"m{i}": float(n) for i in range(20)}) for n in (1, 2)]
    made = charts({"first": first, "second": second})
    assert len(made) == MOST_CHARTS
    assert [(name, bool(points)) for name, points in made[1].lines] == [("first", True), ("second", False)]


def test_what_is_no_number_is_left_out() -> None:
    assert chart({"": [(1, float("nan")), (2, None), (3, 1.0)]}) is None
    assert charts({"run": []}) == []
