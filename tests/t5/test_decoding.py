"""Answers written and weighed token by token, against passes over whole answers."""

import pytest
import torch
from torch.nn import functional

from compacter_cli.methods import METHODS
from compacter_cli.t5.decoding import Decoding
from compacter_cli.t5.forward import T5Forward
from compacter_cli.t5.model import T5Model

LABELS = [[5, 7, 1], [5, 9, 1], [8, 1]]


@pytest.fixture
def forward(tiny_backbone):
    model = T5Model(tiny_backbone("v1_0"), METHODS["bitfit"]())
    with torch.no_grad():
        return model.forward_pass()


@pytest.fixture
def encoded(forward):
    ids = torch.randint(2, 64, (4, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return forward.encode(ids, torch.arange(9) < torch.tensor([[9], [4], [7], [1]]))


def whole(forward, encoded, label):
    """A label's log-probability of each source, in one pass over all of it."""
    target = torch.tensor(label).expand(4, -1)
    inputs = functional.pad(target[:, :-1], (1, 0))
    hidden = forward.decode(inputs, torch.ones_like(inputs, dtype=torch.bool), *encoded)
    return forward.logits(hidden).log_softmax(-1).gather(-1, target[..., None]).sum((1, 2))


def test_labels_are_weighed_as_in_one_pass_over_each(forward, encoded):
    found = Decoding(forward, encoded, 3).label_scores(LABELS)
    with torch.no_grad():
        wanted = [whole(forward, encoded, label) for label in LABELS]
    torch.testing.assert_close(found, torch.stack(wanted, 1))


def test_what_answers_begin_with_is_computed_once(forward, encoded, monkeypatch):
    steps, step = [], T5Forward.step
    monkeypatch.setattr(T5Forward, "step", lambda *given: steps.append(given[1]) or step(*given))
    decoding = Decoding(forward, encoded, 3)
    decoding.label_scores(LABELS)
    begun = [token[0, 0].item() for token in steps]
    assert begun == [0, 5, 7, 9, 8]
    first = decoding.greedy(1)
    assert len(steps) == len(begun)
    assert torch.equal(decoding.greedy(3)[:, :1], first)
    assert torch.equal(decoding.greedy(3), Decoding(forward, encoded, 3).greedy(3))
