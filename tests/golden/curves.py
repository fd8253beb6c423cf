"""Golden curves: twelve updates of every method on a tiny T5, as they are now, to compare with.

    python tests/golden/curves.py                      # adds the curves that the file lacks
    python tests/golden/curves.py --again bitfit       # writes these again, too
    python tests/golden/curves.py --compare --threads 2

Rewrite a curve only in a commit that does nothing else and says why: it is the proof that a
change of the execution changed no result. One CPU thread; dropout on, two accumulated batches an
update (the last one smaller), padding in sources and targets, two epochs of six updates.
"""

import argparse
import json
import math
import os
import random
from pathlib import Path
from types import SimpleNamespace

os.environ["KERAS_BACKEND"] = "torch"
os.environ.setdefault("OMP_NUM_THREADS", "1")

FILE = Path(__file__).with_name("curves.json")
SEED = 42
EXECUTIONS = ("lean", "reference")
# Others 1e-2: so far that a fault shows, not so far that rounding does.
RATES = {"full": 1e-3}
SIZES = {
    "vocabulary_size": 64,
    "num_layers": 2,
    "num_heads": 4,
    "hidden_dim": 32,
    "intermediate_dim": 48,
    "key_value_dim": 8,
    "dropout": 0.0,
}
KINDS = {
    "v1_0": {"activation": "relu", "use_gated_activation": False, "tie_embedding_weights": True},
    "gated": {"activation": "gelu", "use_gated_activation": True, "tie_embedding_weights": False},
}
SMALL = {"bottleneck": 8, "intrinsic_dim": 500, "length": 5}  # where a method has such a setting
TARGETS = {"0": [5, 1], "1": [6, 7, 1]}  # of two lengths, so that targets are padded too


class Parities:
    """Stands in for a vocabulary: any answer is a label, so that scores tell answers apart."""

    def decode(self, ids):
        before_end = ids[: ids.index(1)] if 1 in ids else ids
        return str(sum(before_end) % 2)


def cases():
    """`{name of a curve: (method, its settings, kind of backbone)}`."""
    from compacter_cli.methods import METHODS

    found = {name: (name, {}, "v1_0") for name in METHODS}
    for name in ("full", "compacter"):
        found[f"{name}, gated"] = (name, {}, "gated")
    found["compacter, output layer"] = ("compacter", {"train_output_layer": True}, "v1_0")
    found["pfeiffer, dropped block"] = ("pfeiffer", {"dropped_blocks": 1}, "v1_0")
    return found


def backbone_of(kind, seed=0):
    """A KerasHub T5 of random weights, layer norms too: all ones would hide mix-ups."""
    import keras_hub
    import numpy as np

    backbone = keras_hub.models.T5Backbone(**SIZES, **KINDS[kind])
    generator = np.random.default_rng(seed)
    for variable in backbone.weights:
        scale = 0.1 if len(variable.shape) == 1 else variable.shape[0] ** -0.5
        offset = 1.0 if len(variable.shape) == 1 else 0.0
        variable.assign(offset + scale * generator.standard_normal(variable.shape))
    return backbone


def dataset():
    """46 training and 20 validation examples of random tokens, of 3 to 14 in a source."""
    from compacter_cli.data.dataset import Dataset, Split

    draw = random.Random(SEED)

    def split(name, size):
        labels = [draw.randrange(2) for _ in range(size)]
        sources = [
            [*(draw.randrange(8, 64) for _ in range(draw.randrange(2, 14))), 1] for _ in labels
        ]
        targets = [TARGETS[str(label)] for label in labels]
        rows = [{"idx": index, "label": label} for index, label in enumerate(labels)]
        return Split(name, sources, targets, rows, 0)

    return Dataset(split("train", 46), split("validation", 20), split("test", 20), 3, {})


def model_of(name, execution, dropout, device):
    """A case's model; on a GPU with a CPU's initial values, for a seed draws others there."""
    import keras

    from compacter_cli.methods import METHODS
    from compacter_cli.t5.model import T5Model

    method, settings, kind = cases()[name]
    small = {key: size for key, size in SMALL.items() if key in METHODS[method].model_fields}
    with keras.device(device):
        model = T5Model(
            backbone_of(kind),
            METHODS[method](**small, **settings),
            seed=SEED,
            dropout=dropout,
            in_place=METHODS[method].trains_in_place,
            execution=execution,
        )
        if device != "cpu":
            drawn = model_of(name, execution, dropout, "cpu").trained_tensors()
            model.assign({key: tensor.detach().numpy() for key, tensor in drawn.items()})
    return model


def curve(name, execution, dropout=0.1, device="cpu", ahead=False):
    """Losses, gradient norms and rates of a case's updates, its scores, and its weights' norms."""
    import keras

    from compacter_cli.recipe.sections import TrainSection
    from compacter_cli.t5.runtime import seed_everything
    from compacter_cli.tasks import TASKS
    from compacter_cli.training.loop import FineTuning
    from compacter_cli.training.trainer import Update

    method, _, _ = cases()[name]
    section = TrainSection(
        epochs=2,
        batch_size=4,
        accumulate=2,
        eval_batch_size=8,
        warmup_steps=3,
        learning_rate=RATES.get(method, 1e-2),
    )
    seed_everything(SEED)
    model = model_of(name, execution, dropout, device)
    task, seeds = TASKS["demo/smoke"], (SEED, SEED)
    with keras.device(device):
        tuning = FineTuning(model, dataset(), task, Parities(), section, seeds, device, ahead=ahead)
        events = list(tuning.events())
    updates = [event for event in events if isinstance(event, Update)]
    epochs = [event for event in events if not isinstance(event, Update)]
    return {
        "losses": [update.loss for update in updates],
        "gradient_norms": [update.gradient_norm for update in updates],
        "rates": [update.learning_rate for update in updates],
        "validation": [epoch.validation.metrics["accuracy"] for epoch in epochs],
        "norms": {name: tensor.norm().item() for name, tensor in model.trained_tensors().items()},
    }


