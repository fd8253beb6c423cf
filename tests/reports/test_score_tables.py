"""Tables 1 and 2: the paper's own from its own numbers, and ours to the digit."""

import pytest

from compacter_cli.paper.tables import paper_tables
from compacter_cli.reports.cells import comparison_of
from compacter_cli.reports.score_tables import score_table


def column(table, title):
    return [c.title for c in table.columns].index(title)


def rows_of(table, kind):
    place = column(table, "numbers")
    return [row for row in table.rows if row.entries[place].text == kind]


def printed(score):
    return "/".join(f"{value:.2f}" for value in (score if isinstance(score, list) else [score]))


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_over_the_papers_own_numbers_the_report_gives_the_papers_table(
    name, shipped_sweep, paper_lines
):
    table = score_table(comparison_of(shipped_sweep(name), paper_lines(name)))
    ours, paper = rows_of(table, "ours"), rows_of(table, "paper")
    assert len(ours) == len(paper) == 12
    for row, printed_row in zip(paper_tables()[name].values(), ours, strict=True):
        total, percent, *scores = printed_row.entries[2:]
        wanted = row["total_params"]
        assert total.text == (wanted if isinstance(wanted, str) else f"{wanted:.3f}")
        assert percent.values[""] == pytest.approx(row["trained_percent"], abs=0.001)
        assert [entry.text for entry in scores] == [printed(s) for s in row["scores"].values()]
    assert [[e.text for e in row.entries[4:]] for row in ours] == [
        [e.text for e in row.entries[4:]] for row in paper
    ]


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_over_the_papers_own_numbers_all_differences_are_zero(name, shipped_sweep, paper_lines):
    table = score_table(comparison_of(shipped_sweep(name), paper_lines(name)))
    for row in rows_of(table, "difference"):
        texts = {part for entry in row.entries[4:] for part in entry.text.split("/")}
        assert texts == {"0.00"}
        assert all(value == 0 for entry in row.entries[4:] for value in entry.values.values())


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_no_average_that_the_paper_prints_is_off_by_more_than_rounding(name):
    for row in paper_tables()[name].values():
        numbers = [
            value
            for task, score in row["scores"].items()
            if task != "avg"
            for value in (score if isinstance(score, list) else [score])
        ]
        assert abs(sum(numbers) / len(numbers) - row["scores"]["avg"]) <= 0.005 + 1e-9


def test_the_best_of_the_paper_is_bold(shipped_sweep, paper_lines):
    table = score_table(comparison_of(shipped_sweep("table1"), paper_lines("table1")))
    best = {
        table.columns[index].title: row.entries[0].text
        for row in table.rows
        for index, entry in enumerate(row.entries)
        if entry.best
    }
    assert best == {
        "CoLA": "Adapter", "SST-2": "T5 (full fine-tuning)", "MRPC": "PHM-Adapter",
        "QQP": "T5 (full fine-tuning)", "STS-B": "AdapterDrop", "MNLI": "T5 (full fine-tuning)",
        "QNLI": "Intrinsic-SAID", "RTE": "Compacter", "avg": "Compacter",
    }  # fmt: skip


def test_means_deviations_and_numbers_of_seeds(make_sweep, make_line):
    sweep = make_sweep(tasks=["glue/rte", "glue/mrpc"], seeds=[1, 2, 3], paper="table1")
    lines = [
        make_line("glue/rte", "compacter", {"accuracy": value}, seed=seed)
        for seed, value in ((1, 70.0), (2, 72.0), (3, 77.0))
    ]
    lines += [
        make_line("glue/mrpc", "compacter", {"accuracy": 80.0, "f1": 90.0 + seed}, seed=seed)
        for seed in (1, 2)
    ] + [make_line("glue/mrpc", "compacter", seed=3, state="failed")]
    table = score_table(comparison_of(sweep, lines))
    row = rows_of(table, "ours")[1]
    rte, mrpc, avg = (row.entries[column(table, title)] for title in ("RTE", "MRPC", "avg"))
    assert rte.text == "73.00 ± 3.61"  # sqrt((9 + 1 + 16) / 2) = 3.6056
    assert rte.values == {
        "n": 3, "planned": 3, "accuracy": 73.0, "accuracy sd": pytest.approx(13**0.5),
    }  # fmt: skip
    assert mrpc.text == "80.00/91.50 ± 0.00/0.71 (2 of 3)"
    # seeds 1 and 2 have everything: (70 + 80 + 91) / 3 and (72 + 80 + 92) / 3
    assert avg.text == "81.50 ± 0.71"
    assert avg.values[""] == pytest.approx((73 + 80 + 91.5) / 3)
    difference = rows_of(table, "difference")[1]  # the paper: 77.70, [89.22, 92.31]
    assert difference.entries[column(table, "RTE")].text == "-4.70"
    assert difference.entries[column(table, "MRPC")].text == "-9.22/-0.81"
    paper = (77.70 + 89.22 + 92.31) / 3
    gap = difference.entries[column(table, "avg")].values[""]
    assert gap == pytest.approx((73 + 80 + 91.5) / 3 - paper)


