"""What is attached is saved and loaded: by Keras, by KerasHub, and as an adapter file."""

import importlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest
import torch

from compacter_cli import METHODS, CompacterError, Predictor, UsageError, attach, load_backbone
from compacter_cli.adapters.adapted import AdaptedT5Backbone, AdaptedT5Seq2SeqLM
from compacter_cli.t5.placement import backbone_weights
from compacter_cli.t5.random_backbone import tiny_backbone as smoke_backbone
from compacter_cli.t5.random_backbone import tiny_vocabulary

ROOT = Path(__file__).parents[2]
SLOW = pytest.mark.slow
# KerasHub's tokenizer leaves its file for the collector to close.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed file .*vocabulary.spm:ResourceWarning",
    "ignore:.*vocabulary.spm:pytest.PytestUnraisableExceptionWarning",
)


def settings(name):
    few = {"bottleneck": 8} if "bottleneck" in METHODS[name].model_fields else {}
    return METHODS[name](**few, **({"dropped_blocks": 0} if name == "adapterdrop" else {}))


def moved(attached, seed=0):
    """What is attached, every trained weight at a place of its own."""
    generator = np.random.default_rng(seed)
    for _, variable in sorted(attached.trained.items()):
        change = 0.3 * generator.standard_normal(tuple(variable.shape))
        variable.assign(variable.numpy().astype("float32") + change)
    return attached


def lm_on(backbone):
    tokenizer = keras_hub.models.T5Tokenizer(tiny_vocabulary().proto)
    preprocessor = keras_hub.models.T5Seq2SeqLMPreprocessor(
        tokenizer, encoder_sequence_length=12, decoder_sequence_length=6
    )
    return keras_hub.models.T5Seq2SeqLM(backbone, preprocessor)


def state_of(lm):
    """Every weight by structural name: its value, and whether it trains."""
    attached = lm.backbone.attached
    named = {**backbone_weights(lm.backbone), **attached.trained}
    return {name: (v.trainable, v.dtype, v.numpy().tobytes()) for name, v in named.items()}


def reloaded(lm, way, folder, **options):
    if way == "keras":
        lm.save(folder / "lm.keras")
        # KerasHub's models are compiled anew after loading, whatever is attached.
        return keras.saving.load_model(folder / "lm.keras", compile=False)
    lm.save_to_preset(str(folder / "preset"))
    return keras_hub.models.T5Seq2SeqLM.from_preset(str(folder / "preset"), **options)


def assert_same(found, lm, batch):
    assert state_of(found) == state_of(lm)
    assert found.backbone.attached.method == lm.backbone.attached.method
    assert len(found.weights) == len(lm.weights)
    with torch.no_grad():
        assert torch.equal(found(batch), lm(batch))


@pytest.mark.parametrize("way", ["keras", "preset"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("compacter", "v1_0"),
        ("lora", "gated"),
        ("ia3", "gated"),
        pytest.param("compacterpp", "gated", marks=SLOW),
        pytest.param("adapter", "v1_0", marks=SLOW),
        pytest.param("adapterdrop", "v1_0", marks=SLOW),
        pytest.param("pfeiffer", "gated", marks=SLOW),
        pytest.param("lowrank", "v1_0", marks=SLOW),
        pytest.param("phm", "gated", marks=SLOW),
        pytest.param("lphm", "gated", marks=SLOW),
        pytest.param("krona", "v1_0", marks=SLOW),
        pytest.param("bitfit", "v1_0", marks=SLOW),
        pytest.param("bitfit", "gated", marks=SLOW),
    ],
)
def test_what_was_trained_is_loaded_again(tiny_backbone, token_batch, tmp_path, name, kind, way):
    lm, batch = lm_on(tiny_backbone(kind, num_layers=1)), token_batch()
    moved(attach(lm.backbone, settings(name)))
    found = reloaded(lm, way, tmp_path)
    assert type(found) is keras_hub.models.T5Seq2SeqLM
    assert_same(found, lm, batch)


