"""The made-up task: the same rows every time, none twice, labels by brute force."""

import json
import os
import subprocess
import sys
from collections import Counter

from compacter_cli.data.sources import load_rows
from compacter_cli.recipe.sections import DataSection
from compacter_cli.tasks import TASKS
from compacter_cli.tasks.smoke import FRUITS, METALS

SMOKE = TASKS["demo/smoke"]


def _sentences(split):
    return [row["sentence"] for row in SMOKE.generate()[split]]


def test_sizes_are_those_that_the_task_declares():
    assert {name: len(rows) for name, rows in SMOKE.generate().items()} == SMOKE.rows
    assert SMOKE.rows == {"train": 600, "validation": 200}


def test_rows_are_the_same_every_time_and_in_another_process():
    code = "from compacter_cli.tasks.smoke import SMOKE; import json; "
    code += "print(json.dumps(SMOKE.generate()))"
    other = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(other.stdout) == SMOKE.generate() == SMOKE.generate()


def test_no_row_occurs_twice_and_the_splits_share_none():
    train, validation = _sentences("train"), _sentences("validation")
    assert len({*train, *validation}) == len(train) + len(validation)


def test_labels_are_right():
    for rows in SMOKE.generate().values():
        for row in rows:
            words = row["sentence"].split(" ")
            assert set(words) <= {*FRUITS, *METALS}
            assert 3 <= len(words) <= 5
            assert len(set(words)) == len(words)
            assert row["label"] == (1 if set(words) & set(FRUITS) else 0)


def test_both_classes_are_common_in_both_splits():
    for name, rows in SMOKE.generate().items():
        counts = Counter(row["label"] for row in rows)
        assert min(counts[0], counts[1]) > 0.3 * len(rows), name


def test_rows_are_numbered_throughout():
    rows = [row for split in SMOKE.generate().values() for row in split]
    assert [row["idx"] for row in rows] == list(range(800))


def test_text_and_target():
    row = {"idx": 0, "sentence": "iron apple zinc", "label": 1}
    assert SMOKE.source(row) == "sentence: iron apple zinc"
    assert SMOKE.target(row) == "1"
    assert SMOKE.label_of("1") == "a fruit"
    assert SMOKE.prefix == "smoke"


def test_the_corpus_holds_every_word_the_task_can_say():
    words = set(" ".join(SMOKE.corpus()).split())
    assert {*FRUITS, *METALS, "sentence:", "smoke", "0", "1"} <= words


def test_loading_it_touches_no_disk_and_no_network(monkeypatch):
    from compacter_cli.data import tfds_preparation

    monkeypatch.setattr(tfds_preparation, "can_reach", None)
    rows = load_rows(SMOKE, DataSection(folder="/nowhere"), offline=True)
    assert rows.splits == SMOKE.generate()
    assert rows.origin == {"way": "generated"}
