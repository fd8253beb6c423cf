"""A made-up task that a random T5 can learn in seconds: is a fruit among the words?

Nothing to download; 600 training and 200 validation rows, drawn from a fixed seed; no row occurs
twice. It shows that everything runs, not what a method is worth.

    sentence: iron apple zinc   ->   1
"""

import random

from compacter_cli.tasks.base import GeneratedTask, Row

FRUITS = ("apple", "cherry", "lemon", "mango", "melon", "peach")
METALS = ("cobalt", "copper", "iron", "nickel", "silver", "zinc")


class SmokeTask(GeneratedTask):
    """Three to five different words; the label is 1 where one of them is a fruit, else 0."""

    def generate(self) -> dict[str, list[Row]]:
        draw = random.Random(7)
        texts: set[str] = set()
        while len(texts) < sum(self.rows.values()):
            words: list[str] = draw.sample(METALS, draw.randint(3, 5))
            if len(texts) % 2:
                words[draw.randrange(len(words))] = draw.choice(FRUITS)
            texts.add(" ".join(words))
        ordered = sorted(texts)
        draw.shuffle(ordered)
        rows: list[Row] = [
            {"idx": index, "sentence": text, "label": int(any(f in text for f in FRUITS))}
            for index, text in enumerate(ordered)
        ]
        cut = self.rows["train"]
        return {"train": rows[:cut], "validation": rows[cut:]}

    def corpus(self) -> list[str]:
        """Text that holds every word of the task and every target: enough for a vocabulary."""
        return [
            *FRUITS,
            *METALS,
            "sentence:",
            "smoke",
            *self.targets,
            *map(" ".join, (FRUITS, METALS)),
        ]


SMOKE = SmokeTask(
    name="demo/smoke",
    labels=("metals only", "a fruit"),
    fields=("sentence",),
    metrics=("accuracy",),
    rows={"train": 600, "validation": 200},
)
