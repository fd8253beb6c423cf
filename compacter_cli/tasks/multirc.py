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
from dataclasses import dataclass

from compacter_cli.tasks.base import PublishedTask, super_glue_files


@dataclass(frozen=True)
class MultiRCTask(PublishedTask):
    """Rows have an `idx` of three numbers: paragraph, question and answer."""

    def source(self, row):
        return super().source({field: without_markup(row[field]) for field in self.fields})

    def number(self, row):
        idx = row["idx"]
        return idx["paragraph"], idx["question"], idx["answer"]

    def group(self, row):
        return row["idx"]["paragraph"], row["idx"]["question"]


def without_markup(text):
    """`text` without the bold marks and line breaks of MultiRC's HTML."""
    return re.sub(r"</?b>", "", text.replace("<br>", " "))


def nested_problem(row):
    """What is wrong with a line of the original file: a paragraph, its questions, their answers."""
    for question in row["passage"]["questions"]:
        for answer in question["answers"]:
            texts = (row["passage"]["text"], question["question"], answer["text"])
            if not all(isinstance(text, str) for text in texts):
                return "a text is no text"
            if not isinstance(answer["label"], int) or answer["label"] not in (0, 1):
                return f"an answer's label is {answer['label']!r}, expected 0 or 1"
    return None


MULTIRC = MultiRCTask(
    name="super_glue/multirc",
    labels=("False", "True"),
    fields=("question", "answer", "paragraph"),
    metrics=("f1", "question_em"),
    rows={"train": 27_243, "validation": 4_848},
    paper="multirc",
    original=super_glue_files(
        "multirc", "MultiRC", columns=("idx", "passage"), deep=nested_problem
    ),
)
