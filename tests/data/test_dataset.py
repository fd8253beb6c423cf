"""Splits, tokens and batches, by hand; `test_splits.py` has the split rules themselves."""

import random

import pytest
import torch

from compacter_cli.data.dataset import (
    Split,
    batches,
    build_dataset,
    shuffled_order,
    subset,
    with_prefix,
)
from compacter_cli.data.sources import Rows
from compacter_cli.errors import CompacterError
from compacter_cli.recipe.sections import DataSection
from compacter_cli.t5.batch import collate, pad
from compacter_cli.tasks import TASKS
from compacter_cli.tasks.base import Task
from compacter_cli.tasks.splits import HELD_OUT_TRAINING, permutation


class Letters:
    """A vocabulary of letters: one token a letter, "a" is 10, "b" 11 and so on."""

    def encode(self, texts):
        return [[ord(letter) - ord("a") + 10 for letter in text] for text in texts]

    def decode(self, ids):
        return "".join(chr(token - 10 + ord("a")) for token in ids)

    def longest(self, texts):
        return max(((text, len(text) + 1) for text in texts), key=lambda pair: pair[1])


def _task(**given):
    given = {"fields": ("text",), "metrics": ("accuracy",), "labels": ("no", "yes"), **given}
    return Task(name="made/up", **given)


TASK = _task()
RECORD = TASKS["super_glue/record"]


def drawn(length):
    return list(permutation(length, 42))


def _row(idx, text, label=0):
    return {"idx": idx, "text": text, "label": label}


def _dataset(train, validation, seed=42, task=TASK, **section):
    rows = Rows({"train": train, "validation": validation}, {"way": "made up"})
    return build_dataset(task, rows, Letters(), DataSection(**section), seed)


# Splits


def test_the_validation_set_is_halved_by_the_data_seeds_permutation():
    train, validation = [_row(9, "t")], [_row(i, "v") for i in range(277)]
    dataset = _dataset(train, validation, seed=1)
    assert dataset.train.rows == train
    assert [row["idx"] for row in dataset.validation.rows] == drawn(277)[:138]
    assert [row["idx"] for row in dataset.test.rows] == drawn(277)[138:]


def test_a_tasks_own_rule_splits_its_rows():
    train, validation = [_row(i, "t") for i in range(1003)], [_row(i, "v") for i in range(4)]
    dataset = _dataset(train, validation, task=_task(split=HELD_OUT_TRAINING))
    assert [row["idx"] for row in dataset.validation.rows] == drawn(1003)[:1000]
    assert [row["idx"] for row in dataset.train.rows] == drawn(1003)[1000:]
    assert dataset.test.rows == validation


def test_the_data_seed_decides_the_splits_and_the_run_seed_does_not():
    train = [_row(i, "ab") for i in range(20)]
    rows = Rows({"train": train, "validation": [_row(i, "abcdefghij"[i]) for i in range(10)]}, {})

    def build(data_seed, seed):
        return build_dataset(TASK, rows, Letters(), DataSection(seed=data_seed), seed)

    assert build(42, 1) == build(42, 2)
    assert build(43, 1).test != build(42, 1).test
    assert build(43, 1).train == build(42, 1).train


def test_a_subset_is_drawn_from_the_run_seed_in_file_order():
    rows = list(range(100))
    assert subset(rows, 5, 42) == sorted(permutation(100, 42)[:5])
    assert subset(rows, 5, 42) == [42, 46, 62, 96, 98]
    assert subset(rows, 5, 43) != subset(rows, 5, 42)
    assert subset(rows, 500, 42) == rows


def test_max_train_samples_cuts_the_training_set_alone():
    train = [_row(i, "abcdefghijklmnopqrst"[i]) for i in range(20)]
    validation = [_row(i, "ab") for i in range(10)]
    one = _dataset(train, validation, seed=1, max_train_samples=5)
    assert len(one.train) == 5
    assert (len(one.validation), len(one.test)) == (5, 5)
    assert one.train.sources == sorted(one.train.sources)  # still in the file's order
    again = _dataset(train, validation, seed=1, max_train_samples=5)
    other = _dataset(train, validation, seed=2, max_train_samples=5)
    assert again.train == one.train
    assert other.train != one.train
    assert other.test == one.test


# Tokens


