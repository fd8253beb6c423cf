"""SuperGLUE ReCoRD: which entity of the passage does the query's placeholder stand for?

Source: https://sheng-z.github.io/ReCoRD-explorer (news of CNN and the Daily Mail; the archive
states no licence), TFDS `super_glue/record:1.0.2`. 100,730 training and 10,000 validation queries;
1,000 training queries validate, the validation set is the test. A query trains once for each of
its answers, and is evaluated once against all of them. The passage's highlights become sentences
of their own. Reproduces the ReCoRD columns of the paper's Table 2: token F1 and exact match, the
best over the answers, both after SQuAD's normalisation. The query below is made up in the task's
form; its passage was "Ada came home to Oslo\\n@highlight\\nThe race was hers.".

    record query: @placeholder won again. entities: Ada, Oslo passage: Ada came home to Oslo. The
    race was hers.   ->   Ada
"""

import re
from dataclasses import dataclass

from compacter_cli.tasks.base import PublishedTask, super_glue_files
from compacter_cli.tasks.metrics import normalised
from compacter_cli.tasks.splits import HELD_OUT_TRAINING


@dataclass(frozen=True)
class ReCoRDTask(PublishedTask):
    """Rows have the lists `entities` and `answers` instead of a label; the answer is free text."""

    @property
    def prefix(self):
        """None: the source text itself begins with the task's name."""
        return ""

    def source(self, row):
        entities, passage = ", ".join(row["entities"]), with_sentences(row["passage"])
        return f"record query: {row['query']} entities: {entities} passage: {passage}"

    @property
    def shape(self):
        return "record query: ", "record query: ... entities: ..., ... passage: ..."

    def target(self, row):
        return row["answers"][0]

    def references(self, row):
        return tuple(row["answers"])

    def training_rows(self, rows):
        return [{**row, "answers": [answer]} for row in rows for answer in row["answers"]]

    def number(self, row):
        return row["idx"]["passage"], row["idx"]["query"]

    def problem(self, row):
        return None if row["answers"] else "has no answer; is this the unlabelled test file?"

    def allows(self, row, text):
        """Whether the text is an entity of the row's passage."""
        return normalised(text) in map(normalised, row["entities"])

    def label_of(self, target):
        return target


def with_sentences(passage):
    """The passage with its highlight marks turned into full stops.

    A mark behind a sentence's end becomes a space.
    """
    passage = re.sub(r"""([.?!"'])\n@highlight\n""", r"\1 ", passage)
    return passage.replace("\n@highlight\n", ". ")


def nested_problem(row):
    """What is wrong with a line of the original file: a passage, its entities, its queries."""
    texts = [row["passage"]["text"]]
    for entity in row["passage"]["entities"]:
        if not all(isinstance(entity[end], int) for end in ("start", "end")):
            return "an entity's start and end are expected as numbers"
    for query in row["qas"]:
        texts += [query["query"], *(answer["text"] for answer in query["answers"])]
    return None if all(isinstance(text, str) for text in texts) else "a text is no text"


RECORD = ReCoRDTask(
    name="super_glue/record",
    fields=("query", "entities", "passage"),
    metrics=("token_f1", "exact_match"),
    rows={"train": 100_730, "validation": 10_000},
    split=HELD_OUT_TRAINING,
    paper="record",
    original=super_glue_files(
        "record", "ReCoRD", columns=("idx", "passage", "qas"), deep=nested_problem
    ),
)
