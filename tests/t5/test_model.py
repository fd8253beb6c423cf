"""`T5Model`: loss and gradients against KerasHub, precision, copies, greedy decoding."""

from dataclasses import replace

import keras_hub
import numpy as np
import pytest
import torch
from torch.nn import functional

from compacter_cli.adapters.attach import attach
from compacter_cli.methods import METHODS
from compacter_cli.t5.batch import collate
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import backbone_weights

KINDS = ["v1_0", "gated"]
END = 1


@pytest.fixture
def batch():
    """Three examples of different lengths, one target a lone end token."""
    generator = torch.Generator().manual_seed(3)

    def ids(length):
        return [*torch.randint(2, 64, (length,), generator=generator).tolist(), END]

    return collate([ids(11), ids(4), ids(7)], [ids(5), ids(0), ids(2)], "cpu")


def compacter(**changes):
    return METHODS["compacter"](**{"bottleneck": 8, **changes})


def randomised(model, scale=0.3, seed=0):
    """The model with trained weights of a size at which every added layer matters."""
    generator = np.random.default_rng(seed)
    model.assign(
        {
            name: tensor.detach().numpy() + scale * generator.standard_normal(tuple(tensor.shape))
            for name, tensor in model.trained_tensors().items()
        }
    )
    return model


def kerashub_loss(lm, batch):
    """The loss as its definition says: KerasHub's logits, ignore_index on the padding."""
    rows, length = batch.target_ids.shape
    inputs = torch.zeros(rows, length, dtype=torch.long)  # the pad token starts the decoder
    inputs[:, 1:] = batch.target_ids[:, :-1]
    seen = torch.ones(rows, length, dtype=torch.long)
    seen[:, 1:] = batch.target_mask[:, :-1]
    logits = lm(
        {
            "encoder_token_ids": batch.source_ids,
            "encoder_padding_mask": batch.source_mask.long(),
            "decoder_token_ids": inputs,
            "decoder_padding_mask": seen,
        }
    )
    targets = batch.target_ids.masked_fill(~batch.target_mask, -100)
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_is_the_token_mean_over_kerashubs_logits(shared_backbone, batch, kind):
    backbone = shared_backbone(kind)
    model = T5Model(backbone)
    lm = keras_hub.models.T5Seq2SeqLM(backbone, preprocessor=None)
    with torch.no_grad():
        assert model.loss_of(batch).item() == pytest.approx(
            kerashub_loss(lm, batch).item(), rel=1e-5
        )
        assert batch.target_tokens == 6 + 1 + 3
        summed = model.summed_loss(batch).item()
    assert summed == pytest.approx(10 * model.loss_of(batch).item(), rel=1e-6)


def test_padding_a_batch_further_does_not_change_its_loss(shared_backbone, batch):
    model = T5Model(shared_backbone())
    wider = replace(
        batch,
        source_ids=functional.pad(batch.source_ids, (0, 5)),
        source_mask=functional.pad(batch.source_mask, (0, 5)),
        target_ids=functional.pad(batch.target_ids, (0, 3)),
        target_mask=functional.pad(batch.target_mask, (0, 3)),
    )
    assert model.loss_of(wider).item() == pytest.approx(model.loss_of(batch).item(), rel=1e-5)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_full_gradients_are_kerashubs(tiny_backbone, batch, kind, in_place):
    model = T5Model(tiny_backbone(kind, num_layers=1), METHODS["full"](), in_place=in_place)
    model.loss_of(batch).backward()
    backbone = tiny_backbone(kind, num_layers=1)  # the same values
    kerashub_loss(keras_hub.models.T5Seq2SeqLM(backbone, preprocessor=None), batch).backward()
    wanted = backbone_weights(backbone)
    assert set(model.trained) == set(wanted)
    for name, tensor in model.trained_tensors().items():
        gradient = wanted[name].value.grad
        limit = 1e-4 * gradient.abs().max().item()
        assert limit > 0, name
        torch.testing.assert_close(tensor.grad, gradient, rtol=0, atol=limit, msg=name)


