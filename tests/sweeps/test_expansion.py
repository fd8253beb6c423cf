"""From sweep files to runs: the shipped sweeps' numbers, what is searched, and what cannot be."""

import collections
import datetime

import pytest

from compacter_cli.errors import RecipeError, UsageError
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.recipe.shipped import shipped_sweeps
from compacter_cli.sweeps.expansion import expand, reported
from compacter_cli.sweeps.reading import load_sweep
from compacter_cli.sweeps.sections import Arm, Axis, Sweep

SMOKE = "demo/smoke_compacterpp"


def smoke(**changes):
    """A sweep over the smoke recipe."""
    return Sweep(
        **{
            "name": "tiny",
            "title": "Tiny",
            "tasks": ["demo/smoke"],
            "arms": [Arm(name="one", recipe=SMOKE)],
            **changes,
        }
    )


@pytest.mark.parametrize(("name", "runs", "printed"), [("table1", 352, 96), ("table2", 264, 72)])
def test_the_papers_tables_have_44_settings_a_task(name, runs, printed):
    sweep = load_sweep(name)
    found = expand(sweep)
    assert len(found.runs) == runs == 44 * len(sweep.tasks)
    assert found.left_out == []
    settings = collections.Counter(run.arm.name for run in found.runs)
    dense = dict.fromkeys(("adapter", "pfeiffer", "adapterdrop", "lowrank"), 3)
    hypercomplex = dict.fromkeys(("phm", "compacter", "compacterpp"), 9)
    others = dict.fromkeys(("full", "prompt_r", "prompt_t", "said", "bitfit"), 1)
    each = {**dense, **hypercomplex, **others}
    assert settings == {arm: count * len(sweep.tasks) for arm, count in each.items()}
    assert len(expand(reported(sweep)).runs) == printed


def test_what_the_paper_prints_is_run_by_its_own_recipes():
    for run in expand(reported(load_sweep("table2"))).runs:
        assert run.recipe == load_recipe(f"{run.recipe.task}_{run.arm.name}")


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("figure4", 8 * 5 * 2 * 5),
        ("appendix_n", 14 * 3 * 3 * 3),
        ("appendix_output_layer", 8 * 11 * 2),
        ("t5_small", 8 * (1 + 4 * 3 + 4 + 3 * 3 * 2)),
        ("table3", 12),
        ("demo", 4 * 17 * 3),
        ("demo_search", 4 * 17 * 4),
        ("demo_figure4", 2 * 3 * 2 * 3),
    ],
)
def test_the_other_shipped_sweeps_have_their_runs(name, runs):
    found = expand(load_sweep(name))
    assert len(found.runs) == runs
    assert len({run.place for run in found.runs}) == runs


def test_every_shipped_sweep_is_counted_above():
    assert len(shipped_sweeps()) == 10


def test_runs_come_by_task_arm_axis_setting_and_seed():
    sweep = smoke(
        seeds=[1, 2],
        search={"method.n": [2, 4]},
        axis=Axis(key="data.max_train_samples", values=[10, 20], along={"train.epochs": [4, 2]}),
    )
    runs = expand(sweep).runs
    assert [(run.axis, run.setting["method.n"], run.recipe.seed) for run in runs] == [
        (size, n, seed) for size in (10, 20) for n in (2, 4) for seed in (1, 2)
    ]
    assert [run.recipe.train.epochs for run in runs] == [4] * 4 + [2] * 4
    assert [run.recipe.method.n for run in runs[:4]] == [2, 2, 4, 4]


def test_an_arms_own_values_win_over_those_for_all():
    arms = [Arm(name="one", recipe=SMOKE, set={"train.epochs": 3}), Arm(name="two", recipe=SMOKE)]
    epochs = [
        run.recipe.train.epochs for run in expand(smoke(arms=arms, set={"train.epochs": 5})).runs
    ]
    assert epochs == [3, 5]


