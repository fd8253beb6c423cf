"""A file of answers that grows beside its place, batch by batch, and can be gone on with.

While it grows it is `<output>.<key>.part`, JSONL; whole, it is moved to `<output>`, or written
there as a table. The key is of adapter, settings and inputs, so what is there under it is always of
the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from compacter_cli.commands.answer_table import lines_of
from compacter_cli.errors import CompacterError, Interrupted, UsageError, counted
from compacter_cli.files import sync, write_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

KEY = 12  # hexadecimal digits of a part's name: enough to tell apart what one user asks


def key_of(*settings: object, texts: Iterable[str]) -> str:
    """What tells one adapter, its settings and its inputs from all others."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for text in texts:
        data = text.encode(errors="surrogatepass")
        digest.update(f" {len(data)} ".encode() + data)
    return digest.hexdigest()[:KEY]


class AnswerFile:
    """A file of answers in the making.

    Args:
        output: the file to become; one that is there stays.
        key: from `key_of`.
        texts: the source text of each answer to come.
        batch: answers that are made at once.
        form: "jsonl", or "csv" or "tsv" with these `columns`.

    Attributes:
        done: how many answers are in it.
    """

    def __init__(
        self,
        output: Path,
        key: str,
        texts: Sequence[str],
        batch: int,
        form: str = "jsonl",
        columns: Sequence[str] = (),
    ) -> None:
        self.output = output
        self.part = output.with_name(f"{output.name}.{key}.part")
        self.done = 0
        self._texts, self._batch = texts, batch
        self._form, self._columns = form, columns

    @contextmanager
    def growing(self, resume: bool) -> Iterator[None]:
        """Inside, answers are added; at its end, which must be all of them, the file is in place.

        Ended early, what is there of whole batches stays, and the error says how to go on.

        Args:
            resume: go on after the answers that are there; else those are replaced.

        Raises:
            UsageError: it cannot be written, another process writes it, or there are only answers
                of another adapter or other inputs to go on from.
            CompacterError: the disk is full.
            KeyboardInterrupt: as it was raised inside, with what is left.
        """
        if resume:
            self._check_same()
        try:
            self._file = self._opened()
        except OSError as error:
            raise UsageError(
                f"cannot write {self.part}: {error.strerror}", "choose another --output"
            ) from error
        try:
            with self._file:
                self._begin(resume)
                yield
                self._finish()
        except KeyboardInterrupt as interrupt:
            signum = getattr(interrupt, "signum", signal.SIGINT)
            raise Interrupted(f"interrupted; {self._left()}", signum) from None
        except OSError as error:
            if error.filename is not None and error.filename != str(self.part):
                raise
            raise CompacterError(
                f"cannot write {self.part}: {error.strerror}", f"free some space; {self._left()}"
            ) from error
        except BaseException:
            self._left()
            raise

    def add(self, answers: Sequence[Mapping[str, Any]]) -> None:
        """Write the answers of the next batch."""
        lines = (json.dumps(item, ensure_ascii=False) + "\n" for item in answers)
        self._file.write("".join(lines).encode(errors="backslashreplace"))
        self._file.flush()
        self.done += len(answers)

    def _check_same(self) -> None:
        if self.part.exists():
            return
        begun = f"{self.output.name}."
        for entry in sorted(self.output.absolute().parent.iterdir()):
            if entry.name.startswith(begun) and entry.suffix == ".part":
                raise UsageError(
                    f"--resume: {entry.name} holds answers of another adapter, of other settings "
                    "or to other inputs",
                    "give what it was begun with, or leave --resume out to begin again",
                )

    def _opened(self) -> IO[bytes]:
        """The part, at its end, held by this process alone."""
        file = open(self.part, "a+b")  # noqa: SIM115 - closed by `growing`
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise UsageError(
                f"{self.part} is being written by another process", "wait for it, or end it"
            ) from error
        return file

    def _begin(self, resume: bool) -> None:
        """Keep the whole batches that are there if `resume`, and nothing else."""
        end = 0
        if resume:
            self.done, end = self._whole_batches()
        self._file.truncate(end)

    def _whole_batches(self) -> tuple[int, int]:
        """How many answers there are, up to the last whole batch, and where they end."""
        kept = rows = end = 0
        kept_end = 0
        self._file.seek(0)
        for line, text in zip(self._file, self._texts, strict=False):
            if not _answers(line, text):
                break
            rows, end = rows + 1, end + len(line)
            if rows % self._batch == 0 or rows == len(self._texts):
                kept, kept_end = rows, end
        return kept, kept_end

    def _finish(self) -> None:
        sync(self.part)
        if os.path.lexists(self.output):
            raise UsageError(
                f"{self.output} exists by now and is not overwritten; the answers are in "
                f"{self.part}",
                "move them where they should be",
            )
        if self._form == "jsonl":
            os.replace(self.part, self.output)
            sync(self.output.absolute().parent)
        else:
            write_text(self.output, "".join(self._table()))
            self.part.unlink()

    def _table(self) -> Iterator[str]:
        return lines_of(read_answers(self.part), self._columns, self._form)

    def _left(self) -> str:
        """What an end before the end leaves, and how to go on; an empty part is removed."""
        if not self.done:
            self.part.unlink(missing_ok=True)
            return "nothing was answered"
        return (
            f"{self.part} holds {self.done:,} of {counted(len(self._texts), 'answer')}; the same "
            "command with --resume goes on"
        )


def _answers(line: bytes, text: str) -> bool:
    """Whether a line is whole and an answer to `text`."""
    try:
        return line.endswith(b"\n") and json.loads(line)["text"] == text
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def read_answers(path: Path) -> list[Any]:
    """The answers in a file that was written whole."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]
