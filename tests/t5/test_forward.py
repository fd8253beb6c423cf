"""The torch forward against KerasHub's own call: logits, masks, dropout, the cache."""

import inspect

import keras
import keras_hub
import pytest
import torch

from compacter_cli.t5.dropout import Dropout
from compacter_cli.t5.model import T5Model

KINDS = ["v1_0", "gated"]
every_execution = pytest.mark.parametrize("execution", ["lean", "fused", "reference"])


def logits_of_both(backbone, batch, execution="reference"):
    """Our logits and KerasHub's of the real target tokens, (tokens, V)."""
    real = batch["decoder_padding_mask"].bool()
    with torch.no_grad():
        ours = T5Model(backbone, execution=execution)(batch)
        theirs = keras_hub.models.T5Seq2SeqLM(backbone, preprocessor=None)(batch)
    assert ours.shape == theirs.shape
    return ours[real], theirs[real]


def assert_near(found, wanted, share=1e-5):
    """Within `share` of the largest wanted value."""
    torch.testing.assert_close(found, wanted, rtol=0, atol=share * wanted.abs().max().item())


@every_execution
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_kerashubs(shared_backbone, token_batch, kind, padded, execution):
    batch = token_batch(padded=padded)
    ours, theirs = logits_of_both(shared_backbone(kind), batch, execution)
    assert ours.shape == (6 + 3 + 1 if padded else 3 * 6, 64)
    assert_near(ours, theirs)


def test_reference_logits_are_kerashubs_under_the_padding_too(shared_backbone, token_batch):
    backbone, batch = shared_backbone(), token_batch()
    with torch.no_grad():
        lm = keras_hub.models.T5Seq2SeqLM(backbone, preprocessor=None)
        assert_near(T5Model(backbone, execution="reference")(batch), lm(batch))


@every_execution
@pytest.mark.parametrize(
    "changes",
    [
        {"tie_embedding_weights": False},
        {"use_gated_activation": True, "activation": "gelu"},
        {"key_value_dim": 16},  # heads wider than k / H
        {"key_value_dim": None},
        {"num_heads": 1},
        {"layer_norm_epsilon": 0.5},
        {"activation": "silu"},
    ],
)
def test_logits_are_kerashubs_for_any_configuration(
    shared_backbone, token_batch, changes, execution
):
    backbone = shared_backbone("v1_0", **{"num_layers": 1, **changes})
    assert_near(*logits_of_both(backbone, token_batch(), execution))


@every_execution
def test_logits_are_kerashubs_beyond_the_last_relative_distance(
    shared_backbone, token_batch, execution
):
    batch = token_batch(rows=2, source=300, target=150)
    assert_near(*logits_of_both(shared_backbone("v1_0", num_layers=1), batch, execution))


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_under_the_padding_does_not_matter(shared_backbone, token_batch, kind):
    model = T5Model(shared_backbone(kind))
    batch = token_batch()
    changed = dict(batch)
    for side in ("encoder", "decoder"):
        mask = batch[f"{side}_padding_mask"]
        changed[f"{side}_token_ids"] = batch[f"{side}_token_ids"] * mask + 7 * (1 - mask)
    real = batch["decoder_padding_mask"].bool()
    assert not torch.equal(batch["encoder_token_ids"], changed["encoder_token_ids"])
    assert_near(model(changed)[real].detach(), model(batch)[real].detach(), 1e-6)


def test_a_row_alone_is_the_row_in_a_padded_batch(shared_backbone, token_batch):
    model, batch = T5Model(shared_backbone()), token_batch(rows=3, source=12, target=6)
    alone = {
        key: value[1:2, : 9 if key.startswith("encoder") else 3] for key, value in batch.items()
    }
    assert alone["encoder_padding_mask"].all()
    assert alone["decoder_padding_mask"].all()
    assert_near(model(alone)[0].detach(), model(batch)[1, :3].detach(), 1e-5)


def test_later_target_tokens_do_not_reach_earlier_logits(shared_backbone, token_batch):
    model, batch = T5Model(shared_backbone()), token_batch(padded=False)
    changed = {**batch, "decoder_token_ids": batch["decoder_token_ids"].clone()}
    changed["decoder_token_ids"][:, 4] = (changed["decoder_token_ids"][:, 4] + 5) % 64
    before, after = model(batch).detach(), model(changed).detach()
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


@every_execution
@pytest.mark.parametrize("steps", [1, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_decoding_step_by_step_is_decoding_at_once(
    shared_backbone, token_batch, kind, steps, execution
):
    batch = token_batch(padded=False, target=7)
    source = batch["encoder_token_ids"]
    source_mask = token_batch()["encoder_padding_mask"].bool()
    target = batch["decoder_token_ids"]
    with torch.no_grad():
        forward = T5Model(shared_backbone(kind), execution=execution).forward_pass()
        states, source_mask = forward.encode(source, source_mask)
        at_once = forward.decode(target, torch.ones_like(target).bool(), states, source_mask)
        cache = forward.start_cache(states, source_mask, steps)
        assert cache.length == 0
        for position in range(7):
            step = forward.step(target[:, position : position + 1], cache)
            assert cache.length == position + 1
            assert_near(step[:, 0], at_once[:, position])


@pytest.mark.parametrize("execution", ["lean", "reference"])  # fused: of its own tests
def test_dropout_falls_where_kerashub_has_it(tiny_backbone, token_batch, monkeypatch, execution):
    """With every dropout turned into a halving on both sides, the logits must still agree."""

    def halve(layer, inputs, training=False):
        return inputs * 0.5 if training else inputs

    def keep_all(dropout, site, count, device):
        return torch.full((-(-count // 8),), 255, dtype=torch.uint8)

    assert list(inspect.signature(halve).parameters)[1:] == ["inputs", "training"]
    monkeypatch.setattr(keras.layers.Dropout, "call", halve)
    monkeypatch.setattr(Dropout, "bits", keep_all)
    monkeypatch.setattr(Dropout, "scale", 0.5)
    for kind in KINDS:
        backbone, batch = tiny_backbone(kind, dropout=0.5, num_layers=1), token_batch()
        real = batch["decoder_padding_mask"].bool()
        model = T5Model(backbone, execution=execution)
        with torch.no_grad():
            lm = keras_hub.models.T5Seq2SeqLM(backbone, preprocessor=None)
            ours = model(batch, training=True)
            assert_near(ours[real], lm(batch, training=True)[real])
            assert not torch.allclose(ours, model(batch), atol=1e-3)


@every_execution
def test_dropout_is_drawn_in_training_only_and_at_the_given_rate(
    shared_backbone, token_batch, execution
):
    backbone, batch = shared_backbone(dropout=0.3, num_layers=1), token_batch()
    model = T5Model(backbone, execution=execution)
    plain = T5Model(backbone, dropout=0.0, execution=execution)
    with torch.no_grad():
        assert torch.equal(model(batch), plain(batch))
        assert torch.equal(plain(batch, training=True), plain(batch))
        assert not torch.equal(model(batch, training=True), model(batch, training=True))
    assert model.forward_pass(training=True).dropout.rate == 0.3
    assert T5Model(backbone, dropout=0.1).forward_pass(training=True).dropout.rate == 0.1
    assert plain.forward_pass(training=True).dropout is None
    assert model.forward_pass().dropout is None


@every_execution
def test_a_row_of_padding_alone_stays_finite(shared_backbone, token_batch, execution):
    batch = token_batch()
    batch["encoder_padding_mask"][2] = 0
    assert torch.isfinite(T5Model(shared_backbone(), execution=execution)(batch)).all()
