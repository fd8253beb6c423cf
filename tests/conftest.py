"""What the tests share: Keras on torch, tiny backbones, made-up original files, a trained run."""

import os

import pytest

from compacter_cli.runtime import hide_tensorflow, start_keras

os.environ["KERAS_BACKEND"] = "torch"
# Tiny models gain nothing from threads, and lose much where another program wants a core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
hide_tensorflow()  # as the command line does

TINY = {
    "v1_0": {"activation": "relu", "use_gated_activation": False, "tie_embedding_weights": True},
    "gated": {"activation": "gelu", "use_gated_activation": True, "tie_embedding_weights": False},
}


@pytest.fixture(scope="session")
def keras():
    """Keras, started as the command line starts it."""
    return start_keras()


@pytest.fixture
def tiny_backbone(keras):
    """Makes a small KerasHub T5 of random weights, "v1_0" or "gated", sizes to be changed."""
    import keras_hub
    import numpy as np

    def make(kind="v1_0", seed=0, **changes):
        sizes = {
            "vocabulary_size": 64,
            "num_layers": 2,
            "num_heads": 4,
            "hidden_dim": 32,
            "intermediate_dim": 48,
            "key_value_dim": 8,
            "dropout": 0.0,
        }
        backbone = keras_hub.models.T5Backbone(**{**sizes, **TINY[kind], **changes})
        generator = np.random.default_rng(seed)
        for variable in backbone.weights:  # layer norms too: all ones would hide mix-ups
            scale = 0.1 if len(variable.shape) == 1 else variable.shape[0] ** -0.5
            offset = 1.0 if len(variable.shape) == 1 else 0.0
            variable.assign(offset + scale * generator.standard_normal(variable.shape))
        return backbone

    return make


@pytest.fixture
def token_batch():
    """Makes KerasHub's four inputs, padded: rows of different lengths, some very short."""
    import torch

    def make(rows=3, source=12, target=6, vocabulary=64, padded=True, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def ids(length):
            return torch.randint(2, vocabulary, (rows, length), generator=generator)

        def mask(length):
            lengths = torch.tensor([max(1, length - 3 * row) for row in range(rows)])
            lengths = lengths if padded else torch.full((rows,), length)
            return (torch.arange(length)[None, :] < lengths[:, None]).int()

        source_mask, target_mask = mask(source), mask(target)
        return {
            "encoder_token_ids": ids(source) * source_mask,
            "encoder_padding_mask": source_mask,
            "decoder_token_ids": ids(target) * target_mask,
            "decoder_padding_mask": target_mask,
        }

    return make


@pytest.fixture(scope="session")
def rte_folder(tmp_path_factory):
    """A folder of made-up RTE files of the official sizes, in the original format."""
    folder = tmp_path_factory.mktemp("originals")
    place = folder / "glue" / "RTE"
    place.mkdir(parents=True)
    for name, count, labelled in (("train", 2490, True), ("dev", 277, True), ("test", 3000, False)):
        header = ["index", "sentence1", "sentence2"] + (["label"] if labelled else [])
        lines = ["\t".join(header)]
        for row in range(count):
            cells = [str(row), f'Premise "{row}" of {name}.', f"Claim {row % 7}."]
            label = ("entailment", "not_entailment")[(row * 7 + row // 3) % 2]
            lines.append("\t".join([*cells, label] if labelled else cells))
        (place / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def smoke_run(keras, tmp_path_factory):
    """The run directory of a short, finished training of the demo recipe. Do not change it."""
    from compacter_cli.commands.train import train
    from compacter_cli.recipe import load_recipe

    directory = tmp_path_factory.mktemp("runs") / "smoke"
    recipe = load_recipe("demo/smoke_compacterpp", ["train.epochs=2", "train.warmup_steps=10"])
    train(recipe=recipe, directory=directory, device="cpu")
    return directory


@pytest.fixture(scope="session")
def real_data():
    """The folder of real GLUE and SuperGLUE files named by COMPACTER_TEST_DATA."""
    return _resource("COMPACTER_TEST_DATA", "the folder that holds glue/RTE/train.tsv")


@pytest.fixture(scope="session")
def real_preset():
    """The pretrained preset directory named by COMPACTER_TEST_PRESET."""
    return _resource("COMPACTER_TEST_PRESET", "the directory of a pretrained T5 preset")


def _resource(variable, what):
    path = os.environ.get(variable)
    if not path or not os.path.isdir(path):
        pytest.skip(f"{variable} does not name {what}")
    return path
