"""What a profile is asked to measure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ProfileRequest:
    """What is measured, and how; the options of `compacter profile`.

    Attributes:
        methods: names of methods; all by default.
        backbone: KerasHub name or preset directory, for its dimensions; its weights are not read.
        batch, source, target: examples of a step, and tokens of a source and of a target.
        precision: "float32" or "bfloat16".
        device: "cpu" or "cuda"; a GPU where there is one.
        threads: CPU threads, torch's own choice where left out.
        steps: training steps timed.
        task: name of a task of which an epoch is timed too, at its real lengths.
        vocabulary: preset directory whose vocabulary gives these lengths; the backbone's own
            where it is on this disk.
        memory_budget: bytes within which each method's largest batch is found.
        overrides: `section.key=value` strings for any section of the recipe.
    """

    methods: tuple[str, ...] = ()
    backbone: str = "t5_base_multi"
    batch: int = 16
    source: int = 128
    target: int = 4
    precision: str = "float32"
    device: str | None = None
    threads: int | None = None
    steps: int = 5
    task: str | None = None
    vocabulary: str | None = None
    memory_budget: int | None = None
    overrides: tuple[str, ...] = ()
