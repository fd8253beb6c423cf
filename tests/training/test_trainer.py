import functools
import math

import keras
import numpy as np
import pytest
import torch

from compacter_cli.data.dataset import Split, collated
from compacter_cli.errors import CompacterError, NotFiniteError
from compacter_cli.methods import METHODS
from compacter_cli.recipe.sections import TrainSection
from compacter_cli.t5.loading import load_backbone
from compacter_cli.training import checkpoints
from compacter_cli.training.loop import ShuffledBatches
from compacter_cli.training.processes import Processes
from compacter_cli.training.trainer import (
    Group,
    State,
    Trainer,
    Update,
    adamw,
    linear,
    rate_at,
)

SEEDS = (42, 7)
UPDATES, UNTIL = 5, 2  # of a whole run, and before its state is taken: in the first epoch
SMALL = {"bottleneck": 8, "intrinsic_dim": 500, "length": 5}  # where a method has such a setting
BEYOND = ("lora", "ia3", "lphm", "krona")  # kinds of change that others have, too
EVERY_METHOD = [(name, "adamw") for name in METHODS if name not in BEYOND]
EVERY_METHOD += [pytest.param(name, "adamw", marks=pytest.mark.slow) for name in BEYOND]
EVERY_METHOD += [("full", "adafactor")]
OPTIMIZERS = {
    "adamw": adamw,
    "adafactor": functools.partial(torch.optim.Adafactor, weight_decay=0.0),
}


@pytest.fixture(autouse=True)
def on_cpu(keras):
    with keras.device("cpu"):
        yield


@pytest.fixture(scope="module")
def shared(keras):
    """A backbone that tests share, for nothing here may change it."""
    with keras.device("cpu"):
        return load_backbone("random/tiny").keras


@pytest.fixture
def trainer_of(shared):
    """Makes a trainer of a method on a tiny model: always the same one."""
    from compacter_cli.t5.model import T5Model

    def make(method="compacterpp", optimizer="adamw", dropout=0.1, layers=None, seed=7, **more):
        small = {key: size for key, size in SMALL.items() if key in METHODS[method].model_fields}
        model = T5Model(layers or shared, METHODS[method](**small), seed=3, dropout=dropout)
        section = TrainSection(batch_size=4, accumulate=2)
        return Trainer(
            model,
            OPTIMIZERS[optimizer](model.trained_tensors().values()),
            linear(1e-2, 1, UPDATES),
            ShuffledBatches(split_of(20), section, SEEDS, "cpu"),  # three updates an epoch
            seed=seed,
            clip_norm=1.0,
            **more,
        )

    return make


def split_of(size, seed=0):
    """Random token ids; sources and targets of unequal lengths, end tokens included."""
    draw = np.random.default_rng(seed)
    sources = [[*draw.integers(3, 64, draw.integers(2, 9)).tolist(), 1] for _ in range(size)]
    targets = [[*draw.integers(3, 64, draw.integers(1, 5)).tolist(), 1] for _ in range(size)]
    return Split("train", sources, targets, [{"idx": i, "label": i % 2} for i in range(size)], 0)


def steps_of(trainer, count):
    return [trainer.step() for _ in range(count)]


def copied(state):
    return State(state.update, {name: tensor.clone() for name, tensor in state.tensors.items()})


def same(one, other):
    tensors, others = one.tensors, other.tensors
    return (
        one.update == other.update
        and tensors.keys() == others.keys()
        and all(torch.equal(tensors[name], others[name]) for name in tensors)
    )


def disturb():
    """Draw from every generator that a process has, from another seed."""
    keras.utils.set_random_seed(99)
    torch.randn(5)
    np.random.rand(5)


def losses_of(updates):
    return [(update.step, update.epoch, update.loss, update.gradient_norm) for update in updates]


# Memory.


class Scarce:
    """Passes of a trainer, some of which find no memory; what was kept may give it back."""

    def __init__(self, passes, kept, lacking=(2,)):
        self._passes, self._kept, self._lacking, self.count = passes, kept, lacking, 0

    def __getattr__(self, name):
        return getattr(self._passes, name)

    def run(self, *given):
        self.count += 1
        loss = self._passes.run(*given)
        if self.count in self._lacking:
            raise torch.OutOfMemoryError("out of memory, with a gradient half added")
        return loss

    def make_room(self):
        return self._kept


def test_an_update_that_finds_no_memory_is_taken_again_where_some_is_given_back(trainer_of):
    wanted, trainer = steps_of(trainer_of(), 3), trainer_of()
    trainer._passes = scarce = Scarce(trainer._passes, kept=True, lacking=(2, 4))
    assert losses_of(steps_of(trainer, 3)) == losses_of(wanted)
    assert scarce.count == 2 + 2 + 5  # of five batches, the first update's two twice more


