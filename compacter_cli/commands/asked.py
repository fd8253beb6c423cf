"""What is asked of which adapters: their runs by name, the batches of answers, where they go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from compacter_cli.adapters.predictor import Predictor
    from compacter_cli.adapters.restoring import Chosen
    from compacter_cli.commands.predict_rows import Given


class Answer(TypedDict):
    """An answer to a source text.

    `prediction` is a label's name, or the text that the model wrote where it is no label;
    `probabilities` are those of all labels by name, `None` for free text; `right` are all right
    answers, where they are known; `adapter` is the name of the one that answered, of those named;
    `row` is the row that was asked, with all of its columns.
    """

    text: str
    prediction: str
    probabilities: dict[str, float] | None
    right: NotRequired[list[str]]
    adapter: NotRequired[str]
    row: NotRequired[dict[str, Any]]


def runs_of(run: Path | None, adapters: Sequence[str] | None) -> dict[str, Path]:
    """The run directories that are asked, by the names given to them; one alone has none.

    Raises:
        UsageError: none is given, both kinds are, or one is not written as NAME=RUN.
    """
    from compacter_cli.adapters.predictor import ONLY

    if (run is None) == (not adapters):
        got = "both" if run else "neither"
        raise UsageError(f"expected --run or --adapter, got {got}", "such as --run RUN")
    if run is not None:
        return {ONLY: run}
    found: dict[str, Path] = {}
    for given in adapters or ():
        name, equals, path = given.partition("=")
        if not (name and equals and path) or name in found:
            why = "the name is given twice" if name in found else "expected NAME=RUN"
            hint = "such as --adapter rte=runs/...; best or last is chosen by --which"
            raise UsageError(f"--adapter {given}: {why}", hint)
        found[name] = Path(path)
    return found


def chosen_of(run: Path, which: str, overrides: Sequence[str]) -> Chosen:
    """The adapter of a run, with the recipe by which it answers; a note where it is unfinished.

    Raises:
        UsageError: it is no run directory, or a value means nothing to a trained adapter.
    """
    from compacter_cli.adapters.restoring import chosen
    from compacter_cli.training.run_directory import adapter_of_run

    found = chosen(adapter_of_run(run, which), overrides)
    note_unfinished(run, which)
    return found


def note_unfinished(run: Path, which: str) -> None:
    """Say that what a run answers by is not its last word."""
    from compacter_cli.commands.console import show_note
    from compacter_cli.training.run_directory import is_unfinished

    if is_unfinished(run):
        show_note(f"{run} is unfinished: this is its {which} adapter so far")


@dataclass(frozen=True)
class Asked:
    """What adapters are asked.

    Attributes:
        adapters: the adapters by name.
        given: the texts, and what is known of them.
        device: "cpu" or "cuda"; a GPU where there is one.
    """

    adapters: Mapping[str, Chosen]
    given: Given
    device: str | None = None

    @property
    def texts(self) -> Sequence[str]:
        """The source texts."""
        return self.given.texts

    @property
    def batch_size(self) -> int:
        """How many texts are answered at once."""
        return min(one.recipe.train.eval_batch_size for one in self.adapters.values())

    def batches(self, done: int = 0) -> Iterator[list[Answer]]:
        """The answers to the texts after the first `done`, a batch at a time.

        Raises:
            UsageError: a recipe is another adapter's, or one cannot be asked beside others.
            CompacterError: an adapter is damaged or not of this backbone.
        """
        from compacter_cli.adapters.predictor import Predictor
        from compacter_cli.adapters.restoring import backbone_of, check_use
        from compacter_cli.t5.runtime import on_device

        for directory, recipe, manifest in self.adapters.values():
            check_use(manifest, directory, recipe)
        first = next(iter(self.adapters.values()))
        with on_device(self.device):
            predictor = Predictor(
                backbone_of(first.recipe),
                {name: one.directory for name, one in self.adapters.items()},
                {name: one.recipe for name, one in self.adapters.items()},
            )
            for start in range(done, len(self.texts), self.batch_size):
                yield self._batch(predictor, slice(start, start + self.batch_size))

    def _batch(self, predictor: Predictor, part: slice) -> list[Answer]:
        given = self.given
        texts, names = given.texts[part], given.names and given.names[part]
        pairs = predictor.predict_with_probabilities(texts, len(texts), names)
        found: list[Answer] = [
            {"text": text, "prediction": answer, "probabilities": share}
            for text, (answer, share) in zip(texts, pairs, strict=True)
        ]
        for place, item in enumerate(found, part.start):
            if given.names is not None:
                item["adapter"] = given.names[place]
            if given.right is not None:
                item["right"] = given.right[place]
            if given.rows is not None:
                item["row"] = given.rows[place]
        return found


def write_answers(asked: Asked, output: Path, resume: bool = False) -> None:
    """Write answers to a new file, JSONL or a table, batch by batch; see `AnswerFile`.

    Raises:
        UsageError: it cannot be written, is there already, or there is only another's to go on
            from.
        CompacterError: the adapter does not fit, or the disk is full.
        KeyboardInterrupt: Ctrl-C; what was answered is kept.
    """
    from compacter_cli.commands.answer_file import AnswerFile, key_of
    from compacter_cli.commands.answer_table import columns_of, form_of_output

    given, settings = asked.given, list[object]()
    for name, one in sorted(asked.adapters.items()):
        settings += [one.manifest["sha256"], one.recipe.plain()]
        settings += [name] if given.names is not None else []
    key = key_of(*settings, given.names or given.right, given.rows, texts=asked.texts)
    form = form_of_output(output)
    columns = columns_of(given) if form != "jsonl" else ()
    file = AnswerFile(output, key, asked.texts, asked.batch_size, form, columns)
    with file.growing(resume):
        for batch in asked.batches(file.done):
            file.add(batch)


def write_to_stdout(asked: Asked, form: str) -> None:
    """Print answers, and nothing else, as rows of `form`, a batch as soon as it is there."""
    import sys

    from compacter_cli.commands.answer_table import columns_of, lines_of
    from compacter_cli.commands.streams import visible

    columns = columns_of(asked.given) if form != "jsonl" else ()
    for number, batch in enumerate(asked.batches()):
        for line in lines_of(batch, columns, form, header=not number):
            sys.stdout.write(visible(line) if sys.stdout.isatty() else line)
        sys.stdout.flush()
