"""SuperGLUE MultiRC: is this answer to the question right, by the paragraph?

Source: https://cogcomp.seas.upenn.edu/multirc (no licence stated in the archive), TFDS
`super_glue/multirc:1.0.2`. 27,243 training and 4,848 validation rows, one an answer; the
validation rows are halved (2,424 and 2,424) as they are, so a question's answers may fall on both
halves. Markup is taken out of the text. Reproduces the MultiRC columns of the paper's Table 2: F1
over all answers, and the share of questions with all their answers in the split judged rightly. The
row below is made up in the task's form.

    question: Who ate it? answer: The dog paragraph: Sent 1: The cat slept. Sent 2: The dog
    ate the pie.   ->   1
"""

import re

from compacter_cli.tasks.base import Row
from compacter_cli.tasks.published import (
    Line,
    Lines,
    PublishedTask,
    number_in,
    shown,
    super_glue_files,
    text_in,
)


class MultiRCTask(PublishedTask):
    """Rows have an `idx` of three numbers: paragraph, question and answer."""

    def source(self, row: Row) -> str:
        return super().source({field: without_markup(row[field]) for field in self.fields})

    def number(self, row: Row) -> tuple[int, int, int]:
        idx = row["idx"]
        return idx["paragraph"], idx["question"], idx["answer"]

    def group(self, row: Row) -> tuple[int, int]:
        return row["idx"]["paragraph"], row["idx"]["question"]


def without_markup(text: str) -> str:
    """`text` without the bold marks and line breaks of MultiRC's HTML."""
    return re.sub(r"</?b>", "", text.replace("<br>", " "))


class Paragraphs(Lines):
    """A line is a paragraph with its questions and their answers; an answer makes a row."""

    @property
    def columns(self) -> tuple[str, ...]:
        return ("idx", "passage")

    def rows_of(self, line: Line, number: int) -> list[Row]:
        return [
            _row(line, question, answer)
            for question in line["passage"]["questions"]
            for answer in question["answers"]
        ]


def _row(line: Line, question: Line, answer: Line) -> Row:
    label = answer["label"]
    if not isinstance(label, int) or label not in (0, 1):
        raise ValueError(f"an answer's label is {shown(label)}, expected 0 or 1")
    return {
        "paragraph": text_in(line["passage"], "text"),
        "question": text_in(question, "question"),
        "answer": text_in(answer, "text"),
        "label": int(label),
        "idx": {
            "paragraph": number_in(line, "idx"),
            "question": number_in(question, "idx"),
            "answer": number_in(answer, "idx"),
        },
    }


MULTIRC = MultiRCTask(
    name="super_glue/multirc",
    labels=("False", "True"),
    fields=("question", "answer", "paragraph"),
    metrics=("f1", "question_em"),
    rows={"train": 27_243, "validation": 4_848},
    paper="multirc",
    original=super_glue_files(
        "multirc",
        "MultiRC",
        Paragraphs(),
        "b3cd440856e72eb166b2edcd37b798455f1ebd51f2c3de64c0c2a4e1971d2737",
    ),
)
