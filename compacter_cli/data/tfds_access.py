"""tensorflow_datasets without its TensorFlow and without its talking."""

import contextlib
import io
import tempfile

from compacter_cli.errors import CompacterError
from compacter_cli.t5.runtime import quiet_stderr, tensorflow_as_installed


@contextlib.contextmanager
def quiet_tfds():
    """tensorflow_datasets, with what it prints to stdout dropped and its litter cleaned up."""
    with (
        tensorflow_as_installed(),
        contextlib.redirect_stdout(io.StringIO()),
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
        try:
            with quiet_stderr():  # SuperGLUE's builder imports TensorFlow, which talks
                builder = tfds.builder(
                    task.original.tfds, data_dir=where, file_format="array_record"
                )
        except ImportError as error:
            raise CompacterError(
                f"TFDS needs a package to read {task.name} that is not here: {error}",
                "pip install tensorflow",
            ) from error
        yield builder


def plain_row(row):
    """A TFDS row as plain Python values, nested ones too."""
    return {key: _plain(value) for key, value in row.items()}


def _plain(value):
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, dict):
        return plain_row(value)
    if isinstance(value, (list, tuple)) or getattr(value, "shape", ()):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value
