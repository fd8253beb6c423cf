"""What the tests share: Keras on torch, tiny backbones, made-up original files, a trained run."""

import dataclasses
import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from compacter_cli.t5.runtime import hide_tensorflow, start_keras

os.environ["KERAS_BACKEND"] = "torch"
# Tiny models gain nothing from threads, and lose much where another program wants a core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
hide_tensorflow()  # as the command line does

_IMPORTED = {}  # TensorFlow, where a module of tests has imported it

TINY = {
    "v1_0": {"activation": "relu", "use_gated_activation": False, "tie_embedding_weights": True},
    "gated": {"activation": "gelu", "use_gated_activation": True, "tie_embedding_weights": False},
}


# TFDS needs TensorFlow to write TFRECORD, and the tests hide it: another process.
WRITE_TFRECORD = """
import sys
import tensorflow_datasets as tfds
from compacter_cli.data.original_files import LocalFiles
from compacter_cli.tasks import TASKS

tfds.disable_progress_bar()
root, data_dir = sys.argv[1:]
builder = tfds.builder("glue/rte:2.0.0", data_dir=data_dir, file_format="tfrecord")
builder._make_download_manager = lambda **_: LocalFiles(root, TASKS["glue/rte"], builder)
builder.download_and_prepare()
"""


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
def rte_archive(rte_folder, tmp_path_factory):
    """The zip of the made-up RTE files. Do not change it."""
    path = tmp_path_factory.mktemp("zip") / "RTE.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in ("train.tsv", "dev.tsv", "test.tsv"):
            zipped.write(rte_folder / "glue" / "RTE" / name, f"RTE/{name}")
    return path


@pytest.fixture(scope="session")
def array_record(rte_archive, tmp_path_factory):
    """A data directory of the made-up RTE, prepared by the download path. Do not change it."""
    from compacter_cli.data import tfds_preparation as preparing
    from compacter_cli.tasks import TASKS

    data_dir = tmp_path_factory.mktemp("array_record")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "_fetch", lambda *_: {"RTE.zip": rte_archive})
        preparing.download(TASKS["glue/rte"], data_dir)
    return data_dir


@pytest.fixture(scope="session")
def tfrecord(rte_folder, tmp_path_factory):
    """A data directory of the made-up RTE as TFRECORD, TFDS' default. Do not change it."""
    data_dir = tmp_path_factory.mktemp("tfrecord")
    command = [sys.executable, "-c", WRITE_TFRECORD, str(rte_folder / "glue"), str(data_dir)]
    subprocess.run(command, check=True, capture_output=True)
    return data_dir


@pytest.fixture
def copied(tmp_path):
    """Copies a prepared data directory of RTE; gives the copy and its version directory."""

    def copied(data_dir):
        shutil.copytree(data_dir, tmp_path / "copy")
        return tmp_path / "copy", tmp_path / "copy" / "glue" / "rte" / "2.0.0"

    return copied


@pytest.fixture
def fetched(monkeypatch, rte_archive):
    """Calls of the download; each gives the local zip. The network counts as there."""
    from compacter_cli.data import sources
    from compacter_cli.data import tfds_preparation as preparing

    calls = []
    monkeypatch.setattr(sources, "can_reach", lambda host: True)
    monkeypatch.setattr(
        preparing, "_fetch", lambda *given: calls.append(given) or {"RTE.zip": rte_archive}
    )
    return calls


@pytest.fixture(scope="module")
def tensorflow_apart():
    """For modules that read SuperGLUE: its builders import TensorFlow, hidden again afterwards."""
    sys.modules.update(_IMPORTED)
    yield
    for name in ("tensorflow", "tensorflow_text"):
        if sys.modules.get(name) is not None:
            _IMPORTED[name], sys.modules[name] = sys.modules[name], None


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    """Small made-up original files of all fourteen tasks. Do not change them.

    `folder` and `archives` hold them as `data prepare` takes them; `tasks` are the tasks with the
    small files' numbers of rows; `rows` are the rows that must come of them, by hand.
    """
    from compacter_cli.tasks import TASKS

    folder, archives = (tmp_path_factory.mktemp(name) for name in ("small", "zips"))
    tasks, expected = {}, {}
    for name, (files, rows) in _original_archives().items():
        task = dataclasses.replace(TASKS[name], rows={k: len(v) for k, v in rows.items()})
        place = folder / task.original.benchmark / task.original.folder
        place.mkdir(parents=True)
        for file, text in files.items():
            (place / file).write_text(text, encoding="utf-8")
        if task.original.archive:
            path = archives / task.original.benchmark / task.original.archive
            shutil.make_archive(path.with_suffix(""), "zip", place.parent, place.name)
        tasks[name], expected[name] = task, rows
    return SimpleNamespace(folder=folder, archives=archives, tasks=tasks, rows=expected)


def _original_archives():
    path = Path(__file__).with_name("data") / "original_archives.py"  # the tests are no package
    return runpy.run_path(str(path))["ORIGINALS"]


def _of_world(name):
    """What a helper of the demo world's tests defines, by name."""
    path = Path(__file__).with_name("world") / f"{name}.py"
    return SimpleNamespace(**runpy.run_path(str(path)))


@pytest.fixture(scope="session")
def is_english():
    """Whether a sentence is English, strictly or (`wide=True`) as readers are lenient."""
    return _of_world("english").is_english


@pytest.fixture(scope="session")
def models():
    """Finite models of the demo world: `random_model`, `Model` and `Thing`."""
    return _of_world("models")


@pytest.fixture(scope="session")
def alike():
    """How words and sentences are alike by brute force: `relation`, `parsed`, `score`."""
    return _of_world("alike")


@pytest.fixture(scope="session")
def sounds_positive():
    """Whether an opinion sounds positive, by rules of its own."""
    return _of_world("polarity").sounds_positive


@pytest.fixture(scope="session")
def smoke_run(keras, tmp_path_factory):
    """The run directory of a short, finished training of the demo recipe. Do not change it."""
    from compacter_cli.commands.train import train
    from compacter_cli.recipe.recipe import load_recipe

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