def test_an_update_that_finds_no_memory_where_none_is_kept_fails(trainer_of):
    trainer = trainer_of()
    trainer._passes = Scarce(trainer._passes, kept=False)
    with pytest.raises(torch.OutOfMemoryError):
        trainer.step()
    assert trainer.update == 0


# Going on.


@pytest.mark.parametrize(("method", "optimizer"), EVERY_METHOD)
def test_a_new_trainer_goes_on_from_a_state_bit_for_bit(trainer_of, tmp_path, method, optimizer):
    first = trainer_of(method, optimizer)
    steps_of(first, UNTIL)
    state = copied(first.state())
    checkpoints.save(tmp_path, first.state(), {}, scored=False, then="")
    expected = steps_of(first, UPDATES - UNTIL)
    assert all(update.loss > 0 for update in expected)
    moved = first.state().tensors
    still = [key for key, tensor in state.tensors.items() if torch.equal(moved[key], tensor)]
    assert [key for key in still if key.startswith("weight/")] == []
    for start in (state, checkpoints.newest(tmp_path).checkpoint.state):
        disturb()
        again = trainer_of(method, optimizer)
        again.restore(start)
        found = steps_of(again, 1)
        disturb()
        found += steps_of(again, UPDATES - UNTIL - 1)
        assert losses_of(found) == losses_of(expected)
        assert same(again.state(), first.state())


def test_a_trainer_goes_back_to_an_earlier_state_of_its_own(trainer_of):
    trainer = trainer_of()
    steps_of(trainer, 1)
    state = copied(trainer.state())
    expected = losses_of(steps_of(trainer, 3))
    trainer.restore(copied(state))
    assert same(trainer.state(), state)
    assert losses_of(steps_of(trainer, 3)) == expected


def test_a_state_before_the_first_update_holds_weights_alone(trainer_of):
    trainer = trainer_of()
    state = copied(trainer.state())
    assert state.update == 0
    assert {name.partition("/")[0] for name in state.tensors} == {"weight"}
    expected = losses_of(steps_of(trainer, 2))
    other = trainer_of()
    other.restore(state)
    assert losses_of(steps_of(other, 2)) == expected


@pytest.mark.parametrize(
    ("optimizer", "kept"),
    [
        ("adamw", {"weight", "step", "exp_avg", "exp_avg_sq"}),
        ("adafactor", {"weight", "step", "variance", "row_var", "col_var"}),
    ],
)
def test_a_state_holds_what_the_optimizer_keeps_by_structural_name(trainer_of, optimizer, kept):
    trainer = trainer_of("full", optimizer)
    trainer.step()
    keys = [key.partition("/") for key in trainer.state().tensors]
    assert {kind for kind, _, _ in keys} == kept
    assert {name for kind, _, name in keys if kind == "step"} == set(trainer.model.trained)


def test_a_state_holds_views_and_a_step_moves_them(trainer_of):
    trainer = trainer_of()
    steps_of(trainer, 2)
    state = trainer.state()
    before = copied(state)
    weights = trainer.model.trained_tensors()
    for name, tensor in weights.items():
        assert state.tensors[f"weight/{name}"].data_ptr() == tensor.data_ptr()
        kept = trainer.optimizer.state[tensor]
        assert state.tensors[f"exp_avg/{name}"] is kept["exp_avg"]
    trainer.step()
    assert not any(
        torch.equal(state.tensors[name], before.tensors[name]) for name in before.tensors
    )


# States of something else.


def state_after_one(trainer):
    trainer.step()
    return copied(trainer.state())


def refused(trainer, state):
    """What is said of a state of something else; the trainer stays as it is."""
    before = copied(trainer.state())
    with pytest.raises(CompacterError) as caught:
        trainer.restore(state)
    told = str(caught.value)
    assert told.startswith("the saved state is of another training: ")
    assert told.isprintable()
    assert len(told) < 400
    assert same(trainer.state(), before)
    return told


def test_the_state_of_another_method_is_refused(trainer_of):
    told = refused(trainer_of("bitfit"), state_after_one(trainer_of("compacterpp")))
    assert "the weights are not this model's" in told


def test_the_state_of_another_model_is_refused(trainer_of, tiny_backbone):
    told = refused(trainer_of(layers=tiny_backbone()), state_after_one(trainer_of()))
    assert "has the shape" in told


@pytest.mark.parametrize(("one", "other"), [("adamw", "adafactor"), ("adafactor", "adamw")])
def test_the_state_of_another_optimizer_is_refused(trainer_of, one, other):
    told = refused(trainer_of("full", one), state_after_one(trainer_of("full", other)))
    assert "optimizer" in told


