"""A file of answers in the making: it is never seen half written, and can be gone on with."""

import json

import pytest

from compacter_cli.commands.answer_file import AnswerFile, key_of, read_answers
from compacter_cli.errors import CompacterError, UsageError

TEXTS = [f"text {number}" for number in range(7)]
INTERRUPT = KeyboardInterrupt()
BATCHES = [[{"text": text} for text in TEXTS[start : start + 3]] for start in (0, 3, 6)]


@pytest.fixture
def output(tmp_path):
    return tmp_path / "answers.jsonl"


def file_of(output, key="k", texts=TEXTS):
    return AnswerFile(output, key, texts, batch=3)


def begin(output, batches=2, error=INTERRUPT, key="k"):
    """Answers some batches, then an error comes: (the file, what became of it)."""
    file = file_of(output, key)
    with pytest.raises((type(error), CompacterError)) as raised:
        answer(file, batches, error)
    return file, raised.value


def answer(file, batches, error):
    with file.growing(resume=False):
        for batch in BATCHES[:batches]:
            file.add(batch)
        raise error


def go_on(output, key="k"):
    """Goes on to the end: how many answers were there."""
    file = file_of(output, key)
    with file.growing(resume=True):
        before = file.done
        for batch in BATCHES[before // 3 :]:
            file.add(batch)
    return before


def test_whole_it_is_in_place_and_nothing_is_beside_it(output):
    file = file_of(output)
    with file.growing(resume=False):
        for batch in BATCHES:
            file.add(batch)
            assert not output.exists()
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    assert [item["text"] for item in read_answers(output)] == TEXTS


def test_what_was_answered_when_it_was_interrupted_stays_and_is_gone_on_with(output):
    file, error = begin(output)
    assert "holds 6 of 7 answers;" in str(error)
    assert "--resume goes on" in str(error)
    assert not output.exists()
    assert len(file.part.read_text().splitlines()) == 6
    assert go_on(output) == 6
    assert [item["text"] for item in read_answers(output)] == TEXTS


def test_an_interruption_before_any_answer_leaves_nothing(output):
    _, error = begin(output, batches=0)
    assert str(error) == "interrupted; nothing was answered"
    assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize(
    "tail", [b'{"text": "text 3"}\n{"text": "te', b"\0\0\0\n", b"[[[\n", b"1\n"]
)
def test_a_torn_end_is_answered_again(output, tail):
    file, _ = begin(output, batches=1)
    file.part.write_bytes(file.part.read_bytes() + tail)
    assert go_on(output) == 3
    assert [item["text"] for item in read_answers(output)] == TEXTS


def test_answers_to_other_texts_are_not_gone_on_from(output):
    begin(output, key="other")
    with pytest.raises(UsageError, match="holds answers of another adapter"):
        go_on(output)


def test_without_resume_it_begins_again(output):
    begin(output)
    with file_of(output).growing(resume=False):
        pass
    assert read_answers(output) == []


def test_two_processes_do_not_write_it_at_once(output):
    first, second = file_of(output), file_of(output)
    with first.growing(resume=False):
        for batch in BATCHES:
            first.add(batch)
        with pytest.raises(UsageError, match="written by another process"):
            second.growing(resume=True).__enter__()
    assert [item["text"] for item in read_answers(output)] == TEXTS


def test_a_file_that_came_meanwhile_is_not_overwritten(output):
    file = file_of(output)
    growing = file.growing(resume=False)
    growing.__enter__()
    file.add(BATCHES[0])
    output.write_text("mine")
    with pytest.raises(UsageError, match="exists by now"):
        growing.__exit__(None, None, None)
    assert output.read_text() == "mine"
    assert file.part.exists()


def test_a_full_disk_keeps_what_was_written(output):
    _, error = begin(output, batches=1, error=OSError(28, "No space left on device"))
    assert "No space left" in str(error)
    assert "holds 3 of 7 answers;" in error.hint
    assert go_on(output) == 3


def test_the_key_tells_settings_and_texts_apart():
    keys = {
        key_of("a", texts=["x", "y"]), key_of("b", texts=["x", "y"]), key_of("a", texts=["xy"]),
        key_of("a", texts=["x y"]), key_of("a", texts=["x"]),
    }  # fmt: skip
    assert len(keys) == 5
    assert key_of("a", texts=["x", "y"]) in keys


def test_a_line_keeps_its_letters_and_half_a_pair_is_written_as_json_does(output):
    texts = ["Straße", "\ud800"]
    file = file_of(output, texts=texts)
    with file.growing(resume=False):
        file.add([{"text": text} for text in texts])
    assert "Straße" in output.read_text(encoding="utf-8")
    assert json.loads(output.read_text(encoding="utf-8").splitlines()[1])["text"] == "\ud800"
