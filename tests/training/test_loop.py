import hashlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from compacter_cli.data.dataset import Dataset, Split, batches, shuffled_order
from compacter_cli.methods import METHODS
from compacter_cli.recipe.sections import TrainSection
from compacter_cli.t5.loading import fingerprint_of, load_backbone
from compacter_cli.tasks.base import Task
from compacter_cli.training import loop as training
from compacter_cli.training.loop import Epoch, FineTuning, Progress
from compacter_cli.training.scoring import Scores
from compacter_cli.training.trainer import Update

TASK = Task(name="made/up", labels=("no", "yes"), fields=("text",), metrics=("accuracy",), rows={})
SEEDS = (42, 7)


class Numbers:
    """A vocabulary whose pieces are numbers."""

    def decode(self, ids):
        kept = []
        for token in ids:
            if token == 1:
                break
            if token:
                kept.append(str(token))
        return " ".join(kept)


@pytest.fixture(autouse=True)
def on_cpu(keras, monkeypatch):
    """Keras on the CPU, as in a run there; without the collection of garbage, which takes longer
    than an epoch of these sizes."""
    monkeypatch.setattr("gc.collect", lambda: 0)
    with keras.device("cpu"):
        yield


@pytest.fixture(scope="module")
def shared(keras):
    """A backbone that tests share, for nothing here may change it."""
    with keras.device("cpu"):
        return load_backbone("random/tiny")


@pytest.fixture
def tiny_model(shared):
    """Makes a model of a method on a tiny backbone: always the same weights."""
    from compacter_cli.t5.model import T5Model

    def make(method="compacterpp", in_place=False, dropout=0.0):
        chosen = METHODS[method](**({} if method == "full" else {"bottleneck": 8}))
        backbone = (load_backbone("random/tiny") if in_place else shared).keras
        return T5Model(backbone, chosen, seed=3, dropout=dropout, in_place=in_place)

    return make


def split_of(size, seed=0, lengths=(1, 5)):
    """Random token ids; sources and targets of unequal lengths, end tokens included."""
    draw = np.random.default_rng(seed)
    sources = [[*draw.integers(3, 64, draw.integers(2, 9)).tolist(), 1] for _ in range(size)]
    targets = [[*draw.integers(3, 64, draw.integers(*lengths)).tolist(), 1] for _ in range(size)]
    return Split("train", sources, targets, [{"idx": i, "label": i % 2} for i in range(size)], 0)


def dataset_of(train_split, validation=None):
    other = validation or split_of(3, seed=9)
    validation, test = (replace(other, name=name) for name in ("validation", "test"))
    return Dataset(train_split, validation, test, answer_length=6, origin={})


def section_of(**changes):
    chosen = {
        "epochs": 1,
        "batch_size": 10,
        "learning_rate": 1e-2,
        "warmup_steps": 2,
        "dropout": 0.0,
    }
    return TrainSection(**{**chosen, **changes})


def events_of(model, data, seeds=SEEDS, stop=lambda: False, **changes):
    """The generator of a training run."""
    section = section_of(**changes)
    return FineTuning(model, data, TASK, Numbers(), section, seeds, "cpu").events(stop)


def updates_of(*args, **kwargs):
    """The updates of a whole training run."""
    return [event for event in events_of(*args, **kwargs) if isinstance(event, Update)]


def values_of(model):
    return {name: tensor.detach().clone() for name, tensor in model.trained_tensors().items()}


def frozen_of(model):
    return {
        name: variable.value.detach().clone()
        for name, variable in model.named_weights.items()
        if name not in model.trained
    }


def backbone_of(model):
    from compacter_cli.t5.placement import backbone_weights

    return {n: v.value.detach().clone() for n, v in backbone_weights(model.backbone).items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.fixture
def steps(monkeypatch):
    """The gradients of every optimizer step, in the order of the parameters."""
    taken = []

    class Recording(torch.optim.AdamW):
        def step(self, closure=None):
            parameters = self.param_groups[0]["params"]
            taken.append([p.grad.detach().clone() for p in parameters])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "AdamW", Recording)
    return taken


def norm_of(gradients):
    return math.sqrt(sum(float((g.double() ** 2).sum()) for g in gradients))


# The schedule.


@pytest.mark.parametrize(
    ("examples", "batch", "accumulate", "expected"),
    [(600, 20, 1, 30), (2490, 100, 1, 25), (2490, 50, 2, 25), (25, 10, 2, 2), (1, 100, 1, 1)],
)
def test_updates_of_an_epoch(examples, batch, accumulate, expected):
    section = section_of(batch_size=batch, accumulate=accumulate)
    assert section.updates_per_epoch(examples) == expected


