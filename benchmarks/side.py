"""One side of a comparison: a process that builds its model once and takes steps on request.

Reads a line of JSON for each request from stdin and answers with one on stdout.
"""

import importlib
import json
import os
import sys
import time
import warnings

from setting import Setting, cut, real_batches, rte_lengths


def main():
    """Build what the first line asks for, then answer until stdin ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    warnings.simplefilter("ignore", FutureWarning)  # of the peer, about itself
    side = None
    for line in sys.stdin:
        request = json.loads(line)
        if side is None:
            side = Side(request.pop("side"), Setting(**request))
            answer = side.opening()
        else:
            answer = getattr(side, request.pop("do"))(**request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class Side:
    """A built model of one side, and the batch of fixed shape that it steps over."""

    def __init__(self, name, setting):
        from compacter_cli.profiling.peak import PeakMemory
        from compacter_cli.t5.runtime import hide_tensorflow

        os.environ["KERAS_BACKEND"] = "torch"  # keras would look for the hidden TensorFlow
        hide_tensorflow()  # transformers would import it as keras does
        import torch

        torch.set_num_threads(setting.threads)
        torch.manual_seed(0)
        self.setting, self._torch = setting, torch
        self._module = importlib.import_module(name)
        self.stepper, self.batch = self._module.build(setting)
        if setting.ragged:
            self.batch = cut(self.batch, rte_lengths(setting.batch, setting.source))
        self._alone = {}
        peak = PeakMemory(setting.device)
        self.steps(count=2)
        self._growth = peak.growth()

    def opening(self):
        """What trains, and the memory of the first two steps."""
        return {
            "trained": self._module.trained_parameters(self.stepper),
            "growth_bytes": self._growth,
            "saved_bytes": self.stepper.saved_bytes(self.batch),
        }

    def name(self):
        """What this side is."""
        return self._module.name(self.stepper)

    def steps(self, count):
        """Milliseconds of each of `count` steps over the batch of fixed shape."""
        times = []
        for _ in range(count):
            before = time.perf_counter()
            self.stepper.step([self.batch])
            times.append(1000 * (time.perf_counter() - before))
        return times

    def answers(self, tokens):
        """Seconds of answering the batch of fixed shape, with as many tokens a row."""
        before = time.perf_counter()
        with self._torch.no_grad():
            self._module.answer(self.stepper, self.batch, tokens)
        return time.perf_counter() - before

    def epoch(self):
        """Seconds of the setting's share of an RTE epoch at its real lengths."""
        batches = real_batches(self.setting)
        before = time.perf_counter()
        for batch in batches:
            self.stepper.step([batch])
        return time.perf_counter() - before

    def floor(self, count):
        """Milliseconds that the products of a step of ours take alone, `count` times.

        The step is that over the batch of fixed shape; `products.py` says which they are.
        """
        run = self._products_of(self.batch).run
        return [run() for _ in range(count)]

    def floor_flops(self):
        """Floating-point operations of those products."""
        return self._products_of(self.batch).flops

    def epoch_beside_floor(self):
        """Seconds of the setting's share of an RTE epoch, and those of its products alone.

        Batch by batch in turn, so that whatever else the machine does falls on both.
        """
        step = floor = 0.0
        for batch in real_batches(self.setting):
            before = time.perf_counter()
            self.stepper.step([batch])
            step += time.perf_counter() - before
            floor += self._products_of(batch).run() / 1000
        return step, floor

    def _products_of(self, batch):
        from alone import Alone
        from products import products_of

        if id(batch) not in self._alone:
            forward = self.stepper.model.forward_pass()
            found = products_of(forward, self.stepper.model.sized(batch))
            self._alone = {id(batch): Alone(found, self.setting)}
        return self._alone[id(batch)]

    def operations(self):
        """How many torch operations one step calls, by its parts: what its host time goes with."""
        from operations import counted

        return counted(lambda: self.stepper.step([self.batch]))

    def flops(self):
        """Floating-point operations of a pass, forward and back: matrix products, by torch's count.

        Not of a step: what a step replays of a CUDA graph cannot be counted. Padding is counted
        where a side computes it.
        """
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            self._module.loss(self.stepper, self.batch).backward()
        return counter.get_total_flops()

    def matmul_peak(self, size=8192, count=20):
        """Floating-point operations a second of a large matrix product in the precision."""
        torch, device = self._torch, self.setting.device
        a = torch.randn(size, size, device=device, dtype=getattr(torch, self.setting.precision))
        for _ in range(3):
            a @ a
        torch.cuda.synchronize(device)
        before = time.perf_counter()
        for _ in range(count):
            a @ a
        torch.cuda.synchronize(device)
        return 2 * size**3 * count / (time.perf_counter() - before)


if __name__ == "__main__":
    main()
