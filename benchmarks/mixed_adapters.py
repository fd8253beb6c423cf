"""Rows of one batch under several adapters, against the same rows adapter by adapter.

    python benchmarks/mixed_adapters.py --backbone path/to/preset

Two comparisons, each in alternation: eight adapters of five methods, in one mixed batch and in
eight batches of their own, with the largest difference of the logits; and 1, 8 and 64 Compacter
adapters, loaded at once or swapped in one after another. Adapters have random weights.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from shared_options import RunsOption

from compacter_cli.commands.console import out, table_of
from compacter_cli.t5.runtime import hide_tensorflow, on_device, start_keras

METHODS = {  # eight adapters of five methods
    "compacter 1": {"name": "compacter"},
    "compacter 2": {"name": "compacter", "bottleneck": 12},
    "adapter": {"name": "adapter"},
    "lora 1": {"name": "lora"},
    "lora 2": {"name": "lora", "rank": 4},
    "ia3": {"name": "ia3"},
    "bitfit 1": {"name": "bitfit"},
    "bitfit 2": {"name": "bitfit"},
}
TASK = "demo/sentiment"
TEXT = "the old dog that saw a bird was very happy in the small green house by the river"


def main(
    backbone: Annotated[str, typer.Option(help="Preset directory, or demo/t5.")] = "demo/t5",
    rows: Annotated[int, typer.Option(min=8, help="Of a batch.")] = 64,
    runs: RunsOption = 7,
    device: str = "cpu",
    threads: int = 2,
):
    """Print how long both take, and how far their logits are from each other."""
    hide_tensorflow()
    start_keras()
    import torch

    from compacter_cli.t5.loading import load_backbone

    torch.set_num_threads(threads)
    with on_device(device), tempfile.TemporaryDirectory() as folder:
        loaded = load_backbone(backbone)
        show_mix(loaded, Path(folder), texts_of(rows), runs)
        show_numbers(loaded, Path(folder), texts_of(rows), runs)


def texts_of(rows):
    """As many texts, of 4 to 17 words."""
    words = 2 * TEXT.split()
    return [" ".join(words[n % 7 : n % 7 + 4 + n % 14]) for n in range(rows)]


def saved(backbone, folder, label, seed, method):
    """The directory of an adapter of random weights."""
    import torch

    from compacter_cli.adapters.adapter_file import manifest_of, save_adapter
    from compacter_cli.recipe.recipe import recipe_of
    from compacter_cli.t5.model import T5Model

    tables = {"task": TASK, "backbone": {"preset": backbone.preset}, "method": method}
    recipe = recipe_of(tables, label)
    model = T5Model(backbone.keras, recipe.method, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        key: tensor.detach().cpu() + 0.02 * torch.randn(tensor.shape, generator=generator)
        for key, tensor in model.trained_tensors().items()
    }
    directory = folder / label.replace(" ", "_")
    manifest = manifest_of(
        tensors,
        method=recipe.method.settings(),
        task=recipe.task,
        backbone=backbone,
        shape=model.shape,
        recipe=recipe.plain(),
    )
    save_adapter(directory, tensors, manifest)
    return directory


def show_mix(backbone, folder, texts, runs):
    """Eight adapters of five methods: one mixed batch against eight of their own."""
    from compacter_cli.adapters.predictor import Predictor

    adapters = {
        name: saved(backbone, folder, name, seed, method)
        for seed, (name, method) in enumerate(METHODS.items())
    }
    predictor = Predictor(backbone, adapters)
    names = [list(adapters)[place % len(adapters)] for place in range(len(texts))]
    own = {name: [t for t, n in zip(texts, names, strict=True) if n == name] for name in adapters}

    def mixed():
        return predictor.probabilities(texts, len(texts), names)

    def apart():
        return {name: predictor.probabilities(own[name], len(texts), name) for name in adapters}

    one, other = alternated([mixed, apart], runs)
    out.print(f"{len(texts)} rows, {len(adapters)} adapters of 5 methods: {one:.1f} ms mixed, ")
    out.print(f"{other:.1f} ms in batches of their own, ratio {one / other:.2f}")
    out.print(f"largest difference of the logits {difference(predictor, own):.1e} of the largest")


def difference(predictor, own):
    """Of logits of a target of two tokens, mixed and of each adapter alone, relative."""
    import torch

    from compacter_cli.t5.batch import pad
    from compacter_cli.t5.mixing import mixed

    loaded = [predictor.adapters[name] for name in own]
    sources = [one.read(texts) for one, texts in zip(loaded, own.values(), strict=True)]
    ids, mask = pad([row for rows in sources for row in rows], loaded[0].model.device)
    target = torch.tensor([[0, 5]], device=ids.device).expand(len(ids), -1)
    counts = [len(rows) for rows in sources]

    def logits(forward, part):
        hidden = forward.decode(
            target[part], target[part] >= 0, *forward.encode(ids[part], mask[part])
        )
        return forward.logits(hidden)

    with torch.no_grad():
        together = logits(mixed([one.forward for one in loaded], counts), slice(None))
        starts = [sum(counts[:place]) for place in range(len(counts))]
        alone = torch.cat(
            [
                logits(one.forward, slice(start, start + count))
                for one, start, count in zip(loaded, starts, counts, strict=True)
            ]
        )
    return ((together - alone).abs().max() / alone.abs().max()).item()


def show_numbers(backbone, folder, texts, runs):
    """1, 8 and 64 Compacter adapters: a batch of all, and swapping one after another."""
    from compacter_cli.adapters.predictor import Predictor
    from compacter_cli.profiling.peak import process_bytes

    many = {
        f"number {n}": saved(backbone, folder, f"number {n}", n, {"name": "compacter"})
        for n in range(64)
    }
    table = table_of("adapters", "memory MB", "ms a batch", "ms swapping", "ratio")
    for count in (1, 8, 64):
        before = process_bytes("VmRSS")
        predictor = Predictor(backbone, dict(list(many.items())[:count]))
        names = [list(predictor.adapters)[place % count] for place in range(len(texts))]
        predictor.answers(texts, len(texts), names)
        grown = (process_bytes("VmRSS") - before) / 1e6
        single = Predictor(backbone, many["number 0"])

        def at_once(predictor=predictor, names=names):
            return predictor.answers(texts, len(texts), names)

        def swapped(single=single, names=names):
            for name in dict.fromkeys(names):
                single.swap(many[name])
                own = [text for text, other in zip(texts, names, strict=True) if other == name]
                single.answers(own, len(texts))

        one, other = alternated([at_once, swapped], min(runs, 3) if count == 64 else runs)
        table.add_row(
            str(count), f"{grown:.1f}", f"{one:.1f}", f"{other:.1f}", f"{one / other:.2f}"
        )
    out.print(table)


def alternated(functions, runs):
    """Median milliseconds of each of `functions`, called in turn after one call each."""
    for function in functions:
        function()
    times = [[] for _ in functions]
    for _ in range(runs):
        for found, function in zip(times, functions, strict=True):
            before = time.perf_counter()
            function()
            found.append(1000 * (time.perf_counter() - before))
    return [statistics.median(found) for found in times]


if __name__ == "__main__":
    typer.run(main)
