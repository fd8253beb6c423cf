"""Real adapters behind a server's model: answers are predict's, files are not needed."""

import shutil
import threading

import pytest

from compacter_cli.adapters.restoring import chosen
from compacter_cli.commands.predict import predict
from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.serving.served import Served, check_texts
from compacter_cli.training.run import train

TEXTS = [
    "sentence: iron apple zinc",
    "sentence: iron copper zinc",
    "sentence: cobalt nickel silver zinc peach",
]


@pytest.fixture
def adapters(smoke_run, tmp_path):
    """A copy of a run's two adapters, to be changed."""
    places = {
        which: shutil.copytree(smoke_run / which, tmp_path / which) for which in ("best", "last")
    }
    return {which: chosen(place) for which, place in places.items()}


@pytest.fixture
def served(keras, adapters):
    return Served(adapters, "cpu")


def test_answers_are_those_of_predict_in_whatever_thread(served, smoke_run):
    names = ["best", "last", "best"]
    found = []
    thread = threading.Thread(target=lambda: found.extend(served.answer(TEXTS, names)))
    thread.start()
    thread.join()
    for (answer, shares), text, name in zip(found, TEXTS, names, strict=True):
        directory, recipe, _ = chosen(smoke_run / name)
        (alone,) = predict(adapter=directory, recipe=recipe, texts=[text], device="cpu")
        assert answer == alone["prediction"]
        assert shares == pytest.approx(alone["probabilities"], abs=1e-5)


def test_files_that_are_removed_are_not_missed(served, adapters):
    before = served.answer(TEXTS, ["last"] * 3)
    for directory, *_ in adapters.values():
        shutil.rmtree(directory)
    assert served.answer(TEXTS, ["last"] * 3) == before
    assert served.sources("best", [{"sentence": "iron"}]) == ["sentence: iron"]


def test_a_damaged_one_is_refused_by_its_name(keras, adapters):
    path = adapters["last"][0] / "adapter.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CompacterError, match=r'the adapter "last" cannot be served: .* is damaged'):
        Served(adapters, "cpu")


@pytest.mark.slow
def test_one_that_cannot_be_asked_beside_others_is_refused_by_its_name(keras, adapters, tmp_path):
    sets = ['method={name="full"}', "train.epochs=1", "train.warmup_steps=1"]
    sets += ["data.max_train_samples=20", "train.score_before=false"]
    recipe = load_recipe("demo/smoke_compacterpp", sets)
    train(recipe=recipe, directory=tmp_path / "full", device="cpu")
    full = chosen(tmp_path / "full" / "best")
    with pytest.raises(UsageError, match=r'the adapter "full" cannot be served: .* one of several'):
        Served({**adapters, "full": full}, "cpu")
    assert Served({"full": full}, "cpu").answer(TEXTS, ["full"] * 3)


def test_it_is_told_how_each_is_asked(served):
    (one, _) = served.shown()
    assert one.model_dump() == {
        "name": "best", "task": "demo/smoke", "method": "compacterpp", "fields": ["sentence"],
        "lists": [], "labels": ["metals only", "a fruit"], "written": "sentence: ...",
        "source_length": 32,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "iron"}, 'row 2 lacks the field "sentence"'),
        ({"sentence": ["iron"]}, 'row 2: the field "sentence" is an array, expected a text'),
        ({"sentence": "a\0"}, 'row 2: the field "sentence" holds a NUL'),
    ],
)
def test_a_row_that_is_none_of_the_task_is_refused(served, row, said):
    with pytest.raises(UsageError) as caught:
        served.sources("best", [{"sentence": "iron", "idx": 1}, row])
    assert str(caught.value).startswith(said)
    assert caught.value.hint == "demo/smoke reads sentence"


def test_a_text_that_no_vocabulary_holds_is_refused():
    check_texts(["", "ä\n😀"])
    with pytest.raises(UsageError, match="text 2 holds a NUL"):
        check_texts(["a", "\0"])