@pytest.mark.parametrize("damage", ["missing", "shape", "foreign", "name"])
def test_an_optimizer_s_tensor_that_does_not_fit_is_refused(trainer_of, damage):
    state = state_after_one(trainer_of())
    name = next(key for key in state.tensors if key.startswith("exp_avg/") and "norm" in key)
    if damage == "missing":
        del state.tensors[name]
    elif damage == "shape":
        state.tensors[name] = state.tensors[name][:-1]
    elif damage == "foreign":
        state.tensors[f"momentum/{name.partition('/')[2]}"] = state.tensors[name]
    else:
        state.tensors["exp_avg/nothing"] = state.tensors.pop(name)
    refused(trainer_of(), state)


# Dropout.


def first_loss(trainer, update=0):
    """The loss of an update over a group of its own, at a rate of nothing."""
    trainer.update = update
    split = split_of(8)
    parts = [collated(split, list(range(start, start + 4)), "cpu") for start in (0, 4)]
    trainer.schedule = lambda _: 0.0
    return trainer.step(Group(parts)).loss


def second_of_two():
    """The other of two processes, which exchanges nothing."""
    processes = Processes()
    processes.rank = 1
    return processes


def test_dropout_hangs_on_seed_update_and_rank_alone(trainer_of):
    loss = first_loss(trainer_of())
    disturb()
    assert first_loss(trainer_of()) == loss
    others = [
        first_loss(trainer_of(seed=8)),
        first_loss(trainer_of(), update=1),
        first_loss(trainer_of(processes=second_of_two())),
    ]
    assert len({loss, *others}) == 4
    still = [
        first_loss(trainer_of(dropout=0.0)),
        first_loss(trainer_of(dropout=0.0, seed=8), update=1),
    ]
    assert still[0] == still[1]


def test_the_micro_batches_of_an_update_drop_other_elements(trainer_of):
    batch = collated(split_of(4), [0, 1, 2, 3], "cpu")
    trainer = trainer_of()
    with torch.no_grad():
        by_hand = [
            trainer.model.summed_loss(batch, training=True, key=(7, 0, place, 0)).item()
            for place in (0, 1)
        ]
    assert by_hand[0] != by_hand[1]
    found = trainer.step(Group([batch, batch])).loss
    assert found == pytest.approx(sum(by_hand) / (2 * batch.target_tokens), rel=1e-6)


# What is not finite.


def poisoned(trainer, monkeypatch, value, step=2):
    """Multiply the loss of one update by `value`."""
    real = trainer.model.summed_loss

    def summed_loss(batch, training=False, key=()):
        return real(batch, training, key) * (value if key[1] == step - 1 else 1.0)

    monkeypatch.setattr(trainer.model, "summed_loss", summed_loss)
    return trainer


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_update_rate_and_examples(trainer_of, monkeypatch, value):
    trainer = poisoned(trainer_of(), monkeypatch, value)
    trainer.step()
    before = copied(trainer.state())
    examples = trainer.batches(1).examples
    assert len(examples) == 8
    with pytest.raises(NotFiniteError) as caught:
        trainer.step()
    told = str(caught.value)
    # The peak, 0.01, comes after one update of warm-up.
    assert f"the loss ({value}) or its gradient (nan) is not finite at step 2, rate 0.01" in told
    assert told.endswith(
        f"over the training examples {', '.join(map(str, examples))}; "
        "what was saved last is untouched"
    )
    assert "train.learning_rate" in caught.value.hint
    assert same(trainer.state(), before)


def test_the_first_twenty_examples_are_named(trainer_of, monkeypatch):
    trainer = poisoned(trainer_of(), monkeypatch, math.nan, step=1)
    group = Group([collated(split_of(4), [0, 1, 2, 3], "cpu")], examples=range(100, 121))
    with pytest.raises(NotFiniteError, match=r"examples 100, 101, .*, 119, \.\.\.; what was"):
        trainer.step(group)
    with pytest.raises(NotFiniteError, match=r"examples 100, 101, .*, 119; what was"):
        trainer.step(Group(group.batches, examples=range(100, 120)))


