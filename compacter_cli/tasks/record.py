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
from collections.abc import Sequence

from compacter_cli.tasks.base import Row
from compacter_cli.tasks.metrics import normalised
from compacter_cli.tasks.published import (
    Line,
    Lines,
    PublishedTask,
    number_in,
    super_glue_files,
    text_in,
)
from compacter_cli.tasks.splits import HELD_OUT_TRAINING


class ReCoRDTask(PublishedTask):
    """Rows have the lists `entities` and `answers` instead of a label; the answer is free text."""

    def source(self, row: Row) -> str:
        entities, passage = ", ".join(row["entities"]), with_sentences(row["passage"])
        return f"record query: {row['query']} entities: {entities} passage: {passage}"

    @property
    def shape(self) -> tuple[str, str]:
        return "record query: ", "record query: ... entities: ..., ... passage: ..."

    def target(self, row: Row) -> str:
        return row["answers"][0]

    def references(self, row: Row) -> tuple[str, ...]:
        return tuple(row["answers"])

    def training_rows(self, rows: Sequence[Row]) -> Sequence[Row]:
        return [{**row, "answers": [answer]} for row in rows for answer in row["answers"]]

    def number(self, row: Row) -> tuple[int, int]:
        return row["idx"]["passage"], row["idx"]["query"]

    def problem(self, row: Row) -> str | None:
        return None if row["answers"] else "has no answer; is this the unlabelled test file?"

    def allows(self, row: Row, text: str) -> bool:
        """Whether the text is an entity of the row's passage."""
        return normalised(text) in map(normalised, row["entities"])

    def label_of(self, target: str) -> str:
        return target


def with_sentences(passage: str) -> str:
    """The passage with its highlight marks turned into full stops.

    A mark behind a sentence's end becomes a space.
    """
    passage = re.sub(r"""([.?!"'])\n@highlight\n""", r"\1 ", passage)
    return passage.replace("\n@highlight\n", ". ")


class Passages(Lines):
    """A line is a passage with its entities and queries; a query makes a row."""

    @property
    def columns(self) -> tuple[str, ...]:
        return ("idx", "passage", "qas")

    def rows_of(self, line: Line, number: int) -> list[Row]:
        passage = text_in(line["passage"], "text")
        entities = sorted({_marked(passage, entity) for entity in line["passage"]["entities"]})
        return [
            {
                "passage": passage,
                "query": text_in(query, "query"),
                "entities": entities,
                "answers": sorted({text_in(answer, "text") for answer in query["answers"]}),
                "idx": {"passage": number_in(line, "idx"), "query": number_in(query, "idx")},
            }
            for query in line["qas"]
        ]


def _marked(passage: str, entity: Line) -> str:
    """The text of an entity, which is given by its first and last letter."""
    return passage[number_in(entity, "start") : number_in(entity, "end") + 1]


RECORD = ReCoRDTask(
    name="super_glue/record",
    fields=("query", "entities", "passage"),
    lists=("entities",),
    metrics=("token_f1", "exact_match"),
    rows={"train": 100_730, "validation": 10_000},
    split=HELD_OUT_TRAINING,
    paper="record",
    original=super_glue_files(
        "record",
        "ReCoRD",
        Passages(),
        "30c7b651ab21b8bf8fab986495cd1084333010e040548f861b839eec0044ac18",
    ),
)
