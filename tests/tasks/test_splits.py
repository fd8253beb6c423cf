"""Split rules against plain ones made of torch.randperm; permutations as the protocol has them."""

import copy

import pytest
import torch

from compacter_cli.tasks import PUBLISHED
from compacter_cli.tasks.splits import (
    HALVED_VALIDATION,
    HELD_OUT_TRAINING,
    MISMATCHED_MATCHED,
    permutation,
)

RULES = [HALVED_VALIDATION, HELD_OUT_TRAINING, MISMATCHED_MATCHED]
EACH = pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
COUNTS = {"train": 1707, "validation": 277, "validation_matched": 31, "validation_mismatched": 22}


def _splits(**counts):
    return {name: [f"{name} {row}" for row in range(count)] for name, count in counts.items()}


def _drawn(length, seed):
    generator = torch.Generator()
    generator.manual_seed(seed)
    return [int(index) for index in torch.randperm(length, generator=generator)]


@pytest.mark.parametrize(
    ("length", "beginning"),
    [
        (277, [207, 84, 253, 243, 190, 28, 165, 111]),
        (408, [30, 63, 342, 322, 6, 302, 94, 83]),
        (56, [22, 8, 36, 39, 34, 28, 26, 6]),
        (100, [42, 96, 62, 98, 46, 95, 60, 24]),
        (1500, [42, 340, 1028, 766, 1150]),
    ],
)
def test_permutations_begin_as_the_protocol_says(length, beginning):
    order = list(permutation(length, 42))
    assert order[: len(beginning)] == beginning
    assert sorted(order) == list(range(length))


@pytest.mark.parametrize("length", [0, 1, 2, 277, 30_000])
@pytest.mark.parametrize("seed", [0, 42, 2**40])
def test_a_permutation_is_torchs(length, seed):
    order = list(permutation(length, seed))
    assert order == _drawn(length, seed)
    assert all(type(index) is int for index in order)


def test_a_permutation_neither_reads_nor_moves_torchs_own_generator():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = permutation(277, 42)
    assert torch.rand(1) == expected
    torch.manual_seed(6)
    assert permutation(277, 42) == first


@pytest.mark.parametrize("seed", [0, 42, 43])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 56, 277, 1043])
def test_the_validation_set_is_halved(length, seed):
    rows = _splits(train=5, validation=length)
    found = HALVED_VALIDATION.apply(rows, seed)
    order = _drawn(length, seed)
    validation = [f"validation {order[place]}" for place in range(length) if 2 * place + 1 < length]
    test = [f"validation {order[place]}" for place in range(length) if 2 * place + 1 >= length]
    assert found == {"train": rows["train"], "validation": validation, "test": test}
    assert len(test) - len(validation) == length % 2  # the odd row goes to the test


@pytest.mark.parametrize("seed", [0, 42, 43])
@pytest.mark.parametrize("length", [1000, 1001, 2345])
def test_a_thousand_training_rows_are_held_out(length, seed):
    rows = _splits(train=length, validation=7)
    found = HELD_OUT_TRAINING.apply(rows, seed)
    order = _drawn(length, seed)
    assert found["validation"] == [f"train {order[place]}" for place in range(1000)]
    assert found["train"] == [f"train {order[place]}" for place in range(1000, length)]
    assert found["test"] == rows["validation"]


@pytest.mark.parametrize("seed", [0, 42])
def test_mismatched_rows_validate_and_matched_ones_test_whatever_the_seed(seed):
    rows = _splits(train=3, validation_matched=5, validation_mismatched=4)
    found = MISMATCHED_MATCHED.apply(rows, seed)
    assert found == {
        "train": ["train 0", "train 1", "train 2"],
        "validation": [f"validation_mismatched {row}" for row in range(4)],
        "test": [f"validation_matched {row}" for row in range(5)],
    }


@EACH
def test_splits_are_disjoint_and_complete_and_sizes_agree(rule):
    rows = _splits(**{name: COUNTS[name] for name in rule.reads})
    before = copy.deepcopy(rows)
    found = rule.apply(rows, 42)
    assert list(found) == ["train", "validation", "test"]
    assert {name: len(split) for name, split in found.items()} == rule.sizes(COUNTS)
    everything = [row for split in found.values() for row in split]
    assert len(everything) == len(set(everything))
    assert sorted(everything) == sorted(row for name in rule.reads for row in rows[name])
    assert rows == before


@pytest.mark.parametrize("length", range(10))
def test_sizes_of_halves_agree_for_odd_and_even_lengths(length):
    found = HALVED_VALIDATION.apply(_splits(train=2, validation=length), 42)
    sizes = HALVED_VALIDATION.sizes({"train": 2, "validation": length})
    assert {name: len(split) for name, split in found.items()} == sizes


@pytest.mark.parametrize("rule", RULES[:2], ids=["halved", "held out"])
def test_the_data_seed_decides_and_the_same_one_decides_the_same(rule):
    rows = _splits(train=1707, validation=277)
    assert rule.apply(rows, 42) == rule.apply(rows, 42)
    assert set(rule.apply(rows, 42)["validation"]) != set(rule.apply(rows, 43)["validation"])


def test_which_task_follows_which_rule():
    rules = {task.name.rpartition("/")[2]: task.split for task in PUBLISHED}
    assert {name for name, rule in rules.items() if rule is MISMATCHED_MATCHED} == {"mnli"}
    held_out = {name for name, rule in rules.items() if rule is HELD_OUT_TRAINING}
    assert held_out == {"sst2", "qqp", "qnli", "record"}
    halved = {name for name, rule in rules.items() if rule is HALVED_VALIDATION}
    assert halved == {"cola", "mrpc", "stsb", "rte", "boolq", "cb", "copa", "multirc", "wic"}


@pytest.mark.parametrize("task", PUBLISHED, ids=lambda task: task.name)
def test_the_official_rows_are_all_used(task):
    assert sum(task.split.sizes(task.rows).values()) == sum(task.rows.values())


@EACH
def test_a_rule_says_what_it_does(rule):
    assert "validat" in rule.words
    assert "train" in rule.reads