def test_the_updates_have_the_rates_of_the_schedule(tiny_model):
    found = updates_of(
        tiny_model(), dataset_of(split_of(30)), epochs=2, warmup_steps=3, learning_rate=8e-3
    )
    expected = [0.0, 8e-3 / 3, 16e-3 / 3, 8e-3, 8e-3 * 2 / 3, 8e-3 / 3]
    assert [update.learning_rate for update in found] == pytest.approx(expected)
    assert [update.step for update in found] == [1, 2, 3, 4, 5, 6]
    assert [update.epoch for update in found] == [1, 1, 1, 2, 2, 2]


def test_the_first_update_of_a_warm_up_changes_nothing_and_the_second_does(tiny_model):
    model = tiny_model()
    before = values_of(model)
    running = events_of(model, dataset_of(split_of(30)))
    assert next(running).learning_rate == 0.0
    assert same(values_of(model), before)
    next(running)
    after = values_of(model)
    assert not any(torch.equal(after[n], before[n]) for n in before if n.endswith("layer_norm"))


# The loss and the batches.


def loss_by_hand(model, split, indices):
    """Mean of -log p over the target tokens of some examples, each example on its own."""
    total, tokens = 0.0, 0
    for index in indices:
        source, target = split.sources[index], split.targets[index]
        with torch.no_grad():
            logits = model(
                {
                    "encoder_token_ids": torch.tensor([source]),
                    "encoder_padding_mask": torch.ones(1, len(source)),
                    "decoder_token_ids": torch.tensor([[0, *target[:-1]]]),
                    "decoder_padding_mask": torch.ones(1, len(target)),
                }
            )
        log_p = torch.log_softmax(logits[0].double(), -1)
        total -= sum(float(log_p[place, token]) for place, token in enumerate(target))
        tokens += len(target)
    return total / tokens


def test_the_loss_is_the_mean_over_the_target_tokens_of_the_shuffled_batch(tiny_model):
    split = split_of(25)
    order = shuffled_order(25, *SEEDS, 1)
    model = tiny_model()
    groups = [order[:20], order[20:]]
    expected = [loss_by_hand(model, split, group) for group in groups]
    # A rate of nothing: every loss is that of the initial weights.
    for sizes in ({"batch_size": 20}, {"batch_size": 10, "accumulate": 2}):
        found = updates_of(model, dataset_of(split), learning_rate=1e-30, **sizes)
        assert [update.loss for update in found] == pytest.approx(expected, rel=1e-5)


def test_accumulated_batches_train_as_the_large_batch(tiny_model):
    split = split_of(48)
    order = shuffled_order(48, *SEEDS, 1)
    tokens = [batch.target_tokens for batch in batches(split, 10, "cpu", order)]
    assert tokens[0] != tokens[1]  # a mean of means would differ
    whole, parts = tiny_model(), tiny_model()
    settings = {"epochs": 2, "clip_norm": 0.5}
    large = updates_of(whole, dataset_of(split), batch_size=20, **settings)
    small = updates_of(parts, dataset_of(split), batch_size=10, accumulate=2, **settings)
    assert len(large) == len(small) == 6
    assert large[0].loss != pytest.approx(large[-1].loss, rel=1e-3)
    for one, other in zip(large, small, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=1e-5)
        assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-4)
    for name, value in values_of(whole).items():
        torch.testing.assert_close(values_of(parts)[name], value, rtol=1e-3, atol=1e-5)


def test_the_last_update_of_an_epoch_takes_what_is_left(tiny_model):
    found = list(events_of(tiny_model(), dataset_of(split_of(25)), accumulate=2))
    assert [type(event) for event in found] == [Update, Update, Epoch]
    assert found[-1].step == 2
    assert found[-1].loss == pytest.approx((found[0].loss + found[1].loss) / 2)


def test_every_epoch_has_another_order(tiny_model):
    found = updates_of(
        tiny_model(), dataset_of(split_of(20)), epochs=2, learning_rate=1e-30, batch_size=5
    )
    losses = [update.loss for update in found]
    assert losses[:4] != losses[4:]
    # Unequal batches, but the same examples: the sum over tokens is the same.
    split = split_of(20)
    sums = []
    for epoch in (1, 2):
        order = shuffled_order(20, *SEEDS, epoch)
        tokens = [batch.target_tokens for batch in batches(split, 5, "cpu", order)]
        sums.append(float(np.dot(tokens, losses[4 * epoch - 4 : 4 * epoch])))
    assert sums[0] == pytest.approx(sums[1], rel=1e-5)


