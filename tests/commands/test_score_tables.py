"""Scores as tables, cell by cell."""

import pytest

from compacter_cli.commands.console import err
from compacter_cli.commands.score_tables import result_table, scores_table
from compacter_cli.training.scoring import Scores


def _scores(value, majority=50.0, invalid=0):
    return Scores({"accuracy": value}, {"accuracy": majority}, count=139, invalid=invalid)


@pytest.fixture
def result():
    return {
        "validation": _scores(80.0).record(),
        "test": _scores(75.5, 51.0).record(),
        "before": None,
        "measured": None,
        "paper": [74.82],
    }


def _columns(table):
    """{header: cells}"""
    return {column.header: list(column.cells) for column in table.columns}


PLAIN = {
    "metric": ["accuracy"],
    "validation": ["80.00"],
    "test": ["75.50"],
    "majority (test)": ["51.00"],
}


def test_a_result_as_a_table(result):
    assert _columns(result_table(result)) == {**PLAIN, "paper (T5-base)": ["74.82"]}


def test_a_table_without_a_figure_of_the_paper_has_no_such_column(result):
    assert _columns(result_table({**result, "paper": None})) == PLAIN


def test_scores_before_training_stand_first(result):
    before = _scores(12.345, 51.0).record()
    columns = _columns(result_table({**result, "paper": None, "before": before}))
    assert list(columns) == ["metric", "untrained", "validation", "test", "majority (test)"]
    assert columns["untrained"] == ["12.35"]
    assert _columns(result_table({**result, "paper": None, "before": None})) == PLAIN


def test_full_fine_tuning_stands_beside_where_it_was_measured(result):
    measured = {"seeds": 3, "full": {"accuracy": 93.456}}
    table = result_table({**result, "paper": None, "measured": measured})
    assert _columns(table) == {**PLAIN, "full fine-tuning": ["93.46"]}
    assert list(_columns(table))[-1] == "full fine-tuning"
    assert _columns(result_table({**result, "paper": None, "measured": None})) == PLAIN


def test_every_metric_has_a_row_and_a_dash_where_a_column_lacks_it(result):
    both = {"metrics": {"f1": 70.0}, "beside": {"per_group": 60.0}, "majority": {"f1": 50.0}}
    measured = {"seeds": 3, "full": {"f1": 80.0}}
    given = {**result, "test": both, "validation": both, "paper": None, "measured": measured}
    columns = _columns(result_table(given))
    assert columns["metric"] == ["f1", "per_group"]
    assert columns["test"] == ["70.00", "60.00"]
    assert columns["majority (test)"] == ["50.00", "-"]
    assert columns["full fine-tuning"] == ["80.00", "-"]


def test_scores_as_a_table():
    found = _scores(75.5, 51.0).record()
    plain = {"metric": ["accuracy"], "score": ["75.50"], "majority": ["51.00"]}
    assert _columns(scores_table(found, [74.82])) == {**plain, "paper (T5-base)": ["74.82"]}
    assert _columns(scores_table(found, None)) == plain


def test_tables_of_results_fit_a_plain_terminal(result):
    found = _scores(75.5, 51.0).record()
    measured = {"seeds": 3, "full": {"accuracy": 93.0}}
    demo = {**result, "paper": None, "before": found, "measured": measured}
    for table in (result_table(result), result_table(demo), scores_table(found, [74.82])):
        assert err.measure(table).maximum <= 80
