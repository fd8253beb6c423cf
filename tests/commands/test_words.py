"""What a run says: every figure by hand."""

from types import SimpleNamespace

import pytest

from compacter_cli.commands.console import err
from compacter_cli.files import size_text
from compacter_cli.methods import METHODS
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.shapes import PRESETS
from compacter_cli.training.report import (
    COMPONENTS,
    bar_chart,
    ending_lines,
    method_lines,
    opening_lines,
    result_of,
    result_table,
    scores_line,
    scores_table,
    truncation_line,
    warmup_note,
    warnings_of,
)
from compacter_cli.training.scoring import Scores

BASE = PRESETS["t5_base_multi"]


class Sized(SimpleNamespace):
    """A split of which only its size and its cut sources are asked."""

    def __len__(self):
        return self.size


def _dataset(*cut):
    sizes = (2490, 138, 139)
    splits = [Sized(size=size, truncated=n) for size, n in zip(sizes, cut, strict=True)]
    return SimpleNamespace(**dict(zip(("train", "validation", "test"), splits, strict=True)))


def _scores(value, majority=50.0, invalid=0):
    return Scores({"accuracy": value}, {"accuracy": majority}, count=139, invalid=invalid)


def test_the_opening_lines_of_the_papers_rte_run():
    recipe = load_recipe("glue/rte_compacterpp")
    lines = opening_lines(recipe, BASE, _dataset(3, 1, 0), 500, "cpu", "runs/x")
    assert lines[0] == (
        "Compacter++ on glue/rte, t5_base_multi (222,903,552 parameters), float32 on cpu"
    )
    assert lines[1].startswith("adds     adapter weights 38,016")
    assert lines[2].startswith("trains   104,704 parameters (0.0470 %)")
    assert "2,490 train, 138 validation, 139 test examples; 4 sources cut at 128" in lines[4]
    assert lines[5] == ("splits: validation set halved: first half validation, second half test")
    assert lines[6].startswith("500 updates (25 x 20 epochs) of 100 examples, rate 0.003")
    assert "the 500 warm-up steps are the whole run" in lines[6]
    assert lines[7] == "writing to runs/x"


def test_the_updates_batch_counts_accumulation():
    recipe = load_recipe("glue/rte_compacterpp", ["train.batch_size=50", "train.accumulate=2"])
    assert "of 100 examples" in opening_lines(recipe, BASE, _dataset(0, 0, 0), 500, "cpu", "x")[6]


def test_what_is_added_trained_and_frozen_adds_up():
    assert method_lines(load_recipe("glue/rte_compacter").method, BASE) == [
        "adds     adapter weights 76,032, rule A 64, adapter biases 38,016",
        "trains   161,728 parameters (0.0726 %): what it adds and layer norms 47,616",
        "freezes  222,855,936 of the backbone's 222,903,552",
    ]
    assert 76_032 + 64 + 38_016 + 47_616 == 161_728
    assert 222_855_936 + 47_616 == 222_903_552


def test_a_component_of_no_parameters_is_left_out():
    assert "rule A" not in method_lines(load_recipe("glue/rte_adapter").method, BASE)[0]


def test_full_fine_tuning_adds_nothing_and_trains_all():
    assert method_lines(load_recipe("glue/rte_full").method, BASE) == [
        "adds     nothing",
        "trains   222,903,552 parameters (100.0000 %): the whole backbone 222,903,552",
        "freezes  0 of the backbone's 222,903,552",
    ]


def test_a_method_that_only_adds_freezes_the_whole_backbone():
    lines = method_lines(load_recipe("glue/rte_bitfit").method, BASE)
    assert lines[1].endswith(": what it adds")
    assert lines[2] == "freezes  222,903,552 of the backbone's 222,903,552"


def test_cut_sources_of_all_splits_are_counted():
    section = SimpleNamespace(source_length=128)
    assert truncation_line(_dataset(1000, 20, 3), section) == "1,023 sources cut at 128 tokens"
    assert truncation_line(_dataset(0, 0, 0), section) == "no source cut"


def test_a_warmup_that_is_the_whole_run_says_how_far_the_rate_comes():
    train = SimpleNamespace(warmup_steps=500, learning_rate=3e-3)
    # The first update has rate 0, the 500th 499/500 of the peak.
    assert warmup_note(train, 500).endswith("so the rate only rises, to 0.003")
    # 101 updates: 100/500 of 3e-3
    assert warmup_note(train, 101).endswith("so the rate only rises, to 0.0006")


def test_a_warmup_that_ends_is_followed_by_decay():
    train = SimpleNamespace(warmup_steps=500, learning_rate=3e-3)
    assert warmup_note(train, 501) == "; 500 warm-up steps, then linear decay"