@pytest.mark.parametrize(
    ("policy", "dtype"),
    [("mixed_bfloat16", "float32"), pytest.param("bfloat16", "bfloat16", marks=SLOW)],
)
def test_a_dtype_policy_is_loaded_again(tiny_backbone, token_batch, tmp_path, policy, dtype):
    lm, batch = lm_on(tiny_backbone(num_layers=1, dtype=policy)), token_batch()
    attached = moved(attach(lm.backbone, settings("compacterpp")))
    assert attached.trained["rule.A"].dtype == "float32"
    for way, options in (("keras", {}), ("preset", {"dtype": policy})):
        found = reloaded(lm, way, tmp_path, **options)
        assert found.backbone.dtype_policy.name == policy
        assert found.backbone.token_embedding.embeddings.dtype == dtype
        assert_same(found, lm, batch)


def test_what_is_loaded_trains_on_and_is_detached_to_the_backbone_as_it_was(
    tiny_backbone, token_batch, tmp_path
):
    backbone, batch = tiny_backbone(num_layers=1), token_batch()
    before = {name: v.numpy() for name, v in backbone_weights(backbone).items()}
    lm = lm_on(backbone)
    attached = moved(attach(backbone, settings("compacterpp")))
    x = {key: value.numpy() for key, value in batch.items()}
    y = np.random.default_rng(0).integers(2, 64, (3, 6))
    found = reloaded(lm, "keras", tmp_path)
    for model in (lm, found):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-2), loss)
        keras.Model.fit(model, x, y, batch_size=3, verbose=0)
    again = found.backbone.attached.trained
    assert set(again) == set(attached.trained)
    for name, variable in attached.trained.items():
        np.testing.assert_allclose(again[name].numpy(), variable.numpy(), rtol=0, atol=1e-5)
    for name, variable in backbone_weights(found.backbone).items():
        assert (name in again) is not np.array_equal(variable.numpy(), before[name]), name
    found.backbone.attached.detach()
    assert type(found.backbone) is keras_hub.models.T5Backbone
    assert not hasattr(found.backbone, "attached")
    for name, variable in backbone_weights(found.backbone).items():
        assert np.array_equal(variable.numpy(), before[name]), name


def test_a_detached_model_is_saved_as_it_was_before(tiny_backbone, tmp_path):
    backbone = tiny_backbone(num_layers=1)
    attach(backbone, settings("lora")).detach()
    backbone.save_to_preset(str(tmp_path / "preset"))
    saved = json.loads((tmp_path / "preset" / "config.json").read_text(encoding="utf-8"))
    assert saved["class_name"] == "T5Backbone"
    assert "adapter" not in saved["config"]


def test_the_config_of_a_saved_model_says_the_method_alone(tiny_backbone):
    backbone = tiny_backbone(num_layers=1)
    plain = backbone.get_config()
    attach(backbone, METHODS["compacterpp"](bottleneck=8, n=2))
    config = backbone.get_config()
    assert config.pop("adapter") == METHODS["compacterpp"](bottleneck=8, n=2).settings()
    assert config == plain
    config["adapter"] = {"name": "compacterpp", "bottleneck": 8, "m": 2}
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        AdaptedT5Backbone.from_config(config)


ELSEWHERE = """
import json, sys
from compacter_cli import attach  # Keras finds the classes of what was attached
import keras, keras_hub, numpy as np
saved, preset, batch, out = sys.argv[1:]
batch = dict(np.load(batch))
models = keras.saving.load_model(saved), keras_hub.models.T5Seq2SeqLM.from_preset(preset)
np.savez(out, *(keras.ops.convert_to_numpy(model(batch)) for model in models))
print(keras.config.backend())
"""


@pytest.mark.parametrize("kind", [AdaptedT5Backbone, AdaptedT5Seq2SeqLM])
def test_where_its_class_is_not_known_keras_names_what_to_import(kind):
    name = keras.saving.get_registered_name(kind)
    module, _, public = name.partition(">")[0].rpartition(".")
    assert getattr(importlib.import_module(module), public) is attach