# The gradient and the step.


def test_a_large_gradient_is_clipped_to_the_norm_and_reported_as_it_was(tiny_model, steps):
    split = split_of(20)
    free = updates_of(tiny_model(), dataset_of(split), clip_norm=1e9)
    unclipped = [norm_of(gradients) for gradients in steps]
    assert [update.gradient_norm for update in free] == pytest.approx(unclipped, rel=1e-5)
    assert min(unclipped) > 1e-2
    steps.clear()
    clipped = updates_of(tiny_model(), dataset_of(split), clip_norm=1e-3)
    assert [norm_of(gradients) for gradients in steps] == pytest.approx([1e-3] * 2, rel=1e-2)
    assert clipped[0].gradient_norm == pytest.approx(unclipped[0], rel=1e-5)


def test_a_small_gradient_is_not_scaled_up(tiny_model, steps):
    found = updates_of(tiny_model(), dataset_of(split_of(20)), clip_norm=1e9)
    assert norm_of(steps[0]) == pytest.approx(found[0].gradient_norm, rel=1e-5)
    assert norm_of(steps[0]) < 1e3


def test_the_gradient_is_that_of_the_loss_and_reaches_every_trained_weight(tiny_model, steps):
    split, model = split_of(10), tiny_model()
    (batch,) = batches(split, 10, "cpu", shuffled_order(10, *SEEDS, 1))
    expected = torch.autograd.grad(model.loss_of(batch), list(model.trained_tensors().values()))
    updates_of(model, dataset_of(split), clip_norm=1e9)
    assert len(steps[0]) == len(expected) == len(model.trained)
    for found, wanted in zip(steps[0], expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-7)


def test_the_step_is_adamw_without_decay(tiny_model, steps):
    model = tiny_model()
    expected = [value.double() for value in values_of(model).values()]
    found = updates_of(model, dataset_of(split_of(30)), epochs=2, clip_norm=0.1)
    first = [torch.zeros_like(value) for value in expected]
    second = [torch.zeros_like(value) for value in expected]
    for number, (update, gradients) in enumerate(zip(found, steps, strict=True), 1):
        for index, gradient in enumerate(gradients):
            g = gradient.double()
            first[index] = 0.9 * first[index] + 0.1 * g
            second[index] = 0.999 * second[index] + 0.001 * g**2
            mean, square = first[index] / (1 - 0.9**number), second[index] / (1 - 0.999**number)
            expected[index] -= update.learning_rate * mean / (square.sqrt() + 1e-8)
    for (name, value), wanted in zip(values_of(model).items(), expected, strict=True):
        torch.testing.assert_close(value.double(), wanted, rtol=1e-4, atol=1e-6, msg=name)


