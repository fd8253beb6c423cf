"""What the tests share: Keras on torch, tiny backbones, made-up original files, a trained run."""

import dataclasses
import gc
import json
import os
import runpy
import shutil
import signal
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
# A job in the background of a script ignores Ctrl-C, and so would every process begun here.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """All quick tests are run by two workers where nothing else is said (`-n 0`: by none).

    A folder or test by name stays in this process, and so do the slow ones, some of which look at
    the clock. Without pytest-xdist there is but one process. A worker begins no others.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:  # a worker, or what one of its tests began
        return
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    unsaid = config.getoption("numprocesses", 0) is None and config.getoption("dist") == "no"
    quick = config.option.markexpr == "not slow" and not config.option.usepdb
    if everything and unsaid and quick and os.cpu_count() != 1:
        config.option.numprocesses, config.option.dist = 2, "loadfile"


TINY = {
    "v1_0": {"activation": "relu", "use_gated_activation": False, "tie_embedding_weights": True},
    "gated": {"activation": "gelu", "use_gated_activation": True, "tie_embedding_weights": False},
}


def pytest_addoption(parser):
    """`--rewrite`: files that are made from the program are written anew instead of compared."""
    parser.addoption("--rewrite", action="store_true", help="Write docs/schemas and tests/screens.")


@pytest.fixture
def kept(request):
    """Compares a text with a file that is kept, or writes it there with `--rewrite`."""

    def compare(path, text):
        if request.config.getoption("--rewrite"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{path} is not there: write it with pytest --rewrite"
        assert text == path.read_text(encoding="utf-8"), f"{path}: is it meant? pytest --rewrite"

    return compare


@pytest.fixture(scope="session")
def keras():
    """Keras, started as the command line starts it; none looks for cycles in frameworks again."""
    started = start_keras()
    import keras_hub  # noqa: F401 - most of what there is to go through

    gc.collect()
    gc.freeze()
    return started


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
def array_record(rte_folder, tmp_path_factory):
    """A data directory of the made-up RTE, prepared by the download path. Do not change it."""
    from compacter_cli.data import tfds_preparation as preparing
    from compacter_cli.tasks import TASKS

    place = rte_folder / "glue" / "RTE"
    store = _of("data", "made_up_tfds").store_rte
    data_dir = tmp_path_factory.mktemp("array_record")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            preparing, "download_and_prepare", lambda _, staging, __: store(place, staging)
        )
        preparing.download(TASKS["glue/rte"], data_dir)
    return data_dir


@pytest.fixture(scope="session")
def tfds_apart(originals, rte_archive, tmp_path_factory):
    """What TFDS itself makes of made-up files, in a process of its own, for it needs TensorFlow.

    `array_record` is a data directory of the small originals, downloaded (from files put there by
    hand) and prepared; `tfrecord` one of the made-up RTE; `facts` are what TFDS says of every
    task; `refused` is what is said of a zip with other bytes than the registered ones; `printed`
    what went to stdout and stderr. Do not change them.
    """
    work = tmp_path_factory.mktemp("tfds")
    script = Path(__file__).with_name("data") / "tfds_apart.py"
    rows = {name: task.rows for name, task in originals.tasks.items()}
    given = [originals.folder, originals.archives, rte_archive, work, json.dumps(rows)]
    done = subprocess.run(
        [sys.executable, str(script), *map(str, given)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(
        array_record=work / "array_record",
        tfrecord=work / "tfrecord",
        printed=(done.stdout, done.stderr),
        **json.loads((work / "told.json").read_text(encoding="utf-8")),
    )


@pytest.fixture(scope="session")
def tfrecord(tfds_apart):
    """A data directory of the made-up RTE as TFRECORD, TFDS' default. Do not change it."""
    return tfds_apart.tfrecord


@pytest.fixture
def copied(tmp_path):
    """Copies a prepared data directory of RTE; gives the copy and its version directory."""

    def copied(data_dir):
        shutil.copytree(data_dir, tmp_path / "copy")
        return tmp_path / "copy", tmp_path / "copy" / "glue" / "rte" / "2.0.0"

    return copied


@pytest.fixture
def fetched(monkeypatch, array_record):
    """Calls of TFDS' download; each gives the made-up RTE. The network counts as there."""
    from compacter_cli.data import tfds_preparation as preparing

    calls = []

    def download_and_prepare(task, data_dir, downloads):
        calls.append((task, data_dir, downloads))
        made = Path("glue", "rte", "2.0.0")
        without = shutil.ignore_patterns("compacter.json")
        return Path(shutil.copytree(array_record / made, data_dir / made, ignore=without))

    monkeypatch.setattr(preparing, "can_reach", lambda host: True)
    monkeypatch.setattr(preparing, "download_and_prepare", download_and_prepare)
    return calls


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    """Small made-up original files of all fourteen tasks. Do not change them.

    `folder` and `archives` hold them as `data status` takes them; `tasks` are the tasks with the
    small files' numbers of rows; `rows` are the rows that must come of them, by hand.
    """
    from compacter_cli.tasks import TASKS

    folder, archives = (tmp_path_factory.mktemp(name) for name in ("small", "zips"))
    tasks, expected = {}, {}
    for name, (files, rows) in _of("data", "original_archives").ORIGINALS.items():
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


def _of(folder, name):
    """What a file of helpers beside the tests defines, by name: the tests are no package."""
    path = Path(__file__).parent / folder / f"{name}.py"
    return SimpleNamespace(**runpy.run_path(str(path)))


@pytest.fixture(scope="session")
def is_english():
    """Whether a sentence is English, strictly or (`wide=True`) as readers are lenient."""
    return _of("world", "english").is_english


@pytest.fixture(scope="session")
def models():
    """Finite models of the demo world: `random_model`, `Model` and `Thing`."""
    return _of("world", "models")


@pytest.fixture(scope="session")
def alike():
    """How words and sentences are alike by brute force: `relation`, `parsed`, `score`."""
    return _of("world", "alike")


@pytest.fixture(scope="session")
def sounds_positive():
    """Whether an opinion sounds positive, by rules of its own."""
    return _of("world", "polarity").sounds_positive


@pytest.fixture(scope="session")
def smoke_run(keras, tmp_path_factory):
    """The run directory of a short, finished training of the demo recipe. Do not change it."""
    from compacter_cli.recipe.recipe import load_recipe
    from compacter_cli.training.run import train

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
