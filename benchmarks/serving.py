"""`compacter serve` under load, beside a server of one adapter at a time and a loop that swaps.

    python benchmarks/serving.py measure --backbone path/to/preset --peers path/to/python

1, 8 and 64 Compacter adapters of random weights, 64 clients that each ask a random adapter one
text, and the next as soon as it is answered. Two servers are asked in turn: as it is, and with
batches of one adapter each. Beside them a loop over the same requests that makes one adapter after
another the active one of Hugging Face's `adapters` (in the Python of an environment with the extra
`peers`), which writes an answer of as many tokens and weighs no labels.
"""

import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
CLIENTS = 64
TEXT = "the old dog that saw a bird was very happy in the small green house by the river"


@app.command()
def measure(
    backbone: Annotated[str, typer.Option(help="Preset directory, or demo/t5.")] = "demo/t5",
    counts: Annotated[str, typer.Option(help="Of adapters, with commas.")] = "1,8,64",
    seconds: Annotated[float, typer.Option(help="Of a round.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="Of each server, in turn.")] = 5,
    threads: int = 2,
    peers: Annotated[Path | None, typer.Option(help="Python with the extra peers.")] = None,
):
    """Print requests a second and their times, of all three."""
    from compacter_cli.commands.console import out

    numbers = [int(count) for count in counts.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        predictor = adapters_in(Path(folder), backbone, max(numbers))
        for count in numbers:
            with ExitStack() as stack:
                ports = {
                    kind: stack.enter_context(server(Path(folder), kind, count, threads))
                    for kind in ("mixed", "apart")
                }
                out.print(f"{count} adapters: {difference(predictor, ports['mixed'], count)}")
                for kind, found in in_turn(ports, count, seconds, rounds).items():
                    rate, median, late = found
                    out.print(f"  {kind}: {rate:.1f}/s, p50 {median:.1f} ms, p99 {late:.1f} ms")
            if peers:
                rate = swapped(peers, backbone, count, threads)
                out.print(f"  adapters, swapping: {rate:.1f}/s")


# The adapters.


def adapters_in(folder, backbone, count):
    """Runs `0`, `1` ... with adapters of random weights, and a `Predictor` of all."""
    from mixed_adapters import saved

    from compacter_cli.adapters.predictor import Predictor
    from compacter_cli.t5.loading import load_backbone
    from compacter_cli.t5.runtime import hide_tensorflow, on_device, start_keras

    hide_tensorflow()
    start_keras()
    with on_device("cpu"):
        loaded = load_backbone(backbone)
        places = {
            str(n): saved(loaded, folder / str(n), "best", n, {"name": "compacter"})
            for n in range(count)
        }
        return Predictor(loaded, places)


def text_of(draw):
    """A text of 4 to 17 words."""
    words, length = 2 * TEXT.split(), draw.randrange(4, 18)
    start = draw.randrange(7)
    return "sentence: " + " ".join(words[start : start + length])


def requests(count, seed):
    """Endless pairs of an adapter's name and a text."""
    draw = random.Random(seed)
    while True:
        yield str(draw.randrange(count)), text_of(draw)


# The servers.


@contextmanager
def server(folder, kind, count, threads):
    """Runs a server of the first `count` adapters; gives its port."""
    command = [sys.executable, __file__, "serve", str(folder), kind, str(count), str(threads)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


@app.command(hidden=True)
def serve(folder: Path, kind: str, count: int, threads: int):
    """A server, "mixed" as it is or "apart", that prints its port when it answers."""
    from compacter_cli.commands.asked import chosen_of
    from compacter_cli.commands.serve import serve as answer
    from compacter_cli.serving import batching
    from compacter_cli.serving.server import listening_at
    from compacter_cli.t5.runtime import hide_tensorflow, start_keras

    hide_tensorflow()
    start_keras()
    import torch

    torch.set_num_threads(threads)
    if kind == "apart":
        batching.Batcher = apart(batching.Batcher)
    adapters = {str(n): chosen_of(folder / str(n), "best", []) for n in range(count)}
    with listening_at("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        answer(
            adapters=adapters,
            listening=listening,
            device="cpu",
            ready=lambda: print(port, flush=True),
        )


def apart(batcher):
    """A kind of `Batcher` that computes one adapter's texts at a time, all that wait."""

    class Apart(batcher):
        def _take(self):
            first = self._line[0].adapter
            others = [asked for asked in self._line if asked.adapter != first]
            self._line = deque(asked for asked in self._line if asked.adapter == first)
            parts = super()._take()
            self._line = deque([*others, *self._line])
            return parts

    return Apart


def difference(predictor, port, count):
    """How far a server's answers are from those of its adapters alone."""

    async def ask():
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(connection(port)) for _ in pairs]
            return await asyncio.gather(
                *(client(*pair) for client, pair in zip(clients, pairs, strict=True))
            )

    source = requests(count, "compared")
    pairs = [next(source) for _ in range(CLIENTS)]
    found = asyncio.run(ask())
    worst, same = 0.0, 0
    for (name, text), answer in zip(pairs, found, strict=True):
        ((label, shares),) = predictor.predict_with_probabilities([text], 1, name)
        same += label == answer["prediction"]
        pairs_of = zip(shares.values(), answer["probabilities"].values(), strict=True)
        worst = max(worst, *(abs(one - other) for one, other in pairs_of))
    return f"{same} of {len(pairs)} answers are predict's, probabilities within {worst:.1e}"


# The clients.


class connection:  # noqa: N801 - a context manager
    """A connection that is kept; gives a function that asks an adapter one text."""

    def __init__(self, port):
        self._port = port

    async def __aenter__(self):
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self._ask

    async def __aexit__(self, *_):
        self._writer.close()

    async def _ask(self, name, text):
        body = json.dumps({"adapter": name, "texts": [text]}).encode()
        head = "POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        self._writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        said = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert said.startswith("http/1.1 200"), said
        length = int(said.partition("content-length: ")[2].partition("\r\n")[0])
        return json.loads(await self._reader.readexactly(length))["answers"][0]


def in_turn(ports, count, seconds, rounds):
    """Requests a second, and the median and 99th percentile of their milliseconds, by server."""
    rates, times = {kind: [] for kind in ports}, {kind: [] for kind in ports}
    for number in range(-1, rounds):
        for kind, port in ports.items():
            found = asyncio.run(loaded(port, count, seconds if number >= 0 else 1, number))
            if number >= 0:  # the first warms up
                rates[kind].append(len(found) / seconds)
                times[kind] += found
    return {
        kind: (
            statistics.median(rates[kind]),
            1000 * statistics.median(times[kind]),
            1000 * statistics.quantiles(times[kind], n=100)[98],
        )
        for kind in ports
    }


async def loaded(port, count, seconds, seed):
    """Seconds of each request that all clients had answered within `seconds`."""
    until, found = time.perf_counter() + seconds, []

    async def client(number):
        async with connection(port) as ask:
            for name, text in requests(count, f"{seed} {number}"):
                began = time.perf_counter()
                await ask(name, text)
                if (now := time.perf_counter()) > until:
                    return
                found.append(now - began)

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return found


# The peer.


def swapped(python, backbone, count, threads):
    """Requests a second of the loop, in an environment of its own."""
    command = [str(python), __file__, "swap", backbone, str(count), str(threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


@app.command(hidden=True)
def swap(backbone: str, count: int, threads: int, seconds: float = 10.0):
    """Answer request after request, each adapter made the active one; print how many a second."""
    import adapters
    import torch
    from peer import plain_t5

    from compacter_cli.t5.shapes import local_directory, shape_of
    from compacter_cli.t5.vocabulary import read_vocabulary

    torch.set_num_threads(threads)
    model = plain_t5(shape_of(backbone), use_cache=True)
    adapters.init(model)
    for n in range(count):
        model.add_adapter(str(n), config=adapters.CompacterConfig(reduction_factor=8, phm_dim=4))
    model.eval()
    vocabulary = read_vocabulary(local_directory(backbone))
    done, until = 0, None
    for name, text in requests(count, "swapped"):
        (ids,) = vocabulary.encode([text])
        model.set_active_adapters(name)
        with torch.no_grad():
            model.generate(torch.tensor([[*ids, 1]]), do_sample=False, max_new_tokens=2)
        done += 1
        if until is None and done == 20:  # warm
            done, until = 0, time.perf_counter() + seconds
        if until is not None and time.perf_counter() > until:
            break
    print(done / seconds)


if __name__ == "__main__":
    app()
