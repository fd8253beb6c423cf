"""Reports of one run and of several."""

import pytest

from compacter_cli.reports.pairs import labels_of
from compacter_cli.reports.run_report import report_of_run
from compacter_cli.reports.runs import view_run
from compacter_cli.reports.runs_report import letters, report_of_runs


def texts(table):
    return [[entry.text for entry in row.entries] for row in table.rows]


def test_a_run_shows_scores_course_recipe_and_how_to_use_it(make_run):
    directory = make_run()
    found = report_of_run(view_run(directory))
    assert found.title == "Compacter++ on glue/rte"
    assert [column.title for column in found.tables["scores"].columns] == [
        "metric", "validation", "test", "majority (test)", "paper (T5-base)",
    ]  # fmt: skip
    assert texts(found.tables["scores"]) == [["accuracy", "60.00", "60.00", "50.00", "74.82"]]
    assert found.tables["scores"].notes == ("3 of 139 answers were no label of the task",)
    assert texts(found.tables["epochs"]) == [["1", "40", "1.0000", "60.00"]]
    assert ["train.epochs", "8"] in texts(found.tables["recipe"])
    assert found.lines[1].startswith("trained 1,888 of 173,056 parameters (1.0900 %) in 12 s")
    assert "▁" in found.lines[2]
    assert found.lines[2].endswith("3.000 to 0.075")
    assert any(f"compacter predict --run {directory}" in line for line in found.closing)
    assert any("load_backbone('random/tiny')" in line for line in found.closing)
    assert found.figures["curves"].draw() is not None


def test_a_finished_run_without_its_answers_says_so(make_run):
    directory = make_run()
    (problem,) = report_of_run(view_run(directory)).problems
    assert problem.startswith(f"{directory} has no predictions.jsonl")
    (directory / "predictions.jsonl").write_text("")
    assert report_of_run(view_run(directory)).problems == ()


def test_a_recipe_whose_backbone_is_none_leaves_the_rest(make_run):
    directory = make_run()
    (directory / "recipe.toml").write_text('task = "glue/rte"\nbackbone = 3\n')
    assert len(report_of_run(view_run(directory)).closing) == 2


def test_an_unfinished_run_shows_its_epochs(make_run):
    found = report_of_run(view_run(make_run(finished=False)))
    assert found.shown == ("epochs", "recipe")
    assert len(found.problems) == 1


def test_a_run_without_anything_but_its_start(make_run):
    directory = make_run(finished=False)
    (directory / "metrics.jsonl").unlink()
    (directory / "best").rmdir()
    found = report_of_run(view_run(directory))
    assert found.shown == ("recipe",)
    assert found.closing == ()
    assert found.figures["curves"].draw() is None


@pytest.fixture
def compared(make_run, made_up_answers):
    """Compares two runs on RTE that are right on 60 and on `right` of 100 rows."""

    def compare(right=80, recipe="", **changes):
        runs = [view_run(make_run("a")), view_run(make_run("b", recipe, 80.0))]
        gold = ["0", "1"] * 50
        wrong = {"0": "1", "1": "0"}
        answers = {
            name: made_up_answers(
                "glue/rte", gold, [*gold[:count], *(wrong[g] for g in gold[count:])]
            )
            for name, count in (("A", 60), ("B", right))
        }
        for name, value in changes.items():
            setattr(answers["B"], name, value)
        return report_of_runs(runs, answers)

    return compare


def test_recipes_scores_and_tests_side_by_side(compared):
    found = compared(recipe="warmup_steps = 10\n[output]\nroot = 'elsewhere'\n")
    assert texts(found.tables["differences"]) == [["train.warmup_steps", "not set", "10"]]
    scores = found.tables["scores"]
    assert texts(scores)[0] == ["accuracy", "60.00", "80.00"]
    assert [entry.best for entry in scores.rows[0].entries] == [False, False, True]
    (row,) = texts(found.tables["tests"])
    assert row[:3] == ["A, B", "accuracy", "+20.00"]
    assert row[4:6] == ["0", "20"]
    assert float(row[6]) == pytest.approx(2 / 2**20, rel=0.01)
    assert "10,000 resamples" in found.tables["tests"].notes[0]
    verdict, caution = found.closing
    assert verdict.startswith("B scores 20.00 above A (95 % interval +12.00 to +28.00, McNemar p =")
    assert verdict.endswith("more than the noise of the test rows")
    assert "another seed" in caution


def test_a_difference_within_noise_is_told_so(compared):
    found = compared(right=61)
    assert found.closing[0].startswith("B scores 1.00 above A (95 % interval 0.00 to +3.00")
    assert found.closing[0].endswith("no more than the noise of the test rows")


def test_the_worse_run_may_come_second(compared):
    verdict = compared(right=40).closing[0]
    assert verdict.startswith("A scores 20.00 above B (95 % interval +13.00 to +28.00")


def test_runs_that_were_given_other_texts_are_told_so(compared):
    found = compared(recipe="[data]\nprefix = 'rte'\nmax_train_samples = 9\n")
    told = "the runs were given other texts, data.prefix: part of it may be due to that"
    assert found.closing[-1] == told


def test_equal_runs_are_equal(compared):
    assert compared(right=60).closing[0].startswith("A and B score the same")


def test_the_same_recipe_is_told(compared):
    assert compared().tables["differences"].notes == ("the recipes are the same",)