def test_sources_and_targets_end_with_the_end_token():
    dataset = _dataset([_row(0, "ab", 1)], [_row(0, "b"), _row(1, "a")])
    # "text: ab": t e x t : space a b, by their place in the alphabet plus 10
    assert dataset.train.sources == [[29, 14, 33, 29, -29, -55, 10, 11, 1]]
    assert dataset.train.targets == [[ord("1") - ord("a") + 10, 1]]
    assert dataset.train.rows == [_row(0, "ab", 1)]
    assert dataset.answer_length == 2
    assert dataset.origin == {"way": "made up"}


def test_a_long_source_is_cut_and_counted_and_keeps_its_end_token():
    # "text: " is six letters; the end token makes seven
    train = [_row(0, "a"), _row(1, "abc"), _row(2, "abcd"), _row(3, "abcdefgh")]
    dataset = _dataset(train, [_row(0, "abcd"), _row(1, "a")], source_length=10)
    assert [len(ids) for ids in dataset.train.sources] == [8, 10, 10, 10]
    assert all(ids[-1] == 1 and ids.count(1) == 1 for ids in dataset.train.sources)
    assert dataset.train.sources[1] == dataset.train.sources[2] == dataset.train.sources[3]
    assert dataset.train.truncated == 2  # the one that just fits is not cut
    assert dataset.validation.truncated + dataset.test.truncated == 1


def test_a_label_is_never_cut():
    wide = _task(labels=tuple("x" * 101))
    rows = [_row(0, "a", 7), _row(1, "a", 100)]
    dataset = _dataset(rows, rows, task=wide, target_length=4)
    assert [len(ids) for ids in dataset.train.targets] == [2, 4]
    assert dataset.answer_length == 4
    with pytest.raises(CompacterError, match="more than data") as caught:
        _dataset(rows, rows, task=wide, target_length=3)
    assert str(caught.value).startswith('made/up, train: the target "100" is 4 tokens long')
    assert caught.value.hint.startswith("--set data.target_length=4, ")


def _query(number, *answers):
    return {
        "idx": {"passage": number, "query": 0},
        "passage": f"p{number}",
        "query": "q",
        "entities": list(answers),
        "answers": list(answers),
    }


class Forgetful(Letters):
    """Knows all letters but z."""

    def decode(self, ids):
        return super().decode(ids).replace("z", "?")


def _own(task, targets):
    rows = [_row(idx, "a", target) for idx, target in enumerate(targets)]
    rows = Rows({"train": rows, "validation": rows[:4]}, {"way": "made up"})
    return build_dataset(task, rows, Forgetful(), DataSection(), 42)


def test_a_label_that_the_vocabulary_cannot_write_is_an_error_before_training():
    class Words(Task):
        targets = ("no", "zes")

    task = Words(name="made/up", fields=("text",), metrics=("accuracy",), labels=("no", "zes"))
    with pytest.raises(CompacterError, match=r'cannot write the label "zes" \(.* "\?es"\)'):
        _own(task, ["no", "zes"] * 4)


def test_free_targets_that_the_vocabulary_cannot_write_are_counted():
    task = _task(labels=())
    assert _own(task, ["no", "zes", "zes", "yes", "az"]).unwritable == 3
    assert _own(task, ["no", "yes"] * 3).unwritable == 0


def test_a_row_of_several_answers_trains_on_each_and_is_evaluated_once():
    train = [_query(number, "a", f"b{number}") for number in range(1003)]
    dataset = _dataset(train, [_query(5000, "x", "y")], task=RECORD, target_length=7)
    assert len(dataset.validation) == 1000  # queries, not examples
    held = [row["idx"]["passage"] for row in dataset.validation.rows]
    assert held == drawn(1003)[:1000]
    assert [row["answers"] for row in dataset.train.rows] == [
        [answer] for number in drawn(1003)[1000:] for answer in ("a", f"b{number}")
    ]
    assert dataset.test.rows == [_query(5000, "x", "y")]
    assert dataset.test.targets == [[ord("x") - ord("a") + 10, 1]]
    assert dataset.answer_length == 7  # free text may be as long as any target