def test_what_is_set_for_an_arm_is_not_searched_for_it():
    arms = [Arm(name="one", recipe=SMOKE, set={"train.learning_rate": 5e-4}),
            Arm(name="two", recipe=SMOKE)]  # fmt: skip
    runs = expand(smoke(arms=arms, search={"train.learning_rate": [1e-3, 2e-3]})).runs
    assert [(run.arm.name, run.recipe.train.learning_rate) for run in runs] == [
        ("one", 5e-4),
        ("two", 1e-3),
        ("two", 2e-3),
    ]


def test_values_come_to_the_recipe_as_they_are(tmp_path):
    (tmp_path / "😀.csv").write_text("text,label\n")
    recipe = tmp_path / "own.toml"
    recipe.write_text(
        'task = "csv"\n[backbone]\npreset = "random/tiny"\n[method]\nname = "full"\n'
        '[data]\ntrain = "x"\nsource = "{text}"\ntarget = "{label}"\n'
    )
    sweep = Sweep(
        name="own",
        title="Own",
        tasks=["csv"],
        arms=[Arm(name="one", recipe=str(recipe))],
        set={"data.train": str(tmp_path / "😀.csv"), "data.source": 'a "😀": {text}'},
    )
    (run,) = expand(sweep).runs
    assert run.recipe.data.source == 'a "😀": {text}'
    assert run.recipe.data.train == str(tmp_path / "😀.csv")


def test_a_value_of_another_kind_is_the_recipes_error():
    with pytest.raises(RecipeError, match=r"train\.epochs: must be a valid integer"):
        expand(smoke(set={"train.epochs": datetime.date(2020, 1, 1)}))


def test_a_sweep_without_end_is_refused_before_it_is_expanded():
    keys = ("train.learning_rate", "train.clip_norm", "train.dropout")
    search = {key: [0.001 * n for n in range(1, 101)] for key in keys}
    with pytest.raises(UsageError, match="1,000,000 runs; at most 20,000"):
        expand(smoke(search=search))


def test_a_methods_key_goes_to_the_arms_that_have_it():
    sweep = Sweep(
        name="two",
        title="Two",
        tasks=["demo/entailment"],
        arms=[Arm(name="full"), Arm(name="compacterpp")],
        search={"method.n": [2, 4]},
    )
    assert [(run.arm.name, run.setting) for run in expand(sweep).runs] == [
        ("full", {}),
        ("compacterpp", {"method.n": 2}),
        ("compacterpp", {"method.n": 4}),
    ]


def test_what_a_backbone_cannot_have_is_left_out_and_said():
    found = expand(smoke(search={"method.n": [4, 12]}))
    assert [run.setting for run in found.runs] == [{"method.n": 4}]
    (out,) = found.left_out
    assert (out.arm, out.setting) == ("one", {"method.n": 12})
    assert "64 % 12 = 4" in out.reason


def test_an_arm_of_which_nothing_is_left_is_an_error():
    with pytest.raises(UsageError, match="no setting fits the backbone"):
        expand(smoke(search={"method.n": [5, 12]}))


def test_what_is_wrong_in_all_runs_is_no_setting_to_leave_out():
    with pytest.raises(RecipeError, match=r"must divide"):
        expand(smoke(set={"method.n": 5}))


@pytest.mark.parametrize("part", ["set", "search"])
def test_a_key_that_no_method_has_is_an_error_with_the_nearest(part):
    value = [8] if part == "search" else 8
    with pytest.raises(UsageError, match=r"none of its methods has method\.bottlneck") as caught:
        expand(smoke(**{part: {"method.bottlneck": value}}))
    assert "method.bottleneck" in caught.value.hint


def test_an_unknown_key_is_told_by_the_run_that_has_it():
    with pytest.raises(RecipeError, match=r"sweep tiny, one on demo/smoke: train\.epoch"):
        expand(smoke(search={"train.epoch": [1]}))


def test_a_recipe_of_another_task_is_an_error():
    with pytest.raises(UsageError, match="is of demo/smoke, not of demo/entailment"):
        expand(smoke(tasks=["demo/entailment"]))


def test_the_same_recipe_has_the_same_place_whatever_the_sweep_is_called():
    one, two = expand(smoke()).runs, expand(smoke(name="other", seeds=[42, 43])).runs
    assert one[0].place == two[0].place
    assert one[0].place != two[1].place
