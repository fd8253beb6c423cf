"""Peak memory of reading a T5 and of converting it there and back, over what its weights take.

    python benchmarks/converting.py --shape t5_base_multi

Of random weights in Hugging Face's files; each step in a process of its own, whose resident memory
once all is imported counts as nothing. Linux alone: peaks are read from /proc.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from compacter_cli.commands.console import load_frameworks, out, table_of

SPECIAL = {0: ("<pad>", 3), 1: ("</s>", 3), 2: ("<unk>", 2)}  # with SentencePiece's types
COLUMNS = ("peak, MB", "of the weights", "seconds")
STEPS = {
    "read": "",
    "hf to keras-hub": "keras-hub",
    "keras-hub to hf": "hf",
    "a LoRA folded, to hf": "folded",
    "a LoRA folded, to keras-hub": "folded keras-hub",
}


def main(
    shape: Annotated[
        str, typer.Option(help="A KerasHub preset's name, or mt5_small.")
    ] = "t5_base_multi",
    folder: Annotated[Path | None, typer.Option(help="On a disk with room for six.")] = None,
    step: Annotated[str | None, typer.Option(hidden=True)] = None,
):
    """Print each step's peak and seconds."""
    if step is not None:
        measure(step, shape, Path(folder or "."))
        return
    with tempfile.TemporaryDirectory(dir=folder) as place:
        run("make", shape, place)
        table = table_of("step", *COLUMNS, numbers=COLUMNS)
        for name in STEPS:
            table.add_row(name, *run(name, shape, place).split())
        out.print(table)


def run(step, shape, place):
    """What a step prints, in a process of its own."""
    command = [sys.executable, __file__, "--shape", shape, "--folder", place, "--step", step]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(step, name, place):
    """Do a step in `place` and print its peak in MB, over the weights, and its seconds."""
    load_frameworks()
    from compacter_cli.commands.convert import convert_backbone
    from compacter_cli.t5.loading import load_backbone
    from compacter_cli.t5.shapes import PRESETS, T5Shape

    # Of mT5 KerasHub has no preset.
    mt5_small = T5Shape(250_112, 512, 1_024, 8, 6, 64, gated=True, tied=False)
    shape = mt5_small if name == "mt5_small" else PRESETS[name]
    if step == "make":
        make(shape, place / "read")
        return
    load_backbone("random/tiny")  # all is imported
    before, began = memory("VmRSS"), time.perf_counter()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
    to = STEPS[step]
    if to.startswith("folded"):
        fold(place, to.partition(" ")[2] or "hf")
    elif to:
        source = place / ("read" if to == "keras-hub" else "keras-hub")
        convert_backbone(backbone=str(source), directory=place / to, to=to, device="cpu")
    else:
        load_backbone(str(place / "read"))
    peak, seconds = memory("VmHWM") - before, time.perf_counter() - began
    print(f"{peak / 1e6:.0f} {peak / (4 * shape.parameters()):.2f} {seconds:.1f}")


def fold(place, to):
    """Fold the adapter into the T5, whose rows are not there: random tokens are compared."""
    from compacter_cli.adapters.manifest import read_manifest
    from compacter_cli.adapters.restoring import recipe_of_manifest
    from compacter_cli.commands.convert import convert

    adapter = place / "lora"
    recipe = recipe_of_manifest(read_manifest(adapter), adapter)
    convert(adapter=adapter, recipe=recipe, directory=place / f"folded-{to}", to=to, device="cpu")


def memory(key):
    """Bytes that /proc says of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return 1024 * int(line.split()[1])
    raise KeyError(key)


def make(shape, place):
    """Write a T5 of random weights in Hugging Face's files, its vocabulary of made-up pieces."""
    import torch
    from mixed_adapters import saved

    from compacter_cli.exchange.hf import write
    from compacter_cli.exchange.trained import Plain
    from compacter_cli.t5.loading import load_backbone
    from compacter_cli.t5.placement import backbone_weights
    from compacter_cli.t5.random_backbone import random_backbone
    from compacter_cli.t5.vocabulary import Vocabulary

    backbone = random_backbone(shape)
    for variable in backbone_weights(backbone).values():
        variable.assign(torch.randn(tuple(variable.shape)) * variable.shape[0] ** -0.5)
    place.mkdir()
    write(Plain(backbone, Vocabulary(pieces(shape.vocabulary_size - 128))), place)
    del backbone
    saved(load_backbone(str(place)), place.parent, "lora", 0, {"name": "lora"})


def pieces(count):
    """A SentencePiece model of `count` pieces, the first three T5's."""
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    for number in range(count):
        piece = model.pieces.add()
        piece.piece, piece.type = SPECIAL.get(number, (f"▁{number - 3}", 1))
        piece.score = -float(number)
    model.trainer_spec.model_type = 1
    return model.SerializeToString()


if __name__ == "__main__":
    typer.run(main)
