"""The paper's figures as data, against figures typed from its tables."""

from types import SimpleNamespace

import pytest

from compacter_cli.methods import METHODS
from compacter_cli.paper.tables import paper_scores, paper_tables
from compacter_cli.tasks import TASKS


def test_table_1_on_rte():
    rte = TASKS["glue/rte"]
    scores = {name: paper_scores(rte, name) for name in METHODS}
    assert scores["full"] == [71.94]
    assert scores["adapter"] == [71.94]
    assert scores["compacter"] == [77.70]
    assert scores["compacterpp"] == [74.82]


def test_a_made_up_task_has_no_score():
    assert paper_scores(TASKS["demo/smoke"], "compacterpp") is None


def test_an_unknown_method_has_no_score():
    assert paper_scores(TASKS["glue/rte"], "lora") is None


def test_a_pair_keeps_the_papers_order_and_the_benchmark_chooses_the_table():
    mrpc = SimpleNamespace(name="glue/mrpc", paper="mrpc")
    cb = SimpleNamespace(name="super_glue/cb", paper="cb")
    assert paper_scores(mrpc, "compacter") == [89.22, 92.31]
    assert paper_scores(cb, "compacter") == [96.43, 87.44]
    rte = SimpleNamespace(name="super_glue/rte", paper="rte")  # table 2 has no RTE
    assert paper_scores(rte, "compacter") is None


@pytest.mark.parametrize(("table", "columns"), [("table1", "glue"), ("table2", "super_glue")])
def test_the_averages_are_flat_means_of_the_rows(table, columns):
    tables = paper_tables()
    for method, row in tables[table].items():
        scores = row["scores"]
        assert [key for key in scores if key != "avg"] == tables["columns"][columns], method
        flat = []
        for name in tables["columns"][columns]:
            flat += scores[name] if isinstance(scores[name], list) else [scores[name]]
        mean = sum(flat) / len(flat)  # the paper prints two decimals
        assert mean == pytest.approx(scores["avg"], abs=0.0051), (table, method)


def test_the_tables_are_read_once():
    assert paper_tables() is paper_tables()