def test_of_equal_scores_none_is_best_and_what_was_chosen_is_named(make_sweep, make_line):
    sweep = make_sweep(search={"method.n": [2, 4]})
    lines = [make_line("glue/rte", "full", {"accuracy": 0.0})]
    lines += [
        make_line("glue/rte", "compacter", {"accuracy": 0.0}, setting={"method.n": n})
        | {"validation_mean": float(n)}
        for n in (2, 4)
    ]
    table = score_table(comparison_of(sweep, lines))
    assert not any(entry.best for row in table.rows for entry in row.entries)
    assert "chosen: Compacter n 4" in table.notes


def test_a_cell_without_scores_says_why_and_its_row_is_not_best(make_sweep, make_line):
    sweep = make_sweep(tasks=["glue/rte", "glue/mrpc"])
    lines = [
        make_line("glue/rte", "full", {"accuracy": 70.0}),
        make_line("glue/mrpc", "full", {"accuracy": 70.0, "f1": 70.0}),
        make_line("glue/rte", "compacter", {"accuracy": 99.0}),
        make_line("glue/mrpc", "compacter", state="failed", error="out of memory"),
    ]
    table = score_table(comparison_of(sweep, lines))
    full, compacter = table.rows
    mrpc, avg = column(table, "MRPC"), column(table, "avg")
    assert (compacter.entries[mrpc].text, compacter.entries[mrpc].note) == (
        "failed",
        "out of memory",
    )
    assert compacter.entries[avg].text == "99.00 (1 of 2)"
    assert not compacter.entries[avg].best
    assert full.entries[avg].best
    assert any("not whole: Compacter over RTE" in note for note in table.notes)


def test_an_average_of_the_paper_over_some_tasks_says_so(make_sweep, make_line):
    sweep = make_sweep(tasks=["glue/rte", "super_glue/cb"], paper="table1")
    lines = [
        make_line("glue/rte", "compacter", {"accuracy": 70.0}),
        make_line("super_glue/cb", "compacter", {"accuracy": 80.0, "macro_f1": 60.0}),
    ]
    table = score_table(comparison_of(sweep, lines))
    ours, paper, difference = (rows_of(table, kind)[1] for kind in ("ours", "paper", "difference"))
    avg = column(table, "avg")
    assert [row.entries[avg].text for row in (ours, paper, difference)] == [
        "70.00", "77.70 (1 of 2)", "-",
    ]  # fmt: skip


def test_a_task_that_is_not_the_papers_says_nothing_of_the_paper(make_sweep, make_line):
    line = make_line("glue/rte", "compacter", {"accuracy": 70.0})
    table = score_table(comparison_of(make_sweep(), [line]))
    assert "paper" not in [column.title for column in table.columns]
    assert not any(note.startswith("paper:") for note in table.notes)
    asked = score_table(comparison_of(make_sweep(paper="table2"), [line]))
    assert "paper: its Table 2 has none of these arms and tasks" in asked.notes


def test_an_arm_of_another_name_is_not_compared_with_the_paper(make_sweep, make_line):
    arms = [{"name": "compacter"}, {"name": "random", "title": "Random weights"}]
    sweep = make_sweep(arms=arms, paper="table1")
    lines = [make_line("glue/rte", name, {"accuracy": 70.0}) for name in ("compacter", "random")]
    table = score_table(comparison_of(sweep, lines))
    names = [row.entries[0].values[""] for row in table.rows]
    assert names == ["Compacter"] * 3 + ["Random weights"]


def test_capped_cells_are_marked_and_the_best_is_of_the_same_size(make_sweep, make_line):
    sweep = make_sweep(axis={"key": "data.max_train_samples", "values": [100, 4000]})
    lines = [
        make_line("glue/rte", arm, {"accuracy": score}, axis=size, train_rows=min(size, 2490))
        for arm, size, score in (
            ("full", 100, 50.0), ("compacter", 100, 60.0),
            ("full", 4000, 80.0), ("compacter", 4000, 70.0),
        )
    ]  # fmt: skip
    table = score_table(comparison_of(sweep, lines))
    place = column(table, "RTE")
    found = [(row.entries[place].text, row.entries[place].best) for row in table.rows]
    assert found == [("50.00", False), ("80.00*", True), ("60.00", True), ("70.00*", False)]
    assert any("RTE 2,490 of 4,000" in note for note in table.notes)