def pretraining_curve(dropout=0.1, device="cpu", kind="v1_0"):
    """Losses, gradient norms, rates, validation losses and weights' norms of a pretraining."""
    import keras
    import numpy as np

    from compacter_cli.methods import METHODS
    from compacter_cli.pretraining.batches import Batches, Exercises, Spans
    from compacter_cli.pretraining.loop import Pretraining
    from compacter_cli.pretraining.pieces import Pieces
    from compacter_cli.pretraining.recipe import CorruptionSection, TrainSection
    from compacter_cli.t5.model import T5Model

    pieces = Pieces(np.tile(np.arange(20, 60), 6).astype(np.int32), np.arange(25) * 10)
    spans = Spans(pieces, list(range(3, 13)), CorruptionSection(), SEED)
    section = TrainSection(steps=12, warmup_steps=3, learning_rate=1e-2, eval_every=4, batch_size=6)
    practised = Exercises([([n, 1], [n + 1, n, 1]) for n in range(20, 29)], SEED)
    with keras.device(device):
        model = T5Model(backbone_of(kind), METHODS["full"](), in_place=True, dropout=dropout)
        held_out = list(spans.batches(4, device))[:2]
        batches = Batches(spans, practised, section, device)
        events = list(Pretraining(model, batches, held_out, section, seed=SEED).events())
    updates = [update for update, _ in events if update]
    return {
        "losses": [update.loss for update in updates],
        "gradient_norms": [update.gradient_norm for update in updates],
        "rates": [update.learning_rate for update in updates],
        "validation": [validation.loss for _, validation in events if validation],
        "norms": {name: tensor.norm().item() for name, tensor in model.trained_tensors().items()},
    }


def curve_without_dropout(name):
    """A case's curve, or that of `pretrain`, which no change of dropout's draws may touch."""
    return pretraining_curve(0.0) if name == "pretrain" else curve(name, "lean", 0.0)


def write(again):
    """Add the curves that the file lacks, and write those named in `again` anew.

    The executions' curves are kept apart. Those without dropout are the lean execution's.
    """
    kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {"train": {}}
    train = {}
    for name in cases():
        train[name] = kept["train"].get(name)
        if train[name] is None or name in again:
            train[name] = {execution: curve(name, execution) for execution in EXECUTIONS}
    pretrain = kept.get("pretrain")
    if pretrain is None or "pretrain" in again:
        pretrain = pretraining_curve()
    still = kept.get("without dropout", {})
    for name in [*cases(), "pretrain"]:
        if name not in still or f"{name}, without dropout" in again:
            still[name] = curve_without_dropout(name)
    found = {"train": train, "pretrain": pretrain, "without dropout": still}
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def largest_difference(found, expected):
    """The largest relative difference of two curves, and where it is; `(0.0, "")` if none."""
    pairs = SimpleNamespace(worst=0.0, place="")

    def compare(place, one, other):
        if isinstance(one, dict):
            if one.keys() != other.keys():
                pairs.worst, pairs.place = float("inf"), f"{place}: other names"
                return
            for key in one:
                compare(f"{place}.{key}", one[key], other[key])
        elif isinstance(one, list):
            for index, (first, second) in enumerate(zip(one, other, strict=True)):
                compare(f"{place}[{index}]", first, second)
        else:
            difference = abs(one - other) / max(abs(one), abs(other), 1e-30) if one != other else 0
            if math.isnan(difference):
                difference = float("inf")
            if difference > pairs.worst:
                pairs.worst, pairs.place = difference, place

    compare("", found, expected)
    return pairs.worst, pairs.place.removeprefix(".")


def compare():
    """Print of every curve how far it is from what is computed now, and where."""
    expected = json.loads(FILE.read_text(encoding="utf-8"))
    for name, executions in expected["train"].items():
        for execution, one in executions.items():
            print(name, execution, *largest_difference(curve(name, execution), one))
    print("pretrain", *largest_difference(pretraining_curve(), expected["pretrain"]))
    for name, one in expected["without dropout"].items():
        print(name, "without dropout", *largest_difference(curve_without_dropout(name), one))


def main():
    """Write the file, or compare with it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [*cases(), "pretrain"]
    names += [f"{name}, without dropout" for name in names]
    parser.add_argument("--again", nargs="+", default=[], choices=names, help="write these anew")
    parser.add_argument("--compare", action="store_true", help="write nothing, print differences")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()

    from compacter_cli.t5.runtime import hide_tensorflow, start_keras

    hide_tensorflow()
    keras = start_keras()
    import torch

    torch.set_num_threads(given.threads)
    with keras.device("cpu"):
        compare() if given.compare else write(given.again)


if __name__ == "__main__":
    main()