def test_frozen_weights_get_no_gradient(shared_backbone, batch):
    model = T5Model(shared_backbone(), compacter())
    model.loss_of(batch).backward()
    for name, variable in model.named_weights.items():
        assert (variable.value.grad is not None) == (name in model.trained), name


def test_loss_accumulates_to_the_mean_over_all_tokens(shared_backbone, batch):
    """Summed losses over two halves, divided by all tokens, are the whole batch's loss."""
    model = T5Model(shared_backbone())
    halves = [
        replace(batch, **{key: value[rows] for key, value in vars(batch).items()})
        for rows in (slice(0, 1), slice(1, 3))
    ]
    with torch.no_grad():
        summed = sum(model.summed_loss(half).item() for half in halves)
        assert summed / 10 == pytest.approx(model.loss_of(batch).item(), rel=1e-5)


def test_a_call_gives_the_forward_passs_logits(shared_backbone, token_batch):
    model, inputs = T5Model(shared_backbone()), token_batch()
    source_mask = inputs["encoder_padding_mask"].bool()
    with torch.no_grad():
        forward = model.forward_pass()
        states, source_mask = forward.encode(inputs["encoder_token_ids"], source_mask)
        hidden = forward.decode(
            inputs["decoder_token_ids"],
            inputs["decoder_padding_mask"].bool(),
            states,
            source_mask,
        )
        assert states.shape == (3, 12, 32)
        assert torch.equal(forward.logits(hidden), model(inputs))


# Precision


@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["compacter", "full"])
def test_bfloat16_is_near_float32_and_trains_in_float32(
    tiny_backbone, shared_backbone, token_batch, batch, name, stored
):
    method = compacter() if name == "compacter" else METHODS["full"]()
    exact_model = randomised(T5Model(shared_backbone(), method), scale=0.05)
    backbone = tiny_backbone(dtype=stored) if stored == "bfloat16" else shared_backbone()
    model = T5Model(backbone, method, compute_dtype="bfloat16")
    model.assign({name: value.detach() for name, value in exact_model.trained_tensors().items()})
    for weight, variable in model.named_weights.items():
        kept = weight in model.trained or weight.endswith("layer_norm")
        assert variable.dtype == ("float32" if kept else stored), weight
    with torch.no_grad():
        logits, wanted = model(token_batch()), exact_model(token_batch())
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - wanted).abs().max() < 0.05 * wanted.abs().max()

    loss = model.loss_of(batch)
    assert loss.dtype == torch.float32
    loss.backward()
    exact_model.loss_of(batch).backward()
    for weight, tensor in model.trained_tensors().items():
        gradient = exact_model.trained_tensors()[weight].grad
        assert tensor.grad.dtype == torch.float32
        assert (tensor.grad - gradient).norm() < 0.3 * gradient.norm() + 1e-6, weight


def test_a_bfloat16_backbone_is_computed_in_bfloat16_but_for_its_layer_norms(tiny_backbone):
    backbone = tiny_backbone(num_layers=1, dtype="bfloat16")
    for method in (None, compacter()):
        model = T5Model(backbone, method)
        for name, tensor in model.forward_pass().parts.weights.items():
            exact = name.endswith("layer_norm")
            assert tensor.dtype == (torch.float32 if exact else torch.bfloat16), name


def test_exact_values_replace_rounded_layer_norms(tiny_backbone):
    original = tiny_backbone(num_layers=1)
    exact = {
        name: variable.value.detach().clone()
        for name, variable in backbone_weights(original).items()
        if name.endswith("layer_norm")
    }
    rounded = tiny_backbone(num_layers=1, dtype="bfloat16")
    with_exact, without = T5Model(rounded, compacter(), exact=exact), T5Model(rounded, compacter())
    for name, values in exact.items():
        assert torch.equal(with_exact.named_weights[name].value, values)
        assert torch.equal(without.named_weights[name].value, values.bfloat16().float())
    assert any(not torch.equal(values, values.bfloat16().float()) for values in exact.values())


