import hashlib
import json
import math
import shutil

import pytest
import safetensors.torch
import torch

from compacter_cli.adapters.adapter_file import (
    load_adapter,
    manifest_of,
    read_manifest,
    save_adapter,
)
from compacter_cli.adapters.predictor import Predictor
from compacter_cli.adapters.restoring import recipe_with
from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.recipe.recipe import recipe_of
from compacter_cli.t5.forward import T5Forward
from compacter_cli.t5.loading import fingerprint_of, load_backbone
from compacter_cli.tasks import TASKS
from compacter_cli.training.run_directory import read_result

SMOKE = TASKS["demo/smoke"]
TEXTS = [
    "sentence: iron apple zinc",
    "sentence: iron copper zinc",
    "sentence: cobalt nickel silver zinc peach",
    "sentence: copper silver nickel",
]


@pytest.fixture(autouse=True)
def on_cpu(keras):
    with keras.device("cpu"):
        yield


@pytest.fixture(scope="module")
def backbone(keras):
    with keras.device("cpu"):
        return load_backbone("random/tiny")


@pytest.fixture
def untrained(backbone, tmp_path):
    """Makes the directory of an adapter that nobody trained: `untrained("name", method="full")`."""

    def make(folder, seed=0, shift=0.0, precision="float32", task=SMOKE.name, data=None, **method):
        from compacter_cli.t5.model import T5Model

        tables = {"name": "compacterpp", **method}
        recipe = recipe_of(
            {
                "task": task,
                "data": data or {},
                "backbone": {"preset": "random/tiny", "precision": precision},
                "method": tables,
            },
            folder,
        )
        model = T5Model(backbone.keras, recipe.method, seed=seed)
        tensors = {n: t.detach() + shift for n, t in model.trained_tensors().items()}
        manifest = manifest_of(
            tensors,
            method=recipe.method.settings(),
            task=recipe.task,
            backbone=backbone,
            shape=model.shape,
            recipe=recipe.plain(),
        )
        save_adapter(tmp_path / folder, tensors, manifest)
        return tmp_path / folder

    return make


@pytest.fixture
def best(smoke_run, tmp_path):
    """A copy of the finished run's best adapter, to be changed."""
    return shutil.copytree(smoke_run / "best", tmp_path / "best")


def logits_of(predictor):
    """What a predictor's model computes for a fixed input, to the last bit."""
    ids = torch.tensor([[5, 6, 7, 1], [9, 1, 0, 0]])
    inputs = {
        "encoder_token_ids": ids,
        "encoder_padding_mask": ids > 0,
        "decoder_token_ids": torch.tensor([[0, 4], [0, 5]]),
        "decoder_padding_mask": torch.ones(2, 2),
    }
    with torch.no_grad():
        return predictor.model(inputs)


def change_manifest(directory, **changes):
    """Other values in a manifest that has no hash of itself, as the first versions wrote it."""
    path = directory / "adapter.json"
    manifest = {**json.loads(path.read_text()), **changes}
    manifest.pop("manifest_sha256", None)
    path.write_text(json.dumps(manifest))


# Answers.


def test_answers_are_label_names_and_score_what_the_run_recorded(backbone, smoke_run):
    predictor = Predictor(backbone, smoke_run / "best")
    rows = SMOKE.split.apply(SMOKE.generate(), 42)["test"]
    predictions = predictor.predict_rows(rows)
    right = sum(p == SMOKE.labels[row["label"]] for p, row in zip(predictions, rows, strict=True))
    assert len(rows) == 100
    assert right == pytest.approx(read_result(smoke_run)["test"]["metrics"]["accuracy"])
    assert set(predictions) & set(SMOKE.labels)
    assert predictor.task is SMOKE


def test_a_label_is_named_and_any_other_answer_stays_as_the_model_wrote_it(
    backbone, smoke_run, monkeypatch
):
    predictor = Predictor(backbone, smoke_run / "best")
    monkeypatch.setattr(predictor, "answers", lambda *_: ["1", "0", "iron", ""])
    assert predictor.predict(TEXTS) == ["a fruit", "metals only", "iron", ""]


