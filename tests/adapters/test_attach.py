"""`attach`: KerasHub's own T5 with a method's layers is `T5Model` with the same layers."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
import warnings

import keras
import keras_hub
import numpy as np
import pytest
import torch

from compacter_cli.adapters.adapter_file import load_adapter, save_adapter
from compacter_cli.adapters.attach import attach
from compacter_cli.adapters.predictor import Predictor
from compacter_cli.errors import CompacterError, RecipeError, UsageError
from compacter_cli.methods import METHODS
from compacter_cli.t5.loading import load_backbone
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import AdaptedProjection, backbone_weights
from compacter_cli.t5.random_backbone import tiny_backbone as smoke_backbone

SLOW = pytest.mark.slow
ADAPTERS = ["adapter", "compacter", pytest.param("compacterpp", marks=SLOW), "lora", "ia3"]
ADAPTERS += [pytest.param(name, marks=SLOW) for name in ("lphm", "krona", "bitfit")]
EVERYWHERE = ["query", "key", "value", "output", "feed_forward.input", "feed_forward.output"]


_MADE = {}


@pytest.fixture
def untouched(tiny_backbone):
    """A backbone of the same values to which nothing is attached; one of each kind for all."""

    def get(kind="v1_0"):
        if kind not in _MADE:
            _MADE[kind] = tiny_backbone(kind, num_layers=1)
        return _MADE[kind]

    return get


def settings(name):
    return METHODS[name](
        **({"bottleneck": 8} if "bottleneck" in METHODS[name].model_fields else {})
    )


def lm_on(backbone):
    return keras_hub.models.T5Seq2SeqLM(backbone, preprocessor=None)


def values_for(trained, seed=0):
    """A value for every trained weight, of a size at which every added layer matters."""
    generator = np.random.default_rng(seed)
    return {
        name: (1 if name.endswith("layer_norm") else 0)
        + 0.3 * generator.standard_normal(tuple(trained[name].shape)).astype("float32")
        for name in sorted(trained)
    }


def real(logits, batch):
    """Logits of the real target tokens: what stands under the padding means nothing."""
    return logits[batch["decoder_padding_mask"].bool()]


def assign(attached, values):
    for name, value in values.items():
        attached.trained[name].assign(value)


def assert_near(found, wanted, share=1e-5, least=0.0):
    """Within `share` of the largest wanted value, or `least`."""
    atol = max(least, share * wanted.abs().max().item())
    torch.testing.assert_close(found, wanted, rtol=0, atol=atol)


def snapshot(backbone):
    return {name: v.numpy().copy() for name, v in backbone_weights(backbone).items()}


@pytest.mark.parametrize(
    ("kind", "order"),
    [("v1_0", "lm first"), ("v1_0", "attach first"), ("gated", "lm first")],
)
@pytest.mark.parametrize("name", ADAPTERS)
def test_logits_and_gradients_are_those_of_the_model(
    tiny_backbone, untouched, token_batch, name, kind, order
):
    backbone, batch = tiny_backbone(kind, num_layers=1), token_batch()
    if order == "lm first":
        lm = lm_on(backbone)
        attached = attach(backbone, settings(name))
    else:
        attached = attach(backbone, settings(name))
        lm = lm_on(backbone)
    model = T5Model(untouched(kind), settings(name))
    assert set(attached.trained) == set(model.trained)
    values = values_for(attached.trained)
    assign(attached, values)
    model.assign(values)
    logits, wanted = real(lm(batch), batch), real(model(batch), batch)
    assert_near(logits, wanted)

    pull = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1))
    (logits * pull).sum().backward()
    (wanted * pull).sum().backward()
    for weight, tensor in model.trained_tensors().items():
        assert tensor.grad.abs().max() > 0, weight
        # Softmax does not feel a bias behind the keys: its gradient is rounding.
        assert_near(attached.trained[weight].value.grad, tensor.grad, 1e-4, least=1e-5)
    trained = {id(variable) for variable in attached.trained.values()}
    assert {id(variable) for variable in lm.trainable_variables} == trained
    for weight, variable in backbone_weights(backbone).items():
        assert (variable.value.grad is None) == (weight not in model.trained), weight


@pytest.mark.parametrize("kind", ["v1_0", "gated"])
@pytest.mark.parametrize("name", ["lora", "krona"])
def test_a_delta_stands_before_the_activation_of_its_projection(
    tiny_backbone, untouched, token_batch, name, kind
):
    gate = ["feed_forward.gate"] if kind == "gated" else []
    method = METHODS[name](projections=[*EVERYWHERE, *gate])
    backbone, batch = tiny_backbone(kind, num_layers=1), token_batch()
    attached, model = attach(backbone, method), T5Model(untouched(kind), method)
    values = values_for(attached.trained)
    assign(attached, values)
    model.assign(values)
    assert_near(real(lm_on(backbone)(batch), batch), real(model(batch), batch), 3e-5)


def test_untrained_layers_follow_the_seed_as_the_model_s_do(tiny_backbone):
    backbone = tiny_backbone(num_layers=1)
    attached = attach(backbone, settings("compacter"), seed=5)
    attached.detach()
    model = T5Model(backbone, settings("compacter"), seed=5)
    for name, variable in attached.trained.items():
        assert np.array_equal(variable.numpy(), model.named_weights[name].numpy()), name


@pytest.mark.parametrize("name", ADAPTERS)
def test_detach_gives_the_backbone_back(tiny_backbone, token_batch, name):
    backbone, batch = tiny_backbone(num_layers=1), token_batch()
    lm = lm_on(backbone)
    with torch.no_grad():
        before = lm(batch)
        weights, paths = snapshot(backbone), [variable.path for variable in backbone.weights]
        attached = attach(backbone, settings(name))
        assert len(lm.weights) > len(paths)
        assign(attached, values_for(attached.trained))
        assert not torch.allclose(lm(batch), before, atol=1e-2)
        attached.detach()
        assert torch.equal(lm(batch), before)
    assert sorted(v.path for v in backbone.weights) == sorted(paths)
    assert len(lm.trainable_variables) == len(lm.weights) == len(paths)
    assert all(variable.value.requires_grad for variable in lm.weights)
    for weight, value in snapshot(backbone).items():
        assert np.array_equal(value, weights[weight]), weight
    assert not any(isinstance(layer, AdaptedProjection) for layer in backbone._flatten_layers())


def test_detaching_twice_leaves_what_was_attached_since(tiny_backbone):
    backbone = tiny_backbone(num_layers=1)
    first = attach(backbone, settings("compacterpp"))
    first.detach()
    second = attach(backbone, settings("lora"))
    trainable = {id(variable) for variable in backbone.trainable_variables}
    first.detach()
    assert {id(variable) for variable in backbone.trainable_variables} == trainable
    assert sum(isinstance(x, AdaptedProjection) for x in backbone._flatten_layers()) == 6
    second.detach()


def test_another_method_can_be_attached_after_detaching(tiny_backbone, untouched, token_batch):
    backbone, batch = tiny_backbone(num_layers=1), token_batch()
    lm = lm_on(backbone)
    attach(backbone, settings("adapter")).detach()
    attached = attach(backbone, settings("compacterpp"))
    values = values_for(attached.trained)
    assign(attached, values)
    model = T5Model(untouched(), settings("compacterpp"))
    model.assign(values)
    with torch.no_grad():
        assert_near(real(lm(batch), batch), real(model(batch), batch))


@pytest.mark.parametrize(
    ("first", "second"),
    [("compacter", "compacter"), ("compacter", "compacterpp"), ("compacterpp", "compacter")],
)
def test_a_second_adapter_is_refused_and_changes_nothing(tiny_backbone, first, second):
    backbone = tiny_backbone(num_layers=1)
    attached = attach(backbone, settings(first))
    weights, trainable = len(backbone.weights), len(backbone.trainable_variables)
    with pytest.raises(UsageError, match="already has an adapter") as caught:
        attach(backbone, settings(second))
    assert "lm.backbone.attached.detach()" in caught.value.hint
    assert len(backbone.weights) == weights
    assert len(backbone.trainable_variables) == trainable
    attached.detach()
    assert not any(isinstance(layer, AdaptedProjection) for layer in backbone._flatten_layers())


def test_full_fine_tuning_is_refused_and_changes_nothing(tiny_backbone):
    backbone = tiny_backbone(num_layers=1)
    with pytest.raises(UsageError, match="full adds nothing that could be attached") as caught:
        attach(backbone, settings("full"))
    assert "fit() of the model as it is" in caught.value.hint
    assert len(backbone.trainable_variables) == len(backbone.weights)


@pytest.mark.parametrize(
    ("method", "why"),
    [
        (METHODS["prompt_r"](length=3), "a prompt stands before every source"),
        (METHODS["said"](intrinsic_dim=300), "makes all weights anew"),
        (METHODS["bitfit"](final_norms=True), "the last norm of a stack"),
        (METHODS["adapter"](placement="parallel"), "fed what no projection gives out"),
        (METHODS["adapter"](placement="after_residual"), "behind the sum with its residual"),
    ],
)
def test_what_has_no_place_there_is_refused_and_changes_nothing(tiny_backbone, method, why):
    backbone = tiny_backbone(num_layers=1)
    with pytest.raises(UsageError, match=f"{method.name} has no place .*: .*{why}") as caught:
        attach(backbone, method)
    assert "a Predictor answers with it" in caught.value.hint
    assert len(backbone.trainable_variables) == len(backbone.weights)


def test_sizes_that_do_not_fit_are_refused_and_change_nothing(tiny_backbone):
    backbone = tiny_backbone(num_layers=1)
    with pytest.raises(RecipeError, match=r"n must divide .*n can be 1"):
        attach(backbone, METHODS["compacter"](bottleneck=9, n=3))
    assert len(backbone.trainable_variables) == len(backbone.weights)


def test_a_backbone_that_was_frozen_before_trains_what_is_attached(tiny_backbone, tmp_path):
    backbone = tiny_backbone(num_layers=1)
    backbone.trainable = False
    attached = attach(backbone, settings("compacterpp"))
    trained = {id(variable) for variable in attached.trained.values()}
    assert {id(variable) for variable in backbone.trainable_variables} == trained
    lm_on(backbone).save(tmp_path / "lm.keras")
    loaded = keras.saving.load_model(tmp_path / "lm.keras", compile=False).backbone
    assert len(loaded.trainable_variables) == len(attached.trained)


def test_float16_is_refused_as_in_a_recipe(tiny_backbone):
    backbone = tiny_backbone(num_layers=1, dtype="mixed_float16")
    with pytest.raises(UsageError, match="float16 is refused: T5's activations overflow") as caught:
        attach(backbone, settings("lora"))
    assert "mixed_bfloat16" in caught.value.hint


def test_keras_own_lora_is_refused_and_nothing_changed(tiny_backbone):
    backbone = tiny_backbone(num_layers=1)
    backbone.enable_lora(2, target_layer_names=["query_projector"])
    trainable = len(backbone.trainable_variables)
    with pytest.raises(UsageError, match="Keras' own LoRA is enabled in the backbone") as caught:
        attach(backbone, settings("compacterpp"))
    assert 'METHODS["lora"]()' in caught.value.hint
    assert len(backbone.trainable_variables) == trainable


def test_a_quantized_model_keeps_what_is_attached_and_is_not_saved(
    tiny_backbone, token_batch, tmp_path
):
    backbone, batch = tiny_backbone(num_layers=1), token_batch()
    attached = attach(backbone, METHODS["lora"](projections=["query", "feed_forward.input"]))
    assign(attached, values_for(attached.trained))
    lm = lm_on(backbone)
    with torch.no_grad():
        before = real(lm(batch), batch)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the layers that Keras cannot quantize
            lm.quantize("int8")
            assert_near(real(lm(batch), batch), before, 0.1)
    with pytest.raises(UsageError, match="the backbone is quantized") as caught:
        attached.detach()
    assert "before quantize()" in caught.value.hint
    with pytest.raises(UsageError, match="could not be loaded again"):
        lm.save_to_preset(str(tmp_path / "preset"))
    assert not list(tmp_path.rglob("*.json"))


# A saved adapter


def smoke_batch(token_batch):
    return token_batch(vocabulary=100)


def test_a_saved_adapter_gives_the_predictor_s_logits(smoke_run, token_batch):
    predictor = Predictor(load_backbone("random/tiny"), smoke_run / "best")
    backbone, batch = smoke_backbone(), smoke_batch(token_batch)
    lm = lm_on(backbone)
    with torch.no_grad():
        plain = lm(batch)
        attached = attach(backbone, smoke_run / "best")
        found = lm(batch)
        assert_near(real(found, batch), real(predictor.model(batch), batch))
        assert (found - plain).abs().max() > 0.05 * plain.abs().max()
    for name, tensor in predictor.model.trained_tensors().items():
        assert torch.equal(attached.trained[name].value, tensor), name


def test_a_saved_adapter_can_be_given_as_a_string(smoke_run):
    attached = attach(smoke_backbone(), str(smoke_run / "best"))
    assert "rule.A" in attached.trained


@pytest.mark.parametrize("other", ["values", "dimensions"])
def test_a_saved_adapter_is_refused_by_another_backbone(smoke_run, tiny_backbone, other):
    if other == "values":
        backbone = smoke_backbone()
        embedding = backbone.token_embedding.embeddings
        embedding.assign(embedding.numpy() * 1.001)
    else:
        backbone = tiny_backbone(num_layers=1)
    before = len(backbone.weights)
    with pytest.raises(CompacterError, match="was trained on another backbone: fingerprint") as e:
        attach(backbone, smoke_run / "best")
    assert e.value.hint == "load it onto random/tiny"
    assert len(backbone.weights) == len(backbone.trainable_variables) == before


@pytest.mark.parametrize("changes", [{"n": 2}, {"rank": 2}, {"name": "compacter"}, {"nn": 4}])
def test_a_manifest_that_does_not_describe_the_adapter_is_refused(smoke_run, tmp_path, changes):
    shutil.copytree(smoke_run / "best", tmp_path / "best")
    path = tmp_path / "best" / "adapter.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["recipe"]["method"] |= changes
    del manifest["manifest_sha256"]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(CompacterError, match="the manifest does not describe this adapter"):
        Predictor(load_backbone("random/tiny"), tmp_path / "best")
    backbone = smoke_backbone()
    before = len(backbone.weights)
    with pytest.raises(CompacterError):
        attach(backbone, tmp_path / "best")
    assert len(backbone.weights) == len(backbone.trainable_variables) == before


def test_a_directory_without_an_adapter_is_refused(tiny_backbone, tmp_path):
    with pytest.raises(CompacterError, match="no adapter in"):
        attach(tiny_backbone(num_layers=1), tmp_path)


# KerasHub's own training and generation


@pytest.mark.parametrize("name", ADAPTERS)
def test_one_step_of_fit_changes_exactly_what_trains(tiny_backbone, token_batch, name):
    backbone, batch = tiny_backbone(num_layers=1), token_batch()
    attached = attach(backbone, settings(name))
    assign(attached, values_for(attached.trained))
    lm = lm_on(backbone)
    lm.compile(
        optimizer=keras.optimizers.Adam(1e-2),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    trained = {id(variable) for variable in attached.trained.values()}
    before = {id(variable): variable.numpy().copy() for variable in lm.weights}
    x = {key: value.numpy() for key, value in batch.items()}
    y = np.random.default_rng(0).integers(2, 64, (3, 6))
    # KerasHub's own fit() batches arrays with TensorFlow, which is hidden here, then calls this.
    keras.Model.fit(lm, x, y, sample_weight=x["decoder_padding_mask"], batch_size=3, verbose=0)
    changed = {
        id(variable)
        for variable in lm.weights
        if not np.array_equal(variable.numpy(), before[id(variable)])
    }
    assert changed == trained
    added = attached.trained.keys() - backbone_weights(backbone).keys()
    assert len(before) == len(backbone_weights(backbone)) + len(added)


WITH_TENSORFLOW = """
import os
os.environ.update(KERAS_BACKEND="torch", TF_CPP_MIN_LOG_LEVEL="3")
from compacter_cli.t5.runtime import start_keras
keras = start_keras()
import keras_hub, numpy as np
from compacter_cli.adapters.attach import attach
from compacter_cli.methods import METHODS
from compacter_cli.t5.random_backbone import tiny_backbone