def test_a_gradient_that_is_not_finite_is_an_error_too(trainer_of, monkeypatch):
    trainer = trainer_of()
    real, first = trainer.model.summed_loss, next(iter(trainer.model.trained_tensors().values()))

    def summed_loss(batch, training=False, key=()):
        root = torch.sqrt(first.sum() * 0.0)  # finite; its slope is not
        return real(batch, training, key) + root

    monkeypatch.setattr(trainer.model, "summed_loss", summed_loss)
    before = copied(trainer.state())
    with pytest.raises(NotFiniteError, match=r"gradient \(nan\) is not finite at step 1"):
        trainer.step()
    assert same(trainer.state(), before)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_update_that_is_not_finite_is_left_out_where_the_recipe_says_so(
    trainer_of, monkeypatch, value
):
    trainer = poisoned(trainer_of(skip=True), monkeypatch, value)
    whole = trainer_of()
    assert trainer.step() == whole.step()
    before = copied(trainer.state())
    skipped = trainer.step()
    assert (skipped.step, skipped.epoch, skipped.skipped) == (2, 1, True)
    assert same(trainer.state(), State(2, before.tensors))
    # What comes next is what would have come of the same weights at the third update.
    whole.update = 2
    assert trainer.step() == whole.step()
    assert same(trainer.state(), whole.state())


def test_the_record_of_an_update_holds_numbers_that_json_has():
    line = {"kind": "update", "step": 4, "epoch": 2, "learning_rate": 0.5}
    assert Update(4, 2, 1.5, 0.5, 0.25).record() == {**line, "loss": 1.5, "gradient_norm": 0.25}
    skipped = Update(4, 2, math.nan, 0.5, math.inf, skipped=True).record()
    assert skipped == {**line, "loss": None, "gradient_norm": None, "skipped": True}


# The schedule.


def test_the_rate_rises_from_zero_and_falls_to_zero():
    factors = [rate_at(step, warmup=4, total=12) for step in range(13)]
    assert factors[:5] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert factors[4:] == pytest.approx([1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0.0])
    assert rate_at(99, 4, 12) == 0.0


def test_the_rate_only_rises_where_the_warm_up_is_longer_than_the_run():
    assert [rate_at(step, warmup=500, total=500) for step in (0, 1, 499)] == [0, 1 / 500, 499 / 500]
    assert rate_at(2, warmup=10, total=3) == 0.2


def test_the_rate_without_warm_up_starts_at_its_peak():
    assert [rate_at(step, warmup=0, total=4) for step in range(5)] == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_a_linear_schedule_is_the_factor_times_the_peak():
    rates = list(map(linear(8.0, warmup=2, total=6), range(7)))
    assert rates == [0.0, 4.0, 8.0, 6.0, 4.0, 2.0, 0.0]


# The gradient and the step.


class Pair(torch.nn.Module):
    """Stands in for a model: its loss is `a * x`, its gradient the numbers themselves."""

    execution = "reference"

    def __init__(self, *gradient):
        super().__init__()
        self.weight = torch.zeros(len(gradient), requires_grad=True)
        self.gradient = torch.tensor(gradient)

    def trained_tensors(self):
        return {"a": self.weight}

    def assign(self, values):
        self.weight.data.copy_(values["a"])

    def summed_loss(self, batch, training=False, key=()):
        return (self.weight * self.gradient).sum() * batch.target_tokens


class Tokens:
    target_tokens = 3


def pair_trainer(clip_norm):
    model = Pair(3.0, 4.0)
    descent = torch.optim.SGD([model.weight], lr=0.0)
    groups = lambda _: Group([Tokens(), Tokens()])  # noqa: E731
    return Trainer(model, descent, lambda step: 0.5 + step, groups, seed=0, clip_norm=clip_norm)


def test_the_gradient_is_the_token_mean_s_and_the_rate_the_schedule_s():
    trainer = pair_trainer(clip_norm=10.0)
    update = trainer.step()
    assert (update.step, update.learning_rate, update.loss) == (1, 0.5, 0.0)
    assert update.gradient_norm == pytest.approx(5.0)  # of (3, 4)
    assert trainer.model.weight.tolist() == pytest.approx([-1.5, -2.0])
    assert trainer.step().loss == pytest.approx(-1.5 * 3 - 2 * 4)
    assert trainer.model.weight.tolist() == pytest.approx([-1.5 - 4.5, -2 - 6])


def test_the_gradient_is_clipped_and_told_as_it_was():
    trainer = pair_trainer(clip_norm=1.0)
    assert trainer.step().gradient_norm == pytest.approx(5.0)
    assert trainer.model.weight.tolist() == pytest.approx([-0.5 * 0.6, -0.5 * 0.8], rel=1e-4)


def test_an_optimizer_that_keeps_nothing_goes_on_too():
    trainer = pair_trainer(clip_norm=1.0)
    trainer.step()
    state = copied(trainer.state())
    assert list(state.tensors) == ["weight/a"]
    other = pair_trainer(clip_norm=1.0)
    other.restore(state)
    assert other.step() == trainer.step()