def test_the_optimizer_is_set_up_as_the_protocol_says(tiny_model, monkeypatch):
    made = []
    real = torch.optim.AdamW

    def record(parameters, **settings):
        made.append(settings)
        return real(parameters, **settings)

    monkeypatch.setattr(torch.optim, "AdamW", record)
    updates_of(tiny_model(), dataset_of(split_of(5)), learning_rate=5e-3)
    protocol = {"lr": 0.0, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
    assert made == [{**protocol, "fused": True}]


# What changes and what does not.


@pytest.mark.parametrize("method", ["adapter", "compacter", "compacterpp"])
def test_frozen_weights_and_the_backbone_stay_bit_equal(tiny_model, method):
    model = tiny_model(method)
    frozen, backbone, trained = frozen_of(model), backbone_of(model), values_of(model)
    fingerprint = fingerprint_of(model.named_weights)
    updates_of(model, dataset_of(split_of(40)), epochs=2, learning_rate=0.1)
    assert same(frozen_of(model), frozen)
    assert same(backbone_of(model), backbone)
    assert fingerprint_of(model.named_weights) != fingerprint
    unchanged = [n for n, v in values_of(model).items() if torch.equal(v, trained[n])]
    assert unchanged == []


def test_the_backbone_keeps_its_fingerprint_though_layer_norms_train(tiny_model):
    from compacter_cli.t5.placement import backbone_weights

    model = tiny_model()
    before = fingerprint_of(backbone_weights(model.backbone))
    updates_of(model, dataset_of(split_of(20)), learning_rate=0.1)
    assert fingerprint_of(backbone_weights(model.backbone)) == before


@pytest.mark.parametrize("in_place", [True, False])
def test_full_fine_tuning_changes_every_weight_and_the_backbone_only_in_place(tiny_model, in_place):
    from compacter_cli.t5.placement import backbone_weights

    model = tiny_model("full", in_place=in_place)
    assert len(model.trained) == len(backbone_weights(model.backbone))
    before = fingerprint_of(backbone_weights(model.backbone))
    trained = values_of(model)
    updates_of(model, dataset_of(split_of(40)), epochs=2)
    assert [n for n, v in values_of(model).items() if torch.equal(v, trained[n])] == []
    assert (fingerprint_of(backbone_weights(model.backbone)) != before) == in_place


# Repeating and stopping.


def digest_of(model):
    digest = hashlib.sha256()
    for name, value in values_of(model).items():
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def run_with_dropout(tiny_model, seed):
    torch.manual_seed(seed)
    model = tiny_model(dropout=0.3)
    found = updates_of(model, dataset_of(split_of(30)), seeds=(42, seed))
    return [update.loss for update in found], digest_of(model)


def test_the_same_seed_gives_the_same_losses_and_weights(tiny_model):
    assert run_with_dropout(tiny_model, 5) == run_with_dropout(tiny_model, 5)


def test_dropout_and_batches_follow_the_seed(tiny_model):
    one, other = run_with_dropout(tiny_model, 5), run_with_dropout(tiny_model, 6)
    assert one[0][0] != other[0][0]
    assert one[1] != other[1]


def test_dropout_is_used_in_training(tiny_model):
    split = split_of(10)
    losses = [
        updates_of(tiny_model(dropout=rate), dataset_of(split))[0].loss for rate in (0.0, 0.0, 0.5)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_a_stop_ends_the_training_after_its_update_without_an_evaluation(tiny_model):
    seen = []
    running = events_of(tiny_model(), dataset_of(split_of(30)), stop=lambda: len(seen) == 2)
    for event in running:
        seen.append(event)
    assert [type(event) for event in seen] == [Update, Update]


def tuning_of(model, ahead):
    """Three accumulated updates an epoch, two epochs, dropout on."""
    section = section_of(epochs=2, batch_size=4, accumulate=2)
    data = dataset_of(split_of(22))
    return FineTuning(model, data, TASK, Numbers(), section, SEEDS, "cpu", ahead=ahead)


def losses_of(events):
    return [event.loss for event in events if isinstance(event, Update)]


def test_with_examples_made_ahead_updates_are_the_same_and_go_on_from_any_of_them(tiny_model):
    plain, whole = tiny_model(dropout=0.3), tiny_model(dropout=0.3)
    expected = losses_of(tuning_of(plain, ahead=False).events())
    assert len(expected) == 6
    assert losses_of(tuning_of(whole, ahead=True).events()) == expected
    assert digest_of(whole) == digest_of(plain)
    for done in (1, 3):
        stopped = tuning_of(tiny_model(dropout=0.3), ahead=True)
        stop = iter([False] * (done - 1) + [True]).__next__
        assert losses_of(stopped.events(stop)) == expected[:done]
        again = tuning_of(tiny_model(dropout=0.3), ahead=True)
        again.trainer.restore(stopped.trainer.state())
        again.progress = stopped.progress
        assert losses_of(again.events()) == expected[done:]


def test_the_next_examples_are_made_before_an_update_is_waited_for(tiny_model, monkeypatch):
    tuning, seen = tuning_of(tiny_model(), ahead=True), []
    trainer, run = tuning.trainer, tuning.trainer._passes.run

    class Loss:
        def __init__(self, loss):
            self.loss = loss

        def item(self):
            seen.append("wait")
            return self.loss.item()

    def running(batch, key, tokens):
        seen.append(f"run {key[1]}")
        return Loss(run(batch, key, tokens))

    prepare = trainer.prepare
    monkeypatch.setattr(trainer._passes, "run", running)
    trainer.prepare = lambda update: (seen.append(f"make {update}"), prepare(update))
    trainer.step()
    assert seen == ["run 0", "wait", "run 0", "make 1", "wait"]


def test_the_progress_comes_back_from_its_record_through_json():
    for progress in (Progress(), Progress(3, 4.5, 2, -0.5, 1, True)):
        record = json.loads(json.dumps(progress.record(), allow_nan=False))
        assert Progress.of_record(record) == progress


def test_the_progress_counts_the_losses_of_updates_that_were_taken():
    progress = Progress(1, best=50.0)
    for update in (
        Update(3, 2, 1.5, 0.1, 1.0),
        Update(4, 2, math.nan, 0.1, math.nan, skipped=True),
    ):
        progress = progress.after(update)
    assert progress == Progress(1, 1.5, 1, 50.0)


def test_an_epoch_of_skipped_updates_alone_has_no_loss():
    scores = Scores({"accuracy": 1.0}, {"accuracy": 1.0}, 3, 0)
    assert Epoch(1, 2, math.nan, scores, True).record()["loss"] is None


# The best epoch.


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([50.0, 70.0, 70.0, 60.0, 80.0], [True, True, False, False, True]),
        ([40.0, 40.0, 40.0], [True, False, False]),
        ([60.0, 40.0, 50.0], [True, False, False]),
        ([0.0, 0.0], [True, False]),
        ([-0.5, -0.7, -0.2], [True, False, True]),
    ],
)
def test_the_best_epoch_is_the_earliest_of_the_highest(tiny_model, monkeypatch, scores, best):
    coming = iter(scores)

    def evaluate(*_):
        return Scores({"accuracy": next(coming)}, {"accuracy": 50.0}, 3, 0), []

    monkeypatch.setattr(training, "evaluate", evaluate)
    found = [
        event
        for event in events_of(tiny_model(), dataset_of(split_of(5)), epochs=len(scores))
        if isinstance(event, Epoch)
    ]
    assert [epoch.best for epoch in found] == best
    assert [epoch.number for epoch in found] == list(range(1, len(scores) + 1))
    assert [epoch.validation.mean for epoch in found] == scores


