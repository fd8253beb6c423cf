"""What a run says: every figure by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from compacter_cli.data.survey import Survey
from compacter_cli.methods import METHODS
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.shapes import PRESETS
from compacter_cli.training.display import Opening
from compacter_cli.training.scoring import Scores
from compacter_cli.training.words import (
    ending_lines,
    method_lines,
    opening_lines,
    rate_source,
    scores_line,
    warmup_advice,
    warmup_note,
    warnings_of,
)

BASE = PRESETS["t5_base_multi"]


def opening(*overrides, truncated=4):
    """What a run of the paper's RTE says first."""
    return Opening(
        recipe=load_recipe("glue/rte_compacterpp", overrides),
        shape=BASE,
        sizes={"train": 2490, "validation": 138, "test": 139},
        truncated=truncated,
        updates=500,
        device="cpu",
        directory=Path("runs/x"),
    )


def _scores(value, majority=50.0, invalid=0):
    return Scores({"accuracy": value}, {"accuracy": majority}, count=139, invalid=invalid)


def test_the_opening_lines_of_the_papers_rte_run():
    lines = opening_lines(opening())
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


def test_cut_sources_are_told_once():
    told = {"examples": {}, "labels": {}, "repeated": 0, "shared": {}}
    lines = opening_lines(replace(opening(), survey=Survey(**told, cut={"train": 3, "test": 1})))
    assert lines[4] == "2,490 train, 138 validation, 139 test examples"
    assert len([line for line in lines if "cut at 128 tokens" in line]) == 1


@pytest.mark.parametrize(
    ("overrides", "rate"),
    [
        ((), "0.003 (the paper's)"),
        (("train.learning_rate=0.01",), "0.01 (the recipe's)"),
        (("train.learning_rate=0.016",), "0.016 (the best of a search on the demo tasks)"),
        (("method={name='prompt_t'}", "train.learning_rate=0.3"), "0.3 (the paper's)"),
    ],
)
def test_the_rate_says_where_it_is_from(overrides, rate):
    assert f" examples, rate {rate};" in opening_lines(opening(*overrides))[6]


def test_the_papers_rate_on_a_small_backbone_is_not_what_a_search_found():
    small = PRESETS["t5_small_multi"]
    found = rate_source(METHODS["bitfit"](), 3e-4, small)
    assert found == "the paper's for T5-base; on a small T5 a search found 0.016"
    assert rate_source(METHODS["prompt_t"](), 3e-1, small) == "the paper's"


def test_a_method_without_a_row_in_the_paper_has_a_rate_of_its_own(monkeypatch):
    monkeypatch.setattr("compacter_cli.training.words.paper_tables", lambda: {"table1": {}})
    assert rate_source(METHODS["bitfit"](), 3e-4, BASE) == "the method's"


def test_targets_that_no_answer_can_equal_are_counted():
    assert "cannot write" not in opening_lines(opening())[4]
    lines = opening_lines(replace(opening(), unwritable=1_200))
    assert lines[4].endswith("; 1,200 targets with what the vocabulary cannot write")


def test_the_updates_batch_counts_accumulation():
    lines = opening_lines(opening("train.batch_size=50", "train.accumulate=2"))
    assert "of 100 examples" in lines[6]


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


def test_cut_sources_are_counted():
    assert opening_lines(opening(truncated=1_023))[4].endswith("; 1,023 sources cut at 128 tokens")
    assert opening_lines(opening(truncated=0))[4].endswith("; no source cut")


def test_a_warmup_that_is_the_whole_run_says_how_far_the_rate_comes():
    # The first update has rate 0, the 500th 499/500 of the peak.
    assert warmup_note(500, 3e-3, updates=500).endswith("so the rate only rises, to 0.003")
    # 101 updates: 100/500 of 3e-3
    assert warmup_note(500, 3e-3, updates=101).endswith("so the rate only rises, to 0.0006")


def test_a_warmup_that_ends_is_followed_by_decay():
    assert warmup_note(500, 3e-3, updates=501) == "; 500 warm-up steps, then linear decay"


def test_a_warmup_of_more_than_a_fifth_is_told_with_a_tenth_to_set():
    assert warmup_advice(108, 540) == []
    (said,) = warmup_advice(500, 540)
    assert said.startswith("warm-up is 93 % of 540 updates")
    assert "--set train.warmup_steps=54 " in said
    assert opening_lines(opening())[-1].startswith("note: warm-up is 100 % of 500 updates")
    assert opening_lines(opening("train.warmup_steps=100"))[-1] == "writing to runs/x"


def test_a_score_stands_beside_the_majoritys():
    assert scores_line(_scores(53.237, 52.518)) == "accuracy 53.24 (majority 52.52)"
    assert scores_line(_scores(50.0, invalid=7)).endswith(
        ", 7 of 139 answers invalid, no better than always the most frequent answer"
    )


def test_warnings_name_what_looks_better_than_it_is():
    assert warnings_of(_scores(60.0).record()) == []
    (sentence,) = warnings_of(_scores(50.0).record())
    assert "most frequent answer" in sentence
    (sentence,) = warnings_of(_scores(60.0, invalid=3).record())
    assert "3 of 139" in sentence
    assert len(warnings_of(_scores(50.0, invalid=3).record())) == 2


@pytest.fixture
def ended():
    return {
        "trained_parameters": 104_704, "backbone_parameters": 222_903_552,
        "trained_percent": 100 * 104_704 / 222_903_552, "best_epoch": 7, "epochs": 20,
        "training_seconds": 41.6, "peak_memory_bytes": 1_500_000_000, "adapter_bytes": 419_000,
        "run": "runs/x",
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
    assert line == ("full fine-tuning: mean of 3 seeds, measured by compacter sweep demo")


@pytest.mark.parametrize("method", METHODS.values())
def test_every_component_that_a_method_counts_has_a_name(method):
    assert set(method().count(BASE)) <= set(method.components)