backbone = tiny_backbone()
attached = attach(backbone, METHODS["compacterpp"](bottleneck=8))
lm = keras_hub.models.T5Seq2SeqLM(backbone, preprocessor=None)
lm.compile(optimizer=keras.optimizers.Adam(1e-2),
           loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
draw = np.random.default_rng(0).integers
x = {f"{side}_token_ids": draw(2, 100, (8, 5)) for side in ("encoder", "decoder")}
x |= {f"{side}_padding_mask": np.ones((8, 5), "int32") for side in ("encoder", "decoder")}
before = [variable.numpy().copy() for variable in lm.weights]
history = lm.fit(x, draw(2, 100, (8, 5)), batch_size=4, epochs=8, verbose=0).history["loss"]
trained = {id(variable) for variable in attached.trained.values()}
for variable, old in zip(lm.weights, before):
    assert np.array_equal(variable.numpy(), old) == (id(variable) not in trained), variable.path
assert history[-1] < history[0], history
print("fitted")
"""


@pytest.mark.slow
def test_kerashub_s_own_fit_trains_an_attached_adapter():
    try:
        importlib.metadata.version("tensorflow")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("KerasHub's fit() needs TensorFlow, which is not installed")
    done = subprocess.run(
        [sys.executable, "-c", WITH_TENSORFLOW],
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "fitted"


@pytest.mark.parametrize("name", ["compacter", pytest.param("bitfit", marks=SLOW)])
def test_generate_writes_what_greedy_writes(tiny_backbone, untouched, token_batch, name):
    backbone, batch = tiny_backbone("gated", num_layers=1), token_batch(rows=4)
    method = settings(name)
    model = T5Model(untouched("gated"), method)
    attached = attach(backbone, method)
    values = values_for(attached.trained)
    assign(attached, values)
    model.assign(values)
    steps, mask = 7, batch["encoder_padding_mask"]
    greedy = model.greedy(batch["encoder_token_ids"], mask.bool(), steps)
    assert len({tuple(row) for row in greedy.tolist()}) > 1

    lm = lm_on(backbone)
    lm.compile(sampler="greedy")
    prompt = np.zeros((4, steps + 1), "int32")  # the pad token starts the decoder
    given = np.zeros((4, steps + 1), "int32")
    given[:, 0] = 1
    written = lm.generate(
        {
            "encoder_token_ids": batch["encoder_token_ids"].numpy(),
            "encoder_padding_mask": mask.numpy(),
            "decoder_token_ids": prompt,
            "decoder_padding_mask": given,
        },
        stop_token_ids=[1],
    )
    ids = np.asarray(written["decoder_token_ids"]) * np.asarray(written["decoder_padding_mask"])
    assert ids[:, 1 : 1 + greedy.shape[1]].tolist() == greedy.tolist()


# Hostile adapters


@pytest.fixture
def resigned(smoke_run, tmp_path):
    """Makes an adapter with other tensors, for which its manifest vouches."""

    def make(change):
        directory = shutil.copytree(smoke_run / "best", tmp_path / "resigned")
        tensors = load_adapter(directory).tensors
        change(tensors)
        manifest = json.loads((directory / "adapter.json").read_text(encoding="utf-8"))
        entries = {n: {"shape": list(t.shape), "dtype": "F32"} for n, t in tensors.items()}
        save_adapter(directory, tensors, {**manifest, "tensors": entries})
        return directory

    return make


def spoil(tensors):
    tensors["decoder.layer_norm"][0] = float("nan")


def reshape(tensors):
    tensors["rule.A"] = tensors["rule.A"].reshape(8, -1)


def rename(tensors):
    tensors["rule.B"] = tensors.pop("rule.A")


def enlarge(tensors):
    tensors["rule.A"] = torch.zeros(4, 4, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil, r"holds NaN or infinity in decoder\.layer_norm$"),
        (reshape, r"rule\.A has the shape \(8, 8\), expected \(4, 4, 4\)"),
        (rename, r"the weights are not this model's; first that differs: rule\.A"),
        (enlarge, r"its method trains [\d,]+ parameters, the file holds [\d,]+"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_resigned_adapter_is_refused_and_changes_nothing(resigned, change, message):
    directory, backbone = resigned(change), smoke_backbone()
    before = {name: v.numpy().copy() for name, v in backbone_weights(backbone).items()}
    for use in (
        lambda: attach(backbone, directory),
        lambda: Predictor(load_backbone("random/tiny"), directory),
    ):
        with pytest.raises(CompacterError, match=message) as caught:
            use()
        assert "\n" not in str(caught.value)
        assert "tensor(" not in str(caught.value)
    assert len(backbone.weights) == len(backbone.trainable_variables) == len(before)
    for name, variable in backbone_weights(backbone).items():
        assert np.array_equal(variable.numpy(), before[name]), name


def test_a_manifest_of_an_endless_method_is_refused_before_its_layers_are_made(
    smoke_run, tmp_path, monkeypatch
):
    directory = shutil.copytree(smoke_run / "best", tmp_path / "best")
    path = directory / "adapter.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for method in (manifest["method"], manifest["recipe"]["method"]):
        method["bottleneck"] = 4000
    del manifest["manifest_sha256"]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    backbone = load_backbone("random/tiny")
    for kind in METHODS.values():
        monkeypatch.setattr(kind, "build", lambda *_: pytest.fail("made the layers"))
    for use in (lambda: attach(backbone.keras, directory), lambda: Predictor(backbone, directory)):
        with pytest.raises(CompacterError, match=r"its method trains [\d,]+ parameters"):
            use()


def test_the_likeliest_slips_are_told(tiny_backbone):
    backbone = tiny_backbone(num_layers=1)
    lm = keras_hub.models.T5Seq2SeqLM(backbone)
    with pytest.raises(UsageError, match="expected a KerasHub T5Backbone, got T5Seq2SeqLM") as slip:
        attach(lm, METHODS["lora"]())
    assert slip.value.hint == "attach(lm.backbone, ...)"
    with pytest.raises(UsageError, match=r"got Backbone") as slip:
        attach(load_backbone("random/tiny"), METHODS["lora"]())
    assert slip.value.hint == "attach(backbone.keras, ...)"
    for given in ("lora", METHODS["lora"]):
        with pytest.raises(UsageError, match=r"expected settings of a method .*lora") as slip:
            attach(backbone, given)
        assert slip.value.hint == 'METHODS["lora"]()'
    with pytest.raises(UsageError, match=r"got None"):
        attach(backbone, None)
    assert slip.value.hint == 'METHODS["lora"]()'
