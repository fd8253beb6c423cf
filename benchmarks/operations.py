"""Torch operations of a training step, by its parts; views and copies count as any other."""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode

PARTS = ("forward", "backward", "optimizer")


def counted(step):
    """`{part: operations}` of a call of `step`: forward, backward, and clipping with the update."""
    with _Operations() as operations:
        step()
    return {part: operations.found[part] for part in PARTS}


class _Operations(TorchDispatchMode):
    """Counts what reaches torch's kernels; what comes behind a backward pass is the update."""

    def __init__(self):
        super().__init__()
        self.found = Counter()
        self._before = "forward"

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        part = self._before
        if torch._C._current_graph_task_id() >= 0:
            part, self._before = "backward", "optimizer"
        self.found[part] += 1
        return function(*args, **(kwargs or {}))