def test_rows_are_read_as_the_task_writes_them(backbone, smoke_run):
    predictor = Predictor(backbone, smoke_run / "best")
    rows = [{"sentence": text.removeprefix("sentence: ")} for text in TEXTS]
    assert predictor.predict_rows(rows) == predictor.predict(TEXTS)


def test_a_row_that_lacks_a_field_is_refused_by_its_number(backbone, smoke_run):
    predictor = Predictor(backbone, smoke_run / "best")
    with pytest.raises(
        UsageError, match="row 2 lacks the field sentence; demo/smoke reads"
    ) as caught:
        predictor.predict_rows([{"sentence": "iron"}, {"text": "iron"}])
    assert caught.value.hint == "the row has: text"


NA = type("NAType", (), {"__repr__": lambda _: "<NA>"})()  # as pandas'


@pytest.mark.parametrize("cell", [None, math.nan, NA])
def test_a_row_with_an_empty_field_is_refused_by_its_number(backbone, smoke_run, cell):
    predictor = Predictor(backbone, smoke_run / "best")
    rows = [{"sentence": "iron", "more": cell}, {"sentence": cell}]
    with pytest.raises(UsageError) as caught:
        predictor.predict_rows(rows)
    assert str(caught.value) == f'row 2: the field "sentence" is empty ({cell})'
    assert caught.value.hint == 'fill it, as by frame.fillna("")'
    assert len(predictor.predict_rows(rows[:1])) == 1


def test_nothing_asked_is_nothing_answered(backbone, smoke_run):
    predictor = Predictor(backbone, smoke_run / "best")
    assert predictor.predict([]) == []
    assert predictor.predict_rows([]) == []


def test_a_text_alone_is_refused(backbone, smoke_run):
    predictor = Predictor(backbone, smoke_run / "best")
    for ask in (predictor.predict, predictor.answers, predictor.probabilities):
        with pytest.raises(UsageError, match="expected a list of texts, got one text") as caught:
            ask(TEXTS[0])
        assert "[text]" in caught.value.hint


def test_sources_are_the_texts_of_rows(backbone, smoke_run):
    predictor = Predictor(backbone, smoke_run / "best")
    assert predictor.sources(iter([{"sentence": "iron", "idx": 3}])) == ["sentence: iron"]
    with pytest.raises(UsageError, match="row 1 lacks the field sentence"):
        predictor.sources([{}])


