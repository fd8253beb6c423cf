"""Sweeps from files and from the command line, and what is wrong with them."""

import pytest

from compacter_cli.errors import RecipeError, UsageError
from compacter_cli.recipe.shipped import find_recipe
from compacter_cli.sweeps import reading
from compacter_cli.sweeps.reading import load_sweep, sweep_of, with_parts, with_values

WHOLE = {"name": "x", "title": "X", "tasks": ["demo/smoke"]}


def test_a_grid_is_read_as_toml_or_as_plain_texts():
    assert reading.grid_of(["method.n=4,8", "train.learning_rate=1e-3, 4e-3"]) == {
        "method.n": [4, 8],
        "train.learning_rate": [1e-3, 4e-3],
    }
    assert reading.grid_of(["backbone.preset=a/b,c"]) == {"backbone.preset": ["a/b", "c"]}
    assert reading.grid_of(["method.after='both','feed_forward'"]) == {
        "method.after": ["both", "feed_forward"]
    }


def test_a_text_is_not_cut_inside_its_quotes():
    assert reading.grid_of(["data.prefix='é','ü, x'"]) == {"data.prefix": ["é", "ü, x"]}
    with pytest.raises(UsageError, match="no TOML between its commas"):
        reading.grid_of(['data.prefix=é,"ü, x"'])


@pytest.mark.parametrize("text", ["method.n", "method.n=", "=4", "method.n= , "])
def test_an_empty_grid_is_an_error(text):
    with pytest.raises(UsageError, match="expected section"):
        reading.grid_of([text])


def test_a_key_given_twice_is_an_error():
    with pytest.raises(UsageError, match="is given twice"):
        reading.grid_of(["method.n=4", "method.n=8"])


def test_seeds_are_whole_numbers():
    assert reading.seeds_of("1, 2,3") == [1, 2, 3]
    with pytest.raises(UsageError, match="expected whole numbers"):
        reading.seeds_of("1,x")


def test_recipes_make_an_arm_each():
    sweep = reading.sweep_of_recipes(["demo/entailment_full", "demo/entailment_compacterpp"])
    assert sweep.tasks == ["demo/entailment"]
    assert [arm.name for arm in sweep.arms] == ["entailment_full", "entailment_compacterpp"]
    assert sweep.name == "entailment_full-entailment_compacterpp"


def test_recipes_of_one_name_are_told_apart_by_their_folders(tmp_path):
    text = find_recipe("demo/smoke_compacterpp")[1]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.toml").write_text(text)
    given = [str(tmp_path / folder / "mine.toml") for folder in ("a", "b")]
    names = [arm.name for arm in reading.sweep_of_recipes(given).arms]
    assert [name[-6:] for name in names] == ["a-mine", "b-mine"]
    same = ["demo/smoke_compacterpp", "demo/smoke_compacterpp.toml"]
    with pytest.raises(UsageError, match="given twice"):
        reading.sweep_of_recipes(same)


def test_a_value_is_set_or_searched():
    with pytest.raises(UsageError, match=r"--grid and --set: method\.n is given to both"):
        with_values(load_sweep("table1"), {"method.n": [2]}, None, ["method.n=4"])


def test_recipes_of_two_tasks_are_no_comparison():
    with pytest.raises(UsageError, match="expected one task"):
        reading.sweep_of_recipes(["demo/entailment_full", "demo/sentiment_full"])


def test_a_file_is_called_by_its_name(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('title = "Mine"\ntasks = ["demo/smoke"]\n')
    sweep = load_sweep(str(file))
    assert (sweep.name, sweep.seeds, len(sweep.arms)) == ("mine", [42], 12)


def test_no_such_sweep_names_the_nearest():
    with pytest.raises(UsageError, match='no sweep "tabel1"') as caught:
        load_sweep("tabel1")
    assert "table1" in caught.value.hint


@pytest.mark.parametrize("data", [b"title = ", b"\xff\xfe", b"a" * 300_000])
def test_what_is_no_sweep_file_is_told(tmp_path, data):
    file = tmp_path / "bad.toml"
    file.write_bytes(data)
    with pytest.raises(UsageError, match="no sweep file"):
        load_sweep(str(file))


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ({"tasks": []}, "tasks", "must hold at least 1. Received: nothing"),
        ({"name": "../x"}, "name", "match pattern"),
        ({"name": "a\x1b[31m"}, "name", "match pattern"),
        ({"title": "a\nb"}, "title", "cannot be printed"),
        ({"set": {"seed": 7}}, "set", "seed is the sweep's to say: give seeds"),
        ({"set": {"task": "glue/rte"}}, "set", "give tasks"),
        ({"arms": [{"name": "a", "set": {"method.name": "x"}}]}, "arms.0.set", "methods are arms"),
        ({"search": {"seed": [1]}}, "search", "give seeds"),
        ({"search": {"output.watch": [[]]}}, "search", "output.watch changes no result"),
        ({"axis": {"key": "train.save_every", "values": [1]}}, "axis.key", "changes no result"),
        (
            {"arms": [{"name": "a", "set": {"x.y": 1}, "search": {"x.y": [1, 2]}}]},
            "arms.0",
            "a both sets and searches x.y",
        ),
        ({"seeds": [1, 1]}, "seeds", "holds 1 twice"),
        ({"seeds": [-1]}, "seeds.0", "greater than or equal to 0"),
        ({"task": ["demo/smoke"]}, "task", "unknown key"),
        ({"search": {"method.n": []}}, "search.method.n", "must hold at least 1"),
        ({"search": {"method.n": [4, 4]}}, "search", "method.n holds 4 twice"),
        ({"arms": [{"name": "a"}, {"name": "a"}]}, "arms", "holds 'a' twice"),
        ({"arms": [{"name": "a", "recip": "x"}]}, "arms.0.recip", "unknown key"),
        ({"axis": {"key": "train.epochs", "values": []}}, "axis.values", "must hold at least 1"),
        (
            {"axis": {"key": "a.b", "values": [1, 2], "along": {"c.d": [1]}}},
            "axis",
            "along.c.d has 1 value for the 2 of a.b",
        ),
        ({"paper": "table9"}, "paper", "table1"),
    ],
)
def test_what_is_wrong_with_a_sweep_is_told_by_its_key(changes, key, said):
    with pytest.raises(RecipeError) as caught:
        sweep_of({**WHOLE, **changes}, "sweep x")
    assert [problem.key for problem in caught.value.problems] == [key]
    assert said in caught.value.problems[0].message


def test_parts_of_a_sweep_keep_its_order():
    part = with_parts(load_sweep("demo"), ["demo/sentiment"], ["compacterpp", "full"])
    assert part.tasks == ["demo/sentiment"]
    assert [arm.name for arm in part.arms] == ["full", "compacterpp"]
    with pytest.raises(UsageError, match="--arm lora: the sweep has none of that name"):
        with_parts(part, None, ["lora"])


def test_the_command_line_wins_over_sweep_and_arms():
    sweep = load_sweep("table1")
    changed = with_values(sweep, {"method.n": [2]}, [7], ["method.bottleneck=12", "train.epochs=1"])
    assert changed.seeds == [7]
    assert changed.search == {"method.n": [2]}
    assert changed.set == {"method.bottleneck": 12, "train.epochs": 1}
    assert all(not arm.search for arm in changed.arms)


def test_what_is_written_reads_the_same_again():
    for name in ("table1", "demo", "demo_figure4", "table3"):
        sweep = load_sweep(name)
        from compacter_cli.recipe.tables import parse

        assert sweep_of(parse(sweep.toml()), "again") == sweep
