"""Run as a program: TFDS with TensorFlow, on made-up files that it takes for the published ones.

    python tfds_apart.py <originals> <zips> <RTE.zip> <work> <rows of every task, as JSON>

All goes by TFDS's public interface: the hash of a made-up file is registered in the place of the
published one's, and the file is put where TFDS looks for what was downloaded by hand.
"""

import contextlib
import dataclasses
import hashlib
import json
import shutil
import sys
from pathlib import Path

from compacter_cli.data import tfds_access
from compacter_cli.data import tfds_preparation as preparing
from compacter_cli.errors import CompacterError
from compacter_cli.tasks import TASKS
from compacter_cli.tasks.published import PublishedTask


def main(originals, zips, rte_zip, work, rows):
    tasks = {
        name: dataclasses.replace(TASKS[name], rows=counts)
        for name, counts in json.loads(rows).items()
    }
    told = {"facts": facts(Path(work))}
    for task in tasks.values():
        prepare(task, Path(originals), Path(zips), Path(work) / "array_record")
    write_tfrecord(Path(rte_zip), Path(work))
    told["refused"] = refusal(Path(rte_zip), Path(work) / "refused")
    (Path(work) / "told.json").write_text(json.dumps(told), encoding="utf-8")


def facts(work):
    """Fields, labels and registered hashes of every task."""
    found = {}
    for name, task in TASKS.items():
        if isinstance(task, PublishedTask):
            with tfds_access.tfds_builder(task, work / "none") as builder:
                found[name] = facts_of(task, builder)
    return found


def facts_of(task, builder):
    features = builder.info.features
    url = builder.builder_config.data_url
    by_name = {info.filename: info.checksum for info in builder.url_infos.values()}
    return {
        "fields": list(features),
        "labels": getattr(features["label"], "names", []) if "label" in features else [],
        # Both benchmarks have an RTE.zip, and of SuperGLUE's zips older ones are registered.
        "sha256": {builder.url_infos[url].filename: builder.url_infos[url].checksum}
        if task.original.archive
        else {name: by_name[name] for name in task.original.needed},
    }


def prepare(task, originals, zips, data_dir):
    """Prepare a task by the product's download from files that were put there by hand."""
    original = task.original
    if original.archive:
        files = [zips / original.benchmark / original.archive]
    else:
        files = list((originals / original.place).iterdir())
    manual = data_dir / "downloads" / original.benchmark / "manual"
    manual.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, manual)
    with registered(files):
        assert preparing.download(task, data_dir).made


@contextlib.contextmanager
def registered(files):
    """Lets builders take files for those that were published under their names."""
    original = tfds_access.tfds_builder

    @contextlib.contextmanager
    def builder_of(*given):
        with original(*given) as builder:
            register(builder, files)
            yield builder

    tfds_access.tfds_builder = builder_of
    try:
        yield
    finally:
        tfds_access.tfds_builder = original


def register(builder, files):
    for file in files:
        data = file.read_bytes()
        for url, info in builder.url_infos.items():
            if info.filename == file.name:
                builder.url_infos[url] = dataclasses.replace(
                    info, size=len(data), checksum=hashlib.sha256(data).hexdigest()
                )


def write_tfrecord(rte_zip, work):
    with tfds_access.quiet_tfds() as tfds:
        builder = tfds.builder("glue/rte:2.0.0", data_dir=work / "tfrecord", file_format="tfrecord")
        register(builder, [rte_zip])
        builder.download_and_prepare(
            download_dir=work / "downloads",
            download_config=tfds.download.DownloadConfig(manual_dir=rte_zip.parent),
        )


def refusal(rte_zip, data_dir):
    """What is said of a zip with other bytes than those that are registered."""
    manual = data_dir / "downloads" / "glue" / "manual"
    manual.mkdir(parents=True)
    (manual / "RTE.zip").write_bytes(rte_zip.read_bytes() + b"more")
    try:
        preparing.download(TASKS["glue/rte"], data_dir)
    except CompacterError as error:
        return [str(error), error.hint, sorted(path.name for path in data_dir.iterdir())]
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