@pytest.mark.parametrize("size", [1, 3, 100])
def test_probabilities_are_shares_of_all_labels(backbone, untrained, size):
    predictor = Predictor(backbone, untrained("babbling", seed=5, shift=0.2))
    found = predictor.probabilities(TEXTS, size)
    assert [list(shares) for shares in found] == [list(SMOKE.labels)] * len(TEXTS)
    assert all(sum(shares.values()) == pytest.approx(1) for shares in found)
    assert all(0 < share < 1 for shares in found for share in shares.values())
    alone = [predictor.probabilities([text])[0] for text in TEXTS]
    for one, other in zip(found, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    assert predictor.probabilities([]) == []


@pytest.mark.parametrize("labels", [["0", "iron zinc", "peach"], ["1", "0"]])
def test_probabilities_of_labels_of_several_lengths_are_those_written_anew(
    backbone, untrained, labels
):
    data = {"train": "a.csv", "source": "sentence: {text}", "target": "{label}", "labels": labels}
    predictor = Predictor(backbone, untrained("own", seed=5, shift=0.2, task="csv", data=data))
    found = predictor.probabilities(predictor.sources([{"text": "iron apple"}]))
    (source,) = backbone.vocabulary.encode(["sentence: iron apple"])
    ids = torch.tensor([[*source, 1]])
    scores = []
    for label in labels:
        written, score = [0], 0.0
        for token in [*backbone.vocabulary.encode([label])[0], 1]:
            with torch.no_grad():
                forward = predictor.model.forward_pass()
                states, mask = forward.encode(ids, ids > 0)
                inputs = torch.tensor([written])
                hidden = forward.decode(inputs, inputs >= 0, states, mask)
                logits = forward.logits(hidden)[0, -1]
            score += float(logits[token] - logits.exp().sum().log())
            written.append(token)
        scores.append(score)
    whole = sum(math.exp(score) for score in scores)
    expected = {x: math.exp(y) / whole for x, y in zip(labels, scores, strict=True)}
    assert found == [pytest.approx(expected, rel=1e-4)]


def test_answers_and_probabilities_come_from_one_encoding(backbone, smoke_run, monkeypatch):
    predictor = Predictor(backbone, smoke_run / "best")
    wanted = list(zip(predictor.predict(TEXTS, 2), predictor.probabilities(TEXTS, 2), strict=True))
    encoded = []
    real = T5Forward.encode

    def encode(forward, ids, mask):
        encoded.append(len(ids))
        return real(forward, ids, mask)

    monkeypatch.setattr(T5Forward, "encode", encode)
    found = predictor.predict_with_probabilities(TEXTS, 2)
    assert found == wanted
    assert sum(encoded) == len(TEXTS)


def test_free_text_has_no_probabilities(backbone, untrained):
    data = {"train": "a.csv", "source": "sentence: {text}", "target": "{answer}"}
    predictor = Predictor(backbone, untrained("own", task="csv", data=data))
    assert predictor.task.fields == ("text",)
    assert predictor.probabilities(TEXTS) == [None] * len(TEXTS)
    pairs = zip(predictor.predict(TEXTS), [None] * len(TEXTS), strict=True)
    assert predictor.predict_with_probabilities(TEXTS) == list(pairs)
    assert predictor.predict(TEXTS) == predictor.answers(TEXTS)


def test_the_batch_size_does_not_change_the_answers(backbone, untrained, monkeypatch):
    predictor = Predictor(backbone, untrained("babbling", seed=5))
    texts = [SMOKE.source(row) for row in SMOKE.generate()["validation"][:25]]
    # Token ids without padding: this model writes many, and few that are of the vocabulary.
    monkeypatch.setattr(
        "compacter_cli.t5.vocabulary.Vocabulary.decode",
        lambda self, ids: " ".join(str(token) for token in ids if token),
    )
    whole = predictor.answers(texts)
    assert len(set(whole)) > 3
    assert predictor.answers(texts, batch_size=4) == whole
    assert [predictor.answers([text])[0] for text in texts] == whole


def test_texts_are_cut_at_the_length_that_the_run_was_trained_with(
    backbone, smoke_run, monkeypatch
):
    predictor = Predictor(backbone, smoke_run / "best")
    assert predictor.recipe.data.source_length == 32
    seen = []
    real = T5Forward.encode

    def encode(forward, ids, mask):
        seen.append((ids, mask))
        return real(forward, ids, mask)

    monkeypatch.setattr(T5Forward, "encode", encode)
    long = "sentence: " + " ".join(["iron"] * 100)
    (expected,) = backbone.vocabulary.encode([long])
    predictor.answers([long])
    ((ids, mask),) = seen
    assert ids.tolist() == [[*expected[:31], 1]]
    assert mask.all()


@pytest.mark.parametrize(("method", "first"), [("full", "smoke sentence:"), ("compacterpp", "sen")])
def test_the_task_is_named_where_the_method_prefixes_it(
    backbone, untrained, monkeypatch, method, first
):
    from compacter_cli.data import dataset

    seen = []
    real = dataset.encode_sources

    def record(texts, *rest):
        seen.extend(texts)
        return real(texts, *rest)

    monkeypatch.setattr(dataset, "encode_sources", record)
    Predictor(backbone, untrained("one", name=method)).predict(TEXTS)
    assert len(seen) == len(TEXTS)
    assert all(text.startswith(first) for text in seen)


# Several adapters on one backbone.


def test_a_swap_changes_the_answers_and_keeps_the_backbone_loaded(
    backbone, smoke_run, untrained, monkeypatch
):
    predictor = Predictor(backbone, smoke_run / "best")
    first = logits_of(predictor)
    monkeypatch.setattr(
        "compacter_cli.adapters.restoring.load_backbone", lambda *_: pytest.fail("loaded again")
    )
    predictor.swap(untrained("other", seed=5, shift=0.2))
    assert predictor.backbone is backbone
    assert predictor.model.backbone is backbone.keras
    assert not torch.equal(logits_of(predictor), first)
    predictor.swap(smoke_run / "best")
    assert torch.equal(logits_of(predictor), first)


def test_a_swap_to_another_method_takes_its_recipe_along(backbone, smoke_run, untrained):
    predictor = Predictor(backbone, smoke_run / "best")
    predictor.swap(untrained("dense", name="adapter", bottleneck=8))
    assert predictor.recipe.method.name == "adapter"
    assert predictor.recipe.data.source_length == 128
    assert predictor.predict(TEXTS)


def test_predictors_on_one_backbone_are_independent(backbone, smoke_run, untrained):
    from compacter_cli.t5.placement import backbone_weights

    one = Predictor(backbone, smoke_run / "best")
    before, answers = logits_of(one), one.answers(TEXTS)
    other = Predictor(backbone, untrained("other", seed=5, shift=0.2))
    full = Predictor(backbone, untrained("full", name="full", shift=0.05))
    assert one.backbone is other.backbone is full.backbone
    logits = [logits_of(p) for p in (one, other, full)]
    assert torch.equal(logits[0], before)
    assert not torch.equal(logits[1], before)
    assert not torch.equal(logits[2], before)
    other.swap(smoke_run / "last")
    assert torch.equal(logits_of(one), before)
    assert one.answers(TEXTS) == answers
    assert torch.equal(logits_of(full), logits[2])
    assert fingerprint_of(backbone_weights(backbone.keras)) == backbone.fingerprint


def test_a_bfloat16_backbone_takes_an_adapter_of_its_float32_self(smoke_run):
    rounded = load_backbone("random/tiny", "bfloat16")
    predictor = Predictor(rounded, smoke_run / "best")
    exact = load_adapter(smoke_run / "best").tensors
    for name, tensor in predictor.model.trained_tensors().items():
        assert torch.equal(tensor, exact[name]), name
    assert len(predictor.predict(TEXTS)) == 4


def test_an_adapter_computes_in_the_precision_of_its_recipe_unless_told(backbone, untrained):
    adapter = untrained("rounded", precision="bfloat16")
    assert Predictor(backbone, adapter).model.compute_dtype == "bfloat16"
    told = recipe_with(read_manifest(adapter), adapter, ["backbone.precision=float32"])
    predictor = Predictor(backbone, adapter, told)
    assert predictor.model.compute_dtype == "float32"
    assert predictor.recipe.backbone.precision == "float32"
    predictor.swap(adapter)
    assert predictor.model.compute_dtype == "bfloat16"


# Swaps that fail.


def damage(directory):
    path = directory / "adapter.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def remove(directory):
    shutil.rmtree(directory)


def of_another_backbone(directory):
    manifest = json.loads((directory / "adapter.json").read_text())
    change_manifest(directory, backbone={**manifest["backbone"], "fingerprint": "0" * 64})


def of_an_unknown_task(directory):
    manifest = json.loads((directory / "adapter.json").read_text())
    change_manifest(directory, recipe={**manifest["recipe"], "task": "glue/unheard_of"})


def of_another_task_than_its_recipes(directory):
    change_manifest(directory, task="glue/unheard_of")


def with_an_unknown_method(directory):
    manifest = json.loads((directory / "adapter.json").read_text())
    manifest["recipe"]["method"] = {"name": "magic"}
    change_manifest(directory, recipe=manifest["recipe"])


def with_other_sizes(directory):
    manifest = json.loads((directory / "adapter.json").read_text())
    manifest["recipe"]["method"]["bottleneck"] = 12
    change_manifest(directory, recipe=manifest["recipe"])


def with_sizes_that_do_not_divide(directory):
    manifest = json.loads((directory / "adapter.json").read_text())
    manifest["recipe"]["method"]["n"] = 5
    change_manifest(directory, recipe=manifest["recipe"])


def with_renamed_tensors(directory):
    tensors = load_adapter(directory).tensors
    tensors["encoder.9.layer_norm"] = tensors.pop("encoder.layer_norm")
    data = safetensors.torch.save(tensors)
    (directory / "adapter.safetensors").write_bytes(data)
    described = {n: {"shape": list(t.shape), "dtype": "F32"} for n, t in tensors.items()}
    change_manifest(directory, tensors=described, sha256=hashlib.sha256(data).hexdigest())


FAULTS = [
    damage,
    remove,
    of_another_backbone,
    of_an_unknown_task,
    of_another_task_than_its_recipes,
    with_an_unknown_method,
    with_other_sizes,
    with_sizes_that_do_not_divide,
    with_renamed_tensors,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_swap_that_fails_leaves_the_adapter_before_it(backbone, best, untrained, fault):
    predictor = Predictor(backbone, untrained("before", seed=5, shift=0.2))
    before = vars(predictor).copy()
    logits = logits_of(predictor)
    fault(best)
    with pytest.raises(CompacterError) as caught:
        predictor.swap(best)
    assert str(best) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert vars(predictor).keys() == before.keys()
    assert [name for name in before if getattr(predictor, name) is not before[name]] == []
    assert torch.equal(logits_of(predictor), logits)


def test_renamed_tensors_are_named(backbone, best):
    with_renamed_tensors(best)
    with pytest.raises(CompacterError, match=r"encoder\.9\.layer_norm"):
        Predictor(backbone, best)


# Several adapters.

MIXED = {
    "ours": {"name": "compacterpp"},
    "lora": {"name": "lora"},
    "ia3": {"name": "ia3"},
    "biases": {"name": "bitfit"},
    "prompt": {"name": "prompt_r", "length": 5},
    "long prompt": {"name": "prompt_t", "length": 9},
    "head": {"name": "krona", "train_output_layer": True},
    "other task": {"name": "adapter", "task": "demo/entailment"},
}


@pytest.fixture
def several(untrained):
    """Directories of adapters by name, of weights moved away from where they start."""
    return {
        name: untrained(name.replace(" ", "_"), seed=number, shift=0.02 * number, **method)
        for number, (name, method) in enumerate(MIXED.items())
    }


@pytest.fixture
def asked():
    """24 texts of different lengths, and which adapter is to answer each."""
    names = list(MIXED)
    texts = [f"sentence: {'iron copper ' * (n % 5)}{TEXTS[n % 4]}" for n in range(24)]
    return texts, [names[(5 * n + n // 8) % len(names)] for n in range(24)]


@pytest.mark.parametrize("size", [24, 7])
def test_a_mixed_batch_answers_as_each_adapter_alone(backbone, several, asked, size):
    texts, names = asked
    predictor = Predictor(backbone, several)
    found = predictor.predict_with_probabilities(texts, size, names)
    assert set(names) == set(MIXED)
    for name, directory in several.items():
        own = [place for place, other in enumerate(names) if other == name]
        alone = Predictor(backbone, directory)
        wanted = alone.predict_with_probabilities([texts[place] for place in own])
        for place, (answer, shares) in zip(own, wanted, strict=True):
            assert found[place][0] == answer
            assert found[place][1] == (shares and pytest.approx(shares, abs=1e-5))
    assert predictor.answers(texts, size, names) != predictor.answers(texts, size, "lora")
    assert predictor.predict(texts, size, names) == [answer for answer, _ in found]
    assert predictor.probabilities(texts, size, names)[3] == pytest.approx(found[3][1], abs=1e-5)


def test_loading_one_beside_others_does_not_touch_them(backbone, several):
    predictor = Predictor(backbone, {"ours": several["ours"], "lora": several["lora"]})
    before = predictor.adapters["ours"]
    tensors = {n: t.clone() for n, t in before.model.trained_tensors().items()}
    shares = predictor.probabilities(TEXTS, adapter="ours")
    predictor.add("ia3", several["ia3"])
    predictor.remove("lora")
    assert list(predictor.adapters) == ["ours", "ia3"]
    assert predictor.adapters["ours"] is before
    assert all(torch.equal(t, tensors[n]) for n, t in before.model.trained_tensors().items())
    assert predictor.probabilities(TEXTS, adapter="ours") == shares


@pytest.mark.parametrize(
    ("method", "why"),
    [
        ({"name": "full"}, r"\(full\) cannot be one of several: it trains the backbone's own"),
        ({"name": "said", "intrinsic_dim": 300}, r"\(said\) cannot be .* weights anew"),
    ],
)
def test_what_changes_the_backbones_weights_is_refused_beside_others(
    backbone, several, untrained, method, why
):
    predictor = Predictor(backbone, several)
    with pytest.raises(UsageError, match=f'the adapter "own" {why}') as caught:
        predictor.add("own", untrained("own", **method))
    assert caught.value.hint == "ask it alone: predict --run RUN, or a Predictor of its own"
    assert list(predictor.adapters) == list(several)
    assert Predictor(backbone, {"own": untrained("alone", **method)}).predict(TEXTS)


def test_adapters_of_two_precisions_are_refused_together(backbone, several, untrained):
    half = untrained("half", precision="bfloat16")
    with pytest.raises(UsageError, match="in one precision, got "):
        Predictor(backbone, {"ours": several["ours"], "half": half})


def test_which_adapter_answers_must_be_said_and_be_there(backbone, several):
    predictor = Predictor(backbone, several)
    for ask in (predictor.predict, predictor.answers, predictor.probabilities):
        with pytest.raises(UsageError, match="8 adapters are loaded, and it is not said which"):
            ask(TEXTS)
    with pytest.raises(UsageError, match='there is no adapter "lore"') as caught:
        predictor.predict(TEXTS, adapter="lore")
    assert "lora" in caught.value.hint
    with pytest.raises(UsageError, match="an adapter for each of 4 texts, got 2"):
        predictor.predict(TEXTS, adapter=["ours", "lora"])
    with pytest.raises(UsageError, match="8 adapters are loaded"):
        predictor.swap(several["ours"])
    with pytest.raises(UsageError, match="at least one adapter, got none"):
        Predictor(backbone, {})
    with pytest.raises(UsageError, match='there is no adapter "lora"') as caught:
        Predictor(backbone, several["ours"]).predict(TEXTS, adapter="lora")
    assert "the only one has no name" in caught.value.hint


def test_recipes_go_by_the_names_of_the_adapters(backbone, several):
    recipe = Predictor(backbone, several["ours"]).recipe
    pair = {name: several[name] for name in ("ours", "lora")}
    for wrong in (recipe, {"": recipe}, {"lore": recipe}):
        with pytest.raises(UsageError, match=r"recipes by the names of several|no adapter"):
            Predictor(backbone, pair, wrong)
    predictor = Predictor(backbone, pair, {"ours": recipe})
    assert predictor.adapters["ours"].recipe is recipe
    assert predictor.adapters["lora"].recipe.method.name == "lora"


def test_names_are_taken_once_and_the_last_one_stays(backbone, several):
    predictor = Predictor(backbone, {"ours": several["ours"]})
    with pytest.raises(UsageError, match='there is an adapter "ours" already'):
        predictor.add("ours", several["lora"])
    with pytest.raises(UsageError, match="the only adapter cannot be removed"):
        predictor.remove("ours")
    predictor.swap(several["lora"])
    assert list(predictor.adapters) == ["ours"]
    assert predictor.recipe.method.name == "lora"


def test_rows_are_read_by_their_own_adapters_task(backbone, several):
    predictor = Predictor(backbone, {key: several[key] for key in ("ours", "other task")})
    rows = [{"sentence": "iron"}, {"premise": "a", "hypothesis": "b"}]
    first, second = predictor.sources(rows, ["ours", "other task"])
    assert first == "sentence: iron"
    assert "hypothesis: b" in second
    with pytest.raises(UsageError, match="row 2 lacks the field sentence; demo/smoke reads"):
        predictor.predict_rows(rows, adapter="ours")
