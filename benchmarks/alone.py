"""Matrix products alone: nothing before, between or behind them."""

import time

from products import flops_of


class Alone:
    """Products to be timed, of the setting's precision, on its device.

    Each has operands and a result that lie where it wants them; products of one shape follow one
    another and are of the same operands, which is as fast as they come. On a GPU they are a CUDA
    graph, so that nothing waits for the host.
    """

    def __init__(self, products, setting):
        import torch

        self._torch, self._device = torch, setting.device
        self.flops = flops_of(products)
        dtype = getattr(torch, setting.precision)
        sides = zip(*((p.rows * p.inner, p.inner * p.columns, p.rows * p.columns, p.count)
                      for p in products), strict=True)  # fmt: skip
        *sizes, counts = map(list, sides)
        buffers = [
            torch.randn(max(map(int.__mul__, size, counts)), device=self._device, dtype=dtype)
            for size in sizes
        ]
        self._calls = [(*_views(p, *buffers), often) for p, often in products.items()]
        self._graph = self._captured() if self._device.startswith("cuda") else None
        self.run()

    def _captured(self):
        self._each()
        graph = self._torch.cuda.CUDAGraph()
        with self._torch.cuda.graph(graph):
            self._each()
        return graph

    def _each(self):
        for a, b, out, often in self._calls:
            product = self._torch.mm if a.dim() == 2 else self._torch.bmm
            for _ in range(often):
                product(a, b, out=out)

    def run(self):
        """Milliseconds of all products, once."""
        before = time.perf_counter()
        if self._graph is None:
            self._each()
        else:
            self._graph.replay()
            self._torch.cuda.synchronize(self._device)
        return 1000 * (time.perf_counter() - before)


def _views(product, *buffers):
    """The operands and the result of a product, in buffers that are large enough."""
    count, rows, inner, columns = product
    batch = (count,) if count > 1 else ()
    shapes = (rows, inner), (inner, columns), (rows, columns)
    return [
        buffer[: count * height * width].view(*batch, height, width)
        for buffer, (height, width) in zip(buffers, shapes, strict=True)
    ]
