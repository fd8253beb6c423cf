"""tensorflow_datasets without its TensorFlow and without its talking."""

import contextlib
import sys
import tempfile

from compacter_cli.runtime import tensorflow_as_installed


@contextlib.contextmanager
def quiet_tfds():
    """tensorflow_datasets, with what it prints sent to stderr and its litter cleaned up."""
    with (
        tensorflow_as_installed(),
        contextlib.redirect_stdout(sys.stderr),
        _scratch_directory(),
    ):
        import tensorflow_datasets

        tensorflow_datasets.disable_progress_bar()
        yield tensorflow_datasets


@contextlib.contextmanager
def _scratch_directory():
    # Every builder makes a temporary folder that TFDS never removes.
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as scratch:
        tempfile.tempdir = scratch
        try:
            yield
        finally:
            tempfile.tempdir = before


@contextlib.contextmanager
def tfds_builder(task, data_dir=None):
    """The task's TFDS builder, for ArrayRecord below `data_dir`."""
    with quiet_tfds() as tfds, tempfile.TemporaryDirectory() as unused:
        where = str(data_dir or unused)
        yield tfds.builder(task.original.tfds, data_dir=where, file_format="array_record")


def plain_row(row):
    """A TFDS row as plain Python values."""
    return {
        key: value.decode("utf-8") if isinstance(value, bytes) else _number(value)
        for key, value in row.items()
    }


def _number(value):
    return value.item() if hasattr(value, "item") else value
