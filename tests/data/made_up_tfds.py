"""A TFDS builder of made-up RTE files, written as anyone writes one.

TFDS's own unpacks the zip by TensorFlow, which the tests keep out of their process.
"""

import csv
from pathlib import Path
from typing import ClassVar

import numpy as np

from compacter_cli.data.tfds_access import quiet_tfds

FILES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}


def store_rte(place, data_dir):
    """Prepare RTE's files in `place` below a data directory; gives the prepared directory."""
    with quiet_tfds() as tfds:
        builder = builder_class(tfds)(config="rte", data_dir=data_dir, file_format="array_record")
        builder.place = place
        builder.download_and_prepare(download_dir=data_dir / "downloads")
    return Path(builder.data_dir)


def builder_class(tfds):
    """GLUE's RTE, as far as a prepared directory shows it."""

    class Glue(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = "glue"
        VERSION = tfds.core.Version("2.0.0")
        BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name="rte")]

        def _info(self):
            features = {
                "sentence1": tfds.features.Text(),
                "sentence2": tfds.features.Text(),
                "label": tfds.features.ClassLabel(names=["entailment", "not_entailment"]),
                "idx": np.int32,
            }
            described = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=described)

        def _split_generators(self, _):
            return {split: self._generate_examples(file) for split, file in FILES.items()}

        def _generate_examples(self, file):
            with open(self.place / file, encoding="utf-8", newline="\n") as lines:
                for line in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
                    idx = int(line["index"])
                    texts = {name: line[name] for name in ("sentence1", "sentence2")}
                    yield idx, {**texts, "label": line.get("label", -1), "idx": idx}

    return Glue
