"""tensorflow_datasets by its public interface: quiet, and without TensorFlow but to prepare."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from compacter_cli.errors import CompacterError
from compacter_cli.t5.runtime import quiet_stderr, tensorflow_as_installed

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

    from compacter_cli.tasks.base import Row
    from compacter_cli.tasks.published import PublishedTask


@contextlib.contextmanager
def quiet_tfds() -> Iterator[ModuleType]:
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
def _scratch_directory() -> Iterator[None]:
    # Every builder makes a temporary folder that TFDS never removes.
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as scratch:
        tempfile.tempdir = scratch
        try:
            yield
        finally:
            tempfile.tempdir = before


@contextlib.contextmanager
def tfds_builder(task: PublishedTask, data_dir: Path) -> Iterator[tfds.core.DatasetBuilder]:
    """The task's TFDS builder, for ArrayRecord below `data_dir`.

    Raises:
        CompacterError: TensorFlow is not installed.
    """
    with quiet_tfds() as library:
        try:
            with quiet_stderr():  # TensorFlow talks while it is imported
                # SuperGLUE's builders import it, and what unpacks a zip for any of them.
                import tensorflow  # noqa: F401

                builder = library.builder(
                    task.original.tfds, data_dir=str(data_dir), file_format="array_record"
                )
        except ImportError as error:
            raise CompacterError(
                f"TFDS needs a package to prepare {task.name} that is not here: {error}",
                "pip install tensorflow, or read the original files: data.archive, data.folder",
            ) from error
        yield builder


def download_and_prepare(task: PublishedTask, data_dir: Path, downloads: Path) -> Path:
    """Let TFDS download a task and prepare it below `data_dir`.

    Every file is held against the hash that TFDS has registered. What is below `downloads` is not
    fetched again; a file put by hand into `downloads`/manual is taken in the place of its download.

    Returns:
        The prepared directory.

    Raises:
        Exception: whatever TFDS and requests raise: there are many kinds.
    """
    with tfds_builder(task, data_dir) as builder:
        import tensorflow_datasets as tfds

        config = tfds.download.DownloadConfig(
            manual_dir=downloads / "manual",
            extract_dir=data_dir / "extracted",  # TFDS would take what an older zip left there
            force_checksums_validation=True,
        )
        builder.download_and_prepare(download_dir=downloads, download_config=config)
        return Path(builder.data_dir)


def plain_row(row: dict[str, Any]) -> Row:
    """A TFDS row as plain Python values, nested ones too."""
    return {key: _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, dict):
        return plain_row(value)
    if isinstance(value, (list, tuple)) or getattr(value, "shape", ()):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value
