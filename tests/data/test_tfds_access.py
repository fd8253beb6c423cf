"""tensorflow_datasets: quiet, without litter, and TensorFlow hidden again behind it."""

import contextlib
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from compacter_cli.data import tfds_access
from compacter_cli.data.tfds_access import (
    download_and_prepare,
    plain_row,
    quiet_tfds,
    tfds_builder,
)
from compacter_cli.errors import CompacterError
from compacter_cli.tasks import TASKS

RTE = TASKS["glue/rte"]


def test_what_is_printed_inside_is_dropped_and_outside_it_is_not(capfd):
    with quiet_tfds():
        print("Downloading and preparing ...")
    print("mine")
    assert capfd.readouterr() == ("mine\n", "")


def test_temporary_files_made_inside_are_gone_afterwards():
    before = tempfile.tempdir
    with quiet_tfds():
        left = Path(tempfile.mkdtemp())
        assert left.is_dir()
    assert not left.exists()
    assert tempfile.tempdir == before


def test_an_error_inside_leaves_all_as_it_was(capfd):
    before = tempfile.tempdir
    with pytest.raises(KeyError), quiet_tfds():
        raise KeyError("inside")
    print("mine")
    assert capfd.readouterr().out == "mine\n"
    assert tempfile.tempdir == before


def test_tensorflow_is_hidden_again_and_was_not_imported():
    assert sys.modules["tensorflow"] is None  # as the command line, and these tests, hide it
    with quiet_tfds() as tfds:
        assert tfds.__name__ == "tensorflow_datasets"
        assert "tensorflow" not in sys.modules
    assert sys.modules["tensorflow"] is None


def test_without_tensorflow_nothing_is_prepared_and_the_ways_out_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(tfds_access, "tensorflow_as_installed", contextlib.nullcontext)
    with pytest.raises(CompacterError) as caught, tfds_builder(RTE, tmp_path):
        pass
    assert str(caught.value).startswith("TFDS needs a package to prepare glue/rte that is not here")
    assert "pip install tensorflow" in caught.value.hint
    assert "data.archive" in caught.value.hint


def test_a_download_is_checked_and_unpacks_nothing_that_stays(monkeypatch, tmp_path):
    calls = []
    made = tmp_path / "staging" / "glue" / "rte" / "2.0.0"
    builder = SimpleNamespace(
        data_dir=str(made), download_and_prepare=lambda **given: calls.append(given)
    )

    @contextlib.contextmanager
    def builder_of(task, data_dir):
        assert (task, data_dir) == (RTE, tmp_path / "staging")
        yield builder

    monkeypatch.setattr(tfds_access, "tfds_builder", builder_of)
    downloads = tmp_path / "downloads"
    assert download_and_prepare(RTE, tmp_path / "staging", downloads) == made
    ((given,),) = [calls]
    config = given["download_config"]
    assert given["download_dir"] == downloads
    assert config.manual_dir == downloads / "manual"
    assert config.extract_dir == tmp_path / "staging" / "extracted"
    assert config.force_checksums_validation
    assert not config.register_checksums  # it would write into the installed package


def test_neither_stdout_nor_stderr_hears_of_a_download(tfds_apart):
    assert tfds_apart.printed == ("", "")


# Rows


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (b"\xc3\x96l", "Öl"),
        (np.int32(3), 3),
        (np.float32(3.8), 3.799999952316284),
        (np.array([b"Ada", b"Oslo"], dtype=object), ["Ada", "Oslo"]),
        (np.array([], dtype=object), []),
        ([b"Ada", np.int64(1)], ["Ada", 1]),
        ({"paragraph": np.int32(0), "text": b"t"}, {"paragraph": 0, "text": "t"}),
        ({"deep": {"er": [b"a"]}}, {"deep": {"er": ["a"]}}),
        ("text", "text"),
        (None, None),
    ],
)
def test_rows_become_plain_python_values(value, plain):
    found = plain_row({"field": value})["field"]
    assert found == plain
    assert type(found) is type(plain)
    assert list(map(type, found)) == list(map(type, plain)) if isinstance(plain, list) else True


def test_text_that_is_not_utf8_is_an_error():
    with pytest.raises(UnicodeDecodeError):
        plain_row({"field": b"caf\xe9"})
