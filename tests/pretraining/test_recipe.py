"""Recipes of pretraining: defaults, problems, and which text wins."""

import pytest

from compacter_cli.errors import RecipeError, UsageError
from compacter_cli.pretraining.recipe import load_pretraining
from compacter_cli.recipe.recipe import load_recipe

NAME = "demo/pretrain"


@pytest.fixture
def problems():
    """The problems of the shipped recipe after changes, as {key: "message hint"}."""

    def find(*overrides, name=NAME):
        with pytest.raises(RecipeError) as caught:
            load_pretraining(name, overrides)
        return {p.key: f"{p.message} {p.hint}" for p in caught.value.problems}

    return find


@pytest.fixture
def written(tmp_path):
    """Writes a recipe; gives its path."""

    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return str(path)

    return write


def test_everything_but_the_text_has_a_default(written):
    recipe = load_pretraining(written("[text]\nworld = 100\n"))
    assert recipe.corruption.model_dump() == {"noise_density": 0.15, "mean_span_length": 3.0}
    assert recipe.text.validation == 1_000
    assert recipe.vocabulary.size == 1_000
    assert recipe.output.precision == "float32"


def test_without_a_text_it_is_no_recipe(problems, written):
    assert problems(name=written("seed = 1\n"))["text"].startswith("missing")


@pytest.mark.parametrize(
    "change",
    [['text={files=["a.txt"]}'], ['text.files=["a.txt"]'], ['text.files=["/x"]', "seed=1"]],
)
def test_files_given_by_set_put_the_recipes_world_and_its_exercises_aside(change):
    assert load_pretraining(NAME).text.world_exercises > 0
    text = load_pretraining(NAME, change).text
    assert (text.world, text.world_exercises) == (None, 0)
    assert len(text.files) == 1


def test_exercises_do_not_go_with_files(problems, written):
    written_together = '[text]\nfiles = ["a.txt"]\nworld_exercises = 5\n'
    said = "world_exercises are of the demo world"
    assert said in problems(name=written(written_together))["text"]
    assert said in problems('text.files=["a.txt"]', "text.world_exercises=5")["text"]


def test_a_world_given_by_set_puts_the_recipes_files_aside(written):
    path = written('[text]\nfiles = ["a.txt"]\nvalidation = 3\n')
    text = load_pretraining(path, ["text.world=5"]).text
    assert (text.files, text.world, text.validation) == (None, 5, 3)


def test_both_texts_or_neither_are_a_problem(problems, written):
    both = '[text]\nfiles = ["a.txt"]\nworld = 5\n'
    assert "here are both" in problems(name=written(both))["text"]
    assert "here are both" in problems('text.files=["a.txt"]', "text.world=5")["text"]
    assert "here are neither" in problems("text={}")["text"]


def test_files_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = load_pretraining(NAME, ['text.files=["a.txt", "/b.txt"]'])
    assert recipe.text.files == [str(tmp_path / "a.txt"), "/b.txt"]


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        ("train.step=5", "train.step", 'did you mean "steps"?'),
        ("corruption.density=0.1", "corruption.density", "unknown key of [corruption]"),
        ("data.folder=x", "data", "unknown key"),
        ("method.name=full", "method", "unknown key"),
        ("train.steps=-1", "train.steps", "greater than or equal to 0"),
        ("train.length=1", "train.length", "greater than or equal to 2"),
        ("corruption.noise_density=1.0", "corruption.noise_density", "less than 1"),
        ("corruption.mean_span_length=0.5", "corruption.mean_span_length", "equal to 1"),
        ("output.precision=int8", "output.precision", "float16"),
        ("text.files=[]", "text.files", "at least 1"),
        ("text.files=my.txt", "text.files", "list"),
        ("text=my.txt", "text", "must be a table"),
        ("backbone=5", "backbone", "must be a table"),
        ("vocabulary.size=100", "vocabulary.size", "set it to 130 or more"),  # 3 + 32 + 94 + 1
        ("train.exercise_share=1.5", "train.exercise_share", "less than or equal to 1"),
        ("text.world_exercises=-1", "text.world_exercises", "greater than or equal to 0"),
        (f"text.world={10**30}", "text.world", "less than or equal to 2147483647"),
        (f"text.world_exercises={2**63}", "text.world_exercises", "less than or equal to 2147"),
        (f"vocabulary.size={10**30}", "vocabulary.size", "less than or equal to 1048576"),
        (f"vocabulary.sentinels={10**30}", "vocabulary.sentinels", "less than or equal to 65536"),
        (f"backbone.hidden_dim={10**30}", "backbone.hidden_dim", "less than or equal to 65536"),
        (f"backbone.num_layers={10**9}", "backbone.num_layers", "less than or equal to 200"),
        (f"train.batch_size={10**30}", "train.batch_size", "less than or equal to 2147483647"),
        (f"train.steps={10**30}", "train.steps", "less than or equal to 2147483647"),
    ],
)
def test_a_wrong_value_is_named_by_its_key(problems, change, key, said):
    assert said in problems(change)[key]


# By hand, of T5's corruption: of 48 tokens 7 go in 2 spans, of 512 go 77 in 26; a roll divides one,
# and a sentinel ends the target.
@pytest.mark.parametrize(("length", "needed"), [(48, 4), (512, 28)])
def test_sentinels_must_suffice_for_the_longest_piece(problems, written, length, needed):
    path = written("[text]\nworld = 100\n")
    of = lambda count: (f"train.length={length}", f"vocabulary.sentinels={count}")  # noqa: E731
    said = problems(*of(needed - 1), name=path)["vocabulary.sentinels"]
    assert f"set it to {needed} or more" in said
    assert load_pretraining(path, of(needed)).train.length == length


def test_a_model_larger_than_any_t5_is_a_problem(problems):
    said = problems("backbone.hidden_dim=65536", "backbone.intermediate_dim=65536",
                    "backbone.num_layers=200")["backbone"]  # fmt: skip
    assert "more than 100,000,000,000 are not tried" in said


def test_all_problems_are_told_at_once(problems):
    assert set(problems("train.steps=-1", "seed=x", "backbone.depth=3")) == {
        "train.steps",
        "seed",
        "backbone.depth",
    }


def test_a_recipe_of_the_other_kind_says_which_command(written):
    with pytest.raises(UsageError, match="recipe of training") as caught:
        load_pretraining("demo/smoke_compacterpp")
    assert caught.value.hint == "compacter train --recipe demo/smoke_compacterpp"
    with pytest.raises(UsageError, match="recipe of pretraining") as caught:
        load_recipe(NAME)
    assert caught.value.hint == f"compacter pretrain --recipe {NAME} --output DIR"


def test_a_written_recipe_loads_to_an_equal_one(written):
    for change in ("train.steps=3", 'text.files=["a b.txt"]'):
        recipe = load_pretraining(NAME, [change])
        assert load_pretraining(written(recipe.toml())) == recipe


def test_the_shape_is_the_backbone_sections():
    shape = load_pretraining(NAME, ["backbone.gated=true", "backbone.tied=false"]).backbone.shape(
        77
    )
    assert (shape.vocabulary_size, shape.hidden_dim, shape.key_value_dim) == (77, 128, 32)
    assert shape.gated
    assert not shape.tied