def test_other_rows_are_not_tested(compared):
    found = compared(rows_hash="another")
    assert "tests" not in found.tables
    assert found.closing == ("A and B answered different test rows: they are not tested",)


def test_other_tasks_are_not_tested(make_run, made_up_answers):
    runs = [view_run(make_run("a")), view_run(make_run("b", task="glue/qnli"))]
    answers = dict.fromkeys("AB", made_up_answers("glue/rte", ["0", "1"], ["0", "0"]))
    found = report_of_runs(runs, answers)
    assert "tests" not in found.tables
    assert found.closing == ("runs of different tasks are shown beside each other, and not tested",)
    assert not any(entry.best for row in found.tables["scores"].rows for entry in row.entries)


def test_a_run_without_answers_says_why(make_run, made_up_answers):
    runs = [view_run(make_run("a")), view_run(make_run("b", finished=False))]
    answers = {"A": made_up_answers("glue/rte", ["0"], ["0"]), "B": "no test, unfinished"}
    found = report_of_runs(runs, answers)
    assert found.closing == ("B: no test, unfinished",)
    assert texts(found.tables["scores"])[0] == ["accuracy", "60.00", "-"]
    assert found.tables["runs"].rows[1].entries[4].text == "unfinished"


def test_many_pairs_are_corrected_and_say_so(make_run, made_up_answers):
    runs = [view_run(make_run(name)) for name in "abc"]
    answers = dict.fromkeys("ABC", made_up_answers("glue/rte", ["0", "1"], ["0", "0"]))
    said = []
    found = report_of_runs(runs, answers, said.append)
    assert len(found.tables["tests"].rows) == 3
    (said_so,) = (line for line in found.closing if "3 pairs are compared" in line)
    assert "intervals are of 98.33 %, and p is times 3 (Bonferroni)" in said_so
    assert found.tables["tests"].columns[3].title == "98.33 % interval"
    assert said == ["resampling the test rows of 3 runs, 10,000 times each ..."]


def answers_right(made_up_answers, *right):
    """Answers to 100 rows of RTE by letter, the first so many of them right."""
    gold = ["0", "1"] * 50
    wrong = ["1", "0"] * 50
    return {
        name: made_up_answers("glue/rte", gold, [*gold[:count], *wrong[count:]])
        for name, count in zip(letters(len(right)), right, strict=True)
    }


def test_with_more_pairs_intervals_are_wider_and_p_is_larger(make_run, made_up_answers):
    runs = [view_run(make_run(name)) for name in "abc"]
    answers = answers_right(made_up_answers, 60, 66, 60)
    two = report_of_runs(runs[:2], {name: answers[name] for name in "AB"}).tables["tests"].rows[0]
    three = report_of_runs(runs, answers).tables["tests"].rows[0]
    assert two.entries[6].values[""] == pytest.approx(2 / 2**6)  # of six rows all are B's
    assert three.entries[6].text == f"{3 * 2 / 2**6:.3g}"
    assert three.entries[3].values["high"] > two.entries[3].values["high"]
    assert three.entries[3].values["low"] < two.entries[3].values["low"]


def test_of_many_pairs_the_ten_most_telling_are_told(make_run, made_up_answers):
    runs = [view_run(make_run(name)) for name in "abcdef"]
    found = report_of_runs(runs, answers_right(made_up_answers, 50, 50, 51, 51, 50, 90))
    told = [line for line in found.closing if "noise of the test rows" in line][:-1]
    verdicts = [line for line in told if " interval " in line]
    assert len(verdicts) == 10
    assert verdicts[0].startswith("F scores 40.00 above A (99.67 % interval")  # 100 - 5 / 15
    assert "5 more pairs not told here: --table tests has all" in told[10]
    assert "in 5 of 15" in told[10]
    assert len(found.tables["tests"].rows) == 15
    assert found.shown == ("runs", "scores", "differences")


def test_of_several_metrics_the_mean_is_judged_and_shown(make_run, made_up_answers):
    metrics = {"pearson": 80.0, "spearman": 90.0}
    scores = {"metrics": metrics, "majority": {}, "count": 5, "invalid": 0, "mean": 85.0}
    runs = [
        view_run(make_run(name, task="glue/stsb", test=scores, validation=scores)) for name in "abc"
    ]
    gold = ["0.0", "1.0", "2.0", "3.0", "4.0"]
    answers = {
        name: made_up_answers("glue/stsb", gold, given)
        for name, given in (("A", gold), ("B", gold[::-1]), ("C", gold))
    }
    found = report_of_runs(runs, answers)
    assert texts(found.tables["scores"])[:3] == [
        ["pearson", "80.00", "80.00", "80.00"], ["spearman", "90.00", "90.00", "90.00"],
        ["mean", "85.00", "85.00", "85.00"],
    ]  # fmt: skip
    assert found.closing[0].startswith(
        "A scores 200.00 above B by the mean of pearson and spearman"
    )
    assert not any(" p " in line for line in found.closing)  # there is none of a correlation
    assert not any("McNemar" in note for note in found.tables["tests"].notes)


def test_labels_are_those_of_the_task(make_run):
    assert labels_of(view_run(make_run("a"))) == ("0", "1")
    own = make_run("b", task="csv", recipe="[data]\ntrain = 'x.csv'\n")
    assert labels_of(view_run(own)) == ()


def test_letters_go_on_after_z():
    assert letters(28)[24:] == ["Y", "Z", "R27", "R28"]