@pytest.mark.slow
def test_another_process_loads_it_by_the_public_name_alone(tiny_backbone, token_batch, tmp_path):
    lm, batch = lm_on(tiny_backbone(num_layers=1)), token_batch()
    moved(attach(lm.backbone, settings("compacter")))
    lm.save(tmp_path / "lm.keras")
    lm.save_to_preset(str(tmp_path / "preset"))
    np.savez(tmp_path / "batch.npz", **{name: value.numpy() for name, value in batch.items()})
    files = [str(tmp_path / name) for name in ("lm.keras", "preset", "batch.npz", "out.npz")]
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *files], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["torch"]
    with torch.no_grad():
        wanted = lm(batch).numpy()
    for found in np.load(tmp_path / "out.npz").values():
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def python_of(page):
    """The Python of a page of the docs, all of it, as one script."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


@pytest.mark.slow
def test_the_page_of_the_docs_runs_from_fit_to_what_is_loaded_again(tmp_path):
    try:
        importlib.metadata.version("tensorflow")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("KerasHub's fit() needs TensorFlow, which is not installed")
    (tmp_path / "path" / "to").mkdir(parents=True)
    (tmp_path / "path" / "to" / "preset").symlink_to(ROOT / "compacter_cli/presets/demo_t5")
    code = python_of("keras.md")
    code += "\nprint(len(lm.backbone.attached.trained), keras.config.backend())\n"
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "54 torch"
    attach(load_backbone(str(tmp_path / "path/to/preset")).keras, tmp_path / "my_adapter")


# An adapter's file


TEXTS = ["sentence: zinc iron copper", "sentence: zinc apple iron", "sentence: peach"]


@pytest.fixture
def trained():
    """An adapter on random/tiny, every weight moved."""
    return moved(attach(smoke_backbone(), settings("compacterpp")))


def test_a_saved_adapter_is_that_of_predictor_evaluate_and_attach(trained, token_batch, tmp_path):
    labels = {"data.labels": ["0", "1"], "data.source": "sentence: {words}"}
    trained.save(tmp_path / "mine", "random/tiny", labels)
    lm, batch = lm_on(trained.backbone), token_batch(vocabulary=100)
    predictor = Predictor(load_backbone("random/tiny"), tmp_path / "mine")
    with torch.no_grad():
        wanted = lm(batch)[batch["decoder_padding_mask"].bool()]
        found = predictor.model(batch)[batch["decoder_padding_mask"].bool()]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * wanted.abs().max().item())
    assert predictor.probabilities(TEXTS)[0].keys() == {"0", "1"}
    assert predictor.sources([{"words": "zinc"}]) == ["sentence: zinc"]

    again = attach(smoke_backbone(), tmp_path / "mine")
    assert again.method == trained.method
    for name, variable in trained.trained.items():
        assert np.array_equal(again.trained[name].numpy(), variable.numpy()), name
    again.save(tmp_path / "again")  # where its backbone is, the file said
    first, second = (tmp_path / n / "adapter.safetensors" for n in ("mine", "again"))
    assert first.read_bytes() == second.read_bytes()


def test_an_adapter_of_a_published_task_is_scored(trained, tmp_path):
    from compacter_cli import evaluate

    trained.save(tmp_path / "mine", "random/tiny", {"task": "demo/smoke", "data.seed": 7})
    scored = evaluate(tmp_path / "mine", device="cpu")
    assert (scored["task"], scored["count"]) == ("demo/smoke", 100)


def test_texts_answer_texts_where_no_task_is_named(trained, tmp_path):
    trained.save(tmp_path / "mine", "random/tiny")
    predictor = Predictor(load_backbone("random/tiny"), tmp_path / "mine")
    assert predictor.probabilities(TEXTS) == [None] * 3
    assert predictor.sources([{"source": TEXTS[0]}]) == [TEXTS[0]]


def test_a_saved_adapter_is_loaded_into_what_is_attached(trained, tmp_path):
    trained.save(tmp_path / "mine", "random/tiny")
    other = moved(attach(smoke_backbone(), settings("compacterpp"), seed=3), seed=1)
    other.load(tmp_path / "mine")
    for name, variable in trained.trained.items():
        assert np.array_equal(other.trained[name].numpy(), variable.numpy()), name


def test_an_adapter_of_other_settings_is_not_loaded(trained, tmp_path):
    trained.save(tmp_path / "mine", "random/tiny")
    other = attach(smoke_backbone(), METHODS["compacterpp"](bottleneck=16))
    before = {name: v.numpy() for name, v in other.trained.items()}
    with pytest.raises(CompacterError, match="other settings than what is attached"):
        other.load(tmp_path / "mine")
    assert all(np.array_equal(before[name], v.numpy()) for name, v in other.trained.items())


def test_what_was_detached_is_neither_saved_nor_loaded(trained, tmp_path):
    trained.save(tmp_path / "mine", "random/tiny")
    trained.detach()
    with pytest.raises(UsageError, match="nothing is attached any more"):
        trained.save(tmp_path / "mine", "random/tiny")
    with pytest.raises(UsageError, match="nothing is attached any more"):
        trained.load(tmp_path / "mine")


def test_nothing_but_an_adapter_is_replaced_and_that_only_when_it_is_said(trained, tmp_path):
    trained.save(tmp_path / "mine", "random/tiny")
    with pytest.raises(UsageError, match="holds an adapter already"):
        trained.save(tmp_path / "mine", "random/tiny")
    moved(trained, seed=5).save(tmp_path / "mine", "random/tiny", overwrite=True)
    other = attach(smoke_backbone(), tmp_path / "mine")
    for name, variable in trained.trained.items():
        assert np.array_equal(other.trained[name].numpy(), variable.numpy()), name
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for place in (tmp_path / "mine", tmp_path, tmp_path / "mine" / "notes.txt"):
        with pytest.raises(UsageError, match="never overwritten"):
            trained.save(place, "random/tiny", overwrite=True)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_a_saved_adapter_is_not_attached_to_what_has_one(trained, tmp_path):
    trained.save(tmp_path / "mine", "random/tiny")
    with pytest.raises(UsageError, match="already has an adapter"):
        attach(trained.backbone, tmp_path / "mine")


def test_a_task_of_one_s_own_may_be_named_without_its_rows(trained, tmp_path):
    trained.save(tmp_path / "mine", "random/tiny", {"task": "jsonl", "data.target": "{words}"})
    predictor = Predictor(load_backbone("random/tiny"), tmp_path / "mine")
    assert predictor.sources([{"source": TEXTS[0]}]) == [TEXTS[0]]


def test_what_is_attached_is_shown_in_a_line(trained):
    size = sum(variable.numpy().size for variable in trained.trained.values())
    assert repr(trained) == f"<Compacter++, {size:,} trained parameters>"


def test_an_adapter_s_preset_must_be_named_and_be_its_own(tiny_backbone, trained, tmp_path):
    with pytest.raises(UsageError, match="says where its backbone is"):
        trained.save(tmp_path / "mine")
    other = attach(tiny_backbone(num_layers=1), settings("compacterpp"))
    with pytest.raises(CompacterError, match="random/tiny is not the backbone"):
        other.save(tmp_path / "mine", "random/tiny")
    name, variable = next(iter(trained.trained.items()))
    variable.assign(variable.numpy() * np.nan)
    with pytest.raises(CompacterError, match=f"{name} holds NaN"):
        trained.save(tmp_path / "mine", "random/tiny")
    assert not (tmp_path / "mine").exists()


def test_a_rounded_backbone_saves_an_adapter_of_its_preset(trained, tmp_path):
    tiny = smoke_backbone()
    weights = {name: variable.numpy() for name, variable in backbone_weights(tiny).items()}
    rounded = keras_hub.models.T5Backbone.from_config({**tiny.get_config(), "dtype": "bfloat16"})
    for name, variable in backbone_weights(rounded).items():
        variable.assign(weights[name])
    moved(attach(rounded, settings("compacterpp"))).save(tmp_path / "mine", "random/tiny")
    attach(tiny, tmp_path / "mine")
    rounded.attached.detach()
    with pytest.raises(CompacterError, match="another backbone") as caught:
        attach(rounded, tmp_path / "mine")
    assert "mixed_bfloat16" in caught.value.hint
