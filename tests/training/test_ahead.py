"""Groups made ahead are those that would be made when asked for, whatever is saved between."""

import torch

from compacter_cli.t5.batch import collate
from compacter_cli.training.ahead import Ahead
from compacter_cli.training.trainer import Group


def recorded(updates=4):
    """`Ahead` over groups whose ids are their number, and the numbers in the order of making."""
    made = []

    def group(update):
        made.append(update)
        return Group([collate([[update, 1]], [[1]], "cpu")], 1 + update, [update], 1)

    return Ahead(group, "cpu", updates), made


def number_of(group):
    assert group.epoch == 1 + group.examples[0]
    return group.batches[0].source_ids[0, 0].item()


def test_a_prepared_group_is_given_once_and_made_once():
    ahead, made = recorded()
    ahead.prepare(2)
    ahead.prepare(2)
    assert made == [2]
    assert number_of(ahead(2)) == 2
    assert made == [2]
    assert number_of(ahead(2)) == 2  # an update that is taken again
    assert made == [2, 2]


def test_what_was_prepared_for_another_update_is_dropped():
    ahead, made = recorded()
    ahead.prepare(3)
    assert number_of(ahead(1)) == 1  # a training that went back
    assert number_of(ahead(3)) == 3
    assert made == [3, 1, 3]


def test_nothing_is_prepared_for_after_the_end():
    ahead, made = recorded(updates=2)
    ahead.prepare(2)
    assert made == []


def test_all_of_a_group_is_as_it_was_made():
    group = Group([collate([[5, 6, 1], [7, 1]], [[8, 1], [1]], "cpu")] * 2, 3, [4, 9], 6)
    found = Ahead(lambda _: group, "cpu", 1)(0)
    assert (found.epoch, found.examples, found.tokens) == (3, [4, 9], 6)
    for one, other in zip(found.batches, group.batches, strict=True):
        assert all(map(torch.equal, one.tensors(), other.tensors()))