def test_of_epochs_that_cannot_answer_yet_the_last_is_the_best():
    progress, chosen, stale = Progress(), [], []
    for accuracy, invalid in ((0.0, 3), (0.0, 3), (0.0, 2), (0.0, 1), (10.0, 0), (10.0, 0)):
        progress, best = progress.scored(Scores({"accuracy": accuracy}, {}, 3, invalid))
        chosen.append(best)
        stale.append(progress.stale)
    assert chosen == [True, True, True, False, True, False]
    assert stale == [0, 1, 2, 3, 0, 1]  # of scores alone


def test_the_best_epoch_is_chosen_by_the_mean_of_the_metrics(tiny_model, monkeypatch):
    coming = iter([(90.0, 10.0), (60.0, 50.0), (100.0, 0.0)])

    def evaluate(*_):
        accuracy, f1 = next(coming)
        return Scores({"accuracy": accuracy, "f1": f1}, {}, 3, 0), []

    monkeypatch.setattr(training, "evaluate", evaluate)
    events = events_of(tiny_model(), dataset_of(split_of(5)), epochs=3)
    assert [e.best for e in events if isinstance(e, Epoch)] == [True, True, False]


def test_the_epoch_is_scored_on_the_validation_split_after_its_updates(tiny_model, monkeypatch):
    seen = []

    def evaluate(model, vocabulary, task, dataset, split, size, device, stop, processes):
        seen.append((split, size, device, digest_of(model)))
        return Scores({"accuracy": 1.0}, {}, 3, 0), []

    monkeypatch.setattr(training, "evaluate", evaluate)
    model = tiny_model()
    running = events_of(model, dataset_of(split_of(20)), eval_batch_size=17)
    while not isinstance(next(running), Epoch):
        pass
    assert seen == [("validation", 17, "cpu", digest_of(model))]


# It learns.


def test_compacterpp_learns_sixteen_examples_by_heart(shared):
    from compacter_cli.data.dataset import build_dataset
    from compacter_cli.data.sources import Rows
    from compacter_cli.recipe.sections import DataSection
    from compacter_cli.t5.model import T5Model
    from compacter_cli.tasks import TASKS
    from compacter_cli.training.scoring import evaluate

    task, backbone = TASKS["demo/smoke"], shared
    generated = task.generate()
    assert {row["label"] for row in generated["train"][:16]} == {0, 1}
    rows = Rows({"train": generated["train"][:16], "validation": generated["validation"][:4]}, {})
    data = build_dataset(task, rows, backbone.vocabulary, DataSection(), 42)
    model = T5Model(backbone.keras, METHODS["compacterpp"](), seed=1, dropout=0.0)

    def score_of_train():
        scores, _ = evaluate(model, backbone.vocabulary, task, data, "train", 16, "cpu")
        return scores.metrics["accuracy"]

    before = score_of_train()
    section = section_of(epochs=20, batch_size=4, learning_rate=3e-2, warmup_steps=10)
    tuning = FineTuning(model, data, task, backbone.vocabulary, section, SEEDS, "cpu")
    found = [event for event in tuning.events() if isinstance(event, Update)]
    assert before < 100.0
    assert score_of_train() == 100.0
    assert found[-1].loss < 0.1 * found[0].loss