def test_a_score_stands_beside_the_majoritys():
    assert scores_line(_scores(53.237, 52.518)) == "accuracy 53.24 (majority 52.52)"
    assert scores_line(_scores(50.0, invalid=7)).endswith(
        ", 7 of 139 answers invalid, no better than always the most frequent answer"
    )


def test_warnings_name_what_looks_better_than_it_is():
    assert warnings_of(_scores(60.0).as_dict()) == []
    (sentence,) = warnings_of(_scores(50.0).as_dict())
    assert "most frequent answer" in sentence
    (sentence,) = warnings_of(_scores(60.0, invalid=3).as_dict())
    assert "3 of 139" in sentence
    assert len(warnings_of(_scores(50.0, invalid=3).as_dict())) == 2


@pytest.fixture
def result():
    best = SimpleNamespace(number=7, validation=_scores(80.0))
    recipe = load_recipe("glue/rte_compacterpp")
    return result_of(recipe, BASE, 20, best, _scores(75.5, 51.0), run="runs/x")


def test_a_result_holds_what_was_run_and_what_came_of_it(result):
    assert result["task"] == "glue/rte"
    assert result["method"] == "compacterpp"
    assert (result["preset"], result["seed"]) == ("t5_base_multi", 42)
    assert result["trained_parameters"] == 104_704
    assert result["trained_percent"] == pytest.approx(100 * 104_704 / 222_903_552)
    assert result["backbone_parameters"] == 222_903_552
    assert (result["epochs"], result["best_epoch"]) == (20, 7)
    assert result["validation"]["metrics"] == {"accuracy": 80.0}
    assert result["test"]["metrics"] == {"accuracy": 75.5}
    assert result["paper"] == [74.82]
    assert result["run"] == "runs/x"


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
    before = _scores(12.345, 51.0).as_dict()
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


@pytest.fixture
def ended(result):
    return {
        **result, "training_seconds": 41.6, "peak_memory_bytes": 1_500_000_000,
        "adapter_bytes": 419_000,
    }  # fmt: skip


def test_the_ending_says_what_was_trained_and_where_it_is(ended):
    assert ending_lines(ended) == [
        "trained 104,704 of 222,903,552 parameters (0.0470 %) in 42 s, best epoch 7 of 20, "
        "peak memory 1.50 GB",
        "adapter file: 419.00 kB, runs/x/best",
    ]


def test_the_ending_says_where_full_fine_tunings_score_is_from(ended):
    measured = {"seeds": 3, "full": {"accuracy": 93.0}}
    (line,) = ending_lines({**ended, "measured": measured})[2:]
    assert line == (
        "full fine-tuning: mean of 3 seeds, measured by python benchmarks/demo_scores.py"
    )


def test_a_chart_has_a_bar_a_value_of_its_share_of_the_width():
    # Of 40 blocks: 40, 21 (20.8), none; nothing below 0.
    assert bar_chart({"a": 100.0, "long": 52.0, "b": 0.9, "c": -12.5}) == [
        "a     " + "█" * 40 + "  100.00",
        "long  " + "█" * 21 + " " * 19 + "   52.00",
        "b     " + " " * 40 + "    0.90",
        "c     " + " " * 40 + "  -12.50",
    ]
    assert bar_chart({"half": 50.0}, width=4) == ["half  ██     50.00"]


def test_scores_as_a_table():
    found = {**_scores(75.5, 51.0).as_dict(), "paper": [74.82]}
    plain = {"metric": ["accuracy"], "score": ["75.50"], "majority": ["51.00"]}
    assert _columns(scores_table(found)) == {**plain, "paper (T5-base)": ["74.82"]}
    assert _columns(scores_table({**found, "paper": None})) == plain


def test_tables_of_results_fit_a_plain_terminal(result):
    found = {**_scores(75.5, 51.0).as_dict(), "paper": [74.82]}
    measured = {"seeds": 3, "full": {"accuracy": 93.0}}
    demo = {**result, "paper": None, "before": found, "measured": measured}
    for table in (result_table(result), result_table(demo), scores_table(found)):
        assert err.measure(table).maximum <= 80


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (11_056, "11.06 kB"),
        (419_000_000, "419.00 MB"),
        (1_500_000_000, "1.50 GB"),
    ],
)
def test_bytes_as_people_read_them(count, text):
    assert size_text(count) == text


@pytest.mark.parametrize("method", METHODS.values())
def test_every_component_that_a_method_counts_has_a_name(method):
    assert set(method().count(BASE)) <= set(COMPONENTS)