@pytest.mark.parametrize("dtype", ["float16", "mixed_float16"])
def test_float16_is_refused(tiny_backbone, shared_backbone, dtype):
    with pytest.raises(ValueError, match=r"float32 or bfloat16.*Received: float16"):
        T5Model(tiny_backbone(num_layers=1, dtype=dtype))
    with pytest.raises(ValueError, match="float32 or bfloat16"):
        T5Model(shared_backbone(), compute_dtype=dtype)


def test_an_unknown_execution_is_refused(shared_backbone):
    with pytest.raises(ValueError, match=r"auto or lean or fused or reference\. Received: fast"):
        T5Model(shared_backbone(), execution="fast")


# What trains, and where it is kept


def test_copies_leave_the_backbone_alone(shared_backbone):
    backbone = shared_backbone()
    before = [variable.numpy().copy() for variable in backbone.weights]
    model = randomised(T5Model(backbone, METHODS["full"]()))
    for variable, values in zip(backbone.weights, before, strict=True):
        assert np.array_equal(variable.numpy(), values)
        assert not variable.trainable
    own = {id(variable) for variable in backbone.weights}
    assert not own & {id(variable) for variable in model.trainable_variables}


def test_in_place_trains_the_backbone_itself(tiny_backbone):
    backbone = tiny_backbone(num_layers=1)
    model = T5Model(backbone, METHODS["full"](), in_place=True)
    weights = backbone_weights(backbone)
    assert {name: id(v) for name, v in model.named_weights.items()} == {
        name: id(variable) for name, variable in weights.items()
    }
    assert len(model.weights) == len(backbone.weights)


def test_in_place_still_copies_what_is_stored_in_bfloat16(tiny_backbone):
    backbone = tiny_backbone(num_layers=1, dtype="bfloat16")
    model = T5Model(backbone, METHODS["full"](), in_place=True)
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert not {id(v) for v in backbone.weights} & {id(v) for v in model.trainable_variables}


def test_a_plain_model_trains_nothing(shared_backbone):
    model = T5Model(shared_backbone())
    assert model.trained == ()
    assert model.trainable_variables == []
    assert set(model.named_weights) == set(backbone_weights(shared_backbone()))


def test_trained_tensors_are_the_live_ones(shared_backbone):
    model = T5Model(shared_backbone(), compacter())
    assert list(model.trained_tensors()) == list(model.trained)
    with torch.no_grad():
        model.trained_tensors()["rule.A"].fill_(2.0)
    assert (model.named_weights["rule.A"].numpy() == 2).all()


def test_assign_sets_exactly_the_trained_weights(shared_backbone):
    model = T5Model(shared_backbone(), compacter())
    values = {name: torch.full_like(v, 0.5) for name, v in model.trained_tensors().items()}
    model.assign(values)
    assert all((v == 0.5).all() for v in model.trained_tensors().values())


@pytest.mark.parametrize("odd", ["rule.A", "embedding"])
def test_assign_refuses_other_names_and_changes_nothing(shared_backbone, odd):
    model = T5Model(shared_backbone(), compacter())
    before = {name: tensor.detach().clone() for name, tensor in model.trained_tensors().items()}
    values = {name: tensor + 1 for name, tensor in before.items()}
    if odd in values:
        del values[odd]
    else:
        values[odd] = model.named_weights[odd].value
    with pytest.raises(ValueError, match=f"first that differs: {odd}"):
        model.assign(values)
    for name, tensor in model.trained_tensors().items():
        assert torch.equal(tensor, before[name])


def test_assign_refuses_another_shape(shared_backbone):
    model = T5Model(shared_backbone(), compacter())
    values = {name: tensor.detach() for name, tensor in model.trained_tensors().items()}
    with pytest.raises(ValueError, match="shape"):
        model.assign({**values, "rule.A": torch.zeros(3, 3, 3)})