def test_the_training_subset_is_drawn_from_examples_not_rows():
    train = [_query(number, "a", "b", "c") for number in range(1004)]
    dataset = _dataset(train, [_query(5000, "x")], task=RECORD, max_train_samples=5, seed=3)
    order = permutation(1004, 42)[1000:]
    examples = [(number, answer) for number in order for answer in "abc"]
    found = [(row["idx"]["passage"], *row["answers"]) for row in dataset.train.rows]
    assert found == subset(examples, 5, 3)


def test_the_prefix_stands_before_every_source():
    assert with_prefix("text: abc", "up") == "up text: abc"
    assert with_prefix("text: abc", None) == with_prefix("text: abc", "") == "text: abc"
    row = _row(0, "abc")
    plain, prefixed = (_dataset([row], [row, row], prefix=p).train.sources[0] for p in ("", "up"))
    assert prefixed == Letters().encode(["up "])[0] + plain


def test_splits_are_found_by_name():
    dataset = _dataset([_row(0, "a")], [_row(0, "b"), _row(1, "c")])
    assert dataset.split("test") is dataset.test
    assert [dataset.split(name).name for name in ("train", "validation", "test")] == [
        "train",
        "validation",
        "test",
    ]
    assert len(dataset.train) == 1


# Batches


def test_padding_and_mask_by_hand():
    ids, mask = pad([[5, 6, 1], [7, 1], [1]], "cpu")
    assert ids.tolist() == [[5, 6, 1], [7, 1, 0], [1, 0, 0]]
    assert mask.tolist() == [[True, True, True], [True, True, False], [True, False, False]]
    assert ids.dtype == torch.int64
    assert mask.dtype == torch.bool


def test_the_mask_follows_lengths_and_not_the_pads_value():
    _, mask = pad([[0, 5, 0, 1], [5, 1]], "cpu")
    assert mask.tolist() == [[True] * 4, [True, True, False, False]]


def test_a_batch_counts_its_rows_and_real_target_tokens():
    batch = collate([[5, 1], [5, 6, 7, 1]], [[8, 1], [8, 9, 1]], "cpu")
    assert len(batch) == 2
    assert batch.target_tokens == 5
    assert batch.source_ids.shape == batch.source_mask.shape == (2, 4)
    assert batch.target_ids.shape == batch.target_mask.shape == (2, 3)


def _split(lengths):
    sources = [[*[10 + i] * (length - 1), 1] for i, length in enumerate(lengths)]
    targets = [[50 + i, 1] for i in range(len(lengths))]
    return Split("train", sources, targets, [_row(i, "") for i in range(len(lengths))], 0)


def test_every_batch_is_as_long_as_its_own_longest_and_the_last_may_be_small():
    found = list(batches(_split([3, 9, 2, 4, 5]), 2, "cpu"))
    assert [tuple(batch.source_ids.shape) for batch in found] == [(2, 9), (2, 4), (1, 5)]
    assert [batch.target_ids[:, 0].tolist() for batch in found] == [[50, 51], [52, 53], [54]]


def test_an_order_decides_the_rows_of_every_batch():
    found = list(batches(_split([3, 9, 2, 4, 5]), 2, "cpu", order=[4, 2, 0, 1, 3]))
    assert [tuple(batch.source_ids.shape) for batch in found] == [(2, 5), (2, 9), (1, 4)]
    assert [batch.target_ids[:, 0].tolist() for batch in found] == [[54, 52], [50, 51], [53]]
    assert found[0].source_ids.tolist() == [[14, 14, 14, 14, 1], [12, 1, 0, 0, 0]]


def test_a_shuffled_order_is_a_permutation():
    assert sorted(shuffled_order(101, 42, 42, 3)) == list(range(101))
    assert list(shuffled_order(101, 42, 42, 3)) != list(range(101))


def test_a_shuffled_order_depends_on_data_seed_seed_and_epoch_and_nothing_else():
    base = shuffled_order(101, 1, 2, 3)
    torch.manual_seed(0)
    random.seed(0)
    assert shuffled_order(101, 1, 2, 3) == base
    others = [(0, 2, 3), (1, 0, 3), (1, 2, 0), (2, 1, 3), (1, 3, 2), (3, 2, 1)]
    orders = [shuffled_order(101, *numbers) for numbers in others]
    assert all(order != base for order in orders)
    assert len({tuple(order) for order in orders}) == len(orders)