def test_sizes_that_do_not_divide_are_an_error(shared_backbone):
    with pytest.raises(ValueError, match="divisible"):
        T5Model(shared_backbone(), compacter(n=3))


def test_an_attached_backbone_is_refused_until_it_is_detached(tiny_backbone):
    backbone = tiny_backbone(num_layers=1)
    attached = attach(backbone, compacter())
    with pytest.raises(ValueError, match="the method does not declare"):
        T5Model(backbone, compacter())
    attached.detach()
    assert len(T5Model(backbone, compacter()).trainable_variables) == 7 + 1 + 4 * 6


# Greedy decoding


def greedy_by_full_forwards(model, ids, mask, max_tokens):
    """Every step a whole forward over all tokens so far, row by row, without a cache."""
    rows = []
    for row in range(len(ids)):
        written = []
        while len(written) < max_tokens and END not in written:
            target = torch.tensor([[0, *written]])
            logits = model(
                {
                    "encoder_token_ids": ids[row : row + 1],
                    "encoder_padding_mask": mask[row : row + 1],
                    "decoder_token_ids": target,
                    "decoder_padding_mask": torch.ones_like(target),
                }
            )
            written.append(int(logits[0, -1].argmax()))
        rows.append(written)
    longest = max(map(len, rows))
    return [[*row, *[0] * (longest - len(row))] for row in rows]


@pytest.fixture
def sources(token_batch):
    inputs = token_batch(rows=4, source=12)
    return inputs["encoder_token_ids"], inputs["encoder_padding_mask"].bool()


def ending_model(tiny_backbone, sources, method=None):
    """A model that ends some rows early: the end token takes over another token's score."""
    backbone = tiny_backbone("gated")
    rows = T5Model(backbone).greedy(*sources, 8).tolist()
    # A token that some row writes, but not first, and that is not in every row.
    token = next(t for row in rows for t in row[1:] if any(t not in other for other in rows))
    head = backbone.token_embedding.reverse_embeddings
    values = head.numpy().copy()
    values[:, [END, token]] = values[:, [token, END]]
    head.assign(values)
    return T5Model(backbone, method)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_is_greedy_by_full_forwards(shared_backbone, sources, kind):
    model = randomised(T5Model(shared_backbone(kind), compacter()), scale=0.2)
    with torch.no_grad():
        found = model.greedy(*sources, 6).tolist()
        assert found == greedy_by_full_forwards(model, *sources, 6)
    assert len({tuple(row) for row in found}) > 1  # the rows do not all say the same


def test_greedy_pads_after_the_end_token_and_stops_when_all_have_ended(tiny_backbone, sources):
    model = ending_model(tiny_backbone, sources)
    with torch.no_grad():
        found = model.greedy(*sources, 8).tolist()
        assert found == greedy_by_full_forwards(model, *sources, 8)
    ended = [row for row in found if END in row]
    assert 0 < len(ended) < len(found)
    for row in ended:
        after = row[row.index(END) + 1 :]
        assert after == [0] * len(after)
        assert after  # so that the padding is seen

    number = found.index(ended[0])
    alone = model.greedy(sources[0][number : number + 1], sources[1][number : number + 1], 8)
    assert alone.tolist() == [ended[0][: ended[0].index(END) + 1]]


@pytest.mark.parametrize("max_tokens", [1, 3])
def test_greedy_writes_at_most_max_tokens(shared_backbone, sources, max_tokens):
    model = T5Model(shared_backbone())
    assert model.greedy(*sources, max_tokens).shape == (4, max_tokens)
    longer = model.greedy(*sources, max_tokens + 1)
    assert torch.equal(longer[:, :max_tokens], model.greedy(*sources, max_tokens))


def test_greedy_draws_no_dropout_and_keeps_no_graph(shared_backbone, sources):
    model = T5Model(shared_backbone(), compacter(), dropout=0.5)
    first = model.greedy(*sources, 5)
    assert torch.equal(first, model.greedy(*sources, 5))
    assert not first.requires_grad
