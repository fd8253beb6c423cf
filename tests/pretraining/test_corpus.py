"""Passages from files and from the demo world, and which are held out."""

import itertools

import pytest

from compacter_cli.errors import CompacterError, MissingResourceError
from compacter_cli.pretraining.corpus import check_text, read_corpus
from compacter_cli.pretraining.sections import TextSection


@pytest.fixture
def text(tmp_path):
    """Writes a text file of bytes or lines; gives its path as a string."""

    def write(content, name="text.txt"):
        path = tmp_path / name
        data = content if isinstance(content, bytes) else "".join(f"{t}\n" for t in content)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return str(path)

    return write


def corpus_of(*files, **more):
    return read_corpus(TextSection(files=list(files), **more))


def test_a_passage_a_line_blank_lines_skipped(text):
    path = text(["one", "", "   ", "two two", " three "])
    found = corpus_of(path)
    assert sorted(found.train + found.validation) == ["one", "three", "two two"]
    assert len(found) == 3


def test_a_mark_at_the_beginning_and_windows_lines_are_no_part_of_it(text):
    marked = text(b"\xef\xbb\xbfone\r\ntwo\r\n\r\nthree")
    plain = text(["one", "two", "three"], "plain.txt")
    assert corpus_of(marked) == corpus_of(plain)


def test_several_files_are_one_text_and_separators_in_a_line_are_kept(text):
    found = corpus_of(text(["a\u2028b", "c"]), text(["d\x0ce"], "second.txt"))
    assert sorted(found.train + found.validation) == ["a\u2028b", "c", "d\x0ce"]


def test_repeated_lines_are_taken_once_so_that_none_held_out_is_trained_on(text):
    found = corpus_of(text([f"line {number % 40}" for number in range(100)]), validation=20)
    assert found.repeated == 60
    assert len(found) == 40
    assert not set(found.train) & set(found.validation)


@pytest.mark.parametrize(
    ("passages", "asked", "held_out"),
    [(2, 1_000, 1), (9, 1_000, 1), (100, 1_000, 10), (100, 7, 7), (20_000, 1_000, 1_000)],
)
def test_as_many_are_held_out_as_asked_for_but_a_tenth_at_most(text, passages, asked, held_out):
    path = text([f"line {number}" for number in range(passages)])
    found = corpus_of(path, validation=asked)
    assert (len(found.train), len(found.validation)) == (passages - held_out, held_out)


def test_the_seed_decides_which(text):
    path = text([f"line {number}" for number in range(200)])
    assert corpus_of(path, seed=1) == corpus_of(path, seed=1)
    assert corpus_of(path, seed=1).validation != corpus_of(path, seed=2).validation
    assert corpus_of(path, seed=1).sha256 == corpus_of(path, seed=2).sha256


def test_another_text_has_another_hash(text):
    first, second = text(["a b", "c"]), text(["a", "b c"], "second.txt")
    assert corpus_of(first).sha256 != corpus_of(second).sha256


def test_what_is_not_utf8_is_named_by_file_and_line(text):
    path = text("fine\nfine\nd\xe9j\xe0 vu\n".encode("latin-1"))
    with pytest.raises(CompacterError, match="line 3: not UTF-8") as caught:
        corpus_of(path)
    assert path in str(caught.value)


def test_a_file_that_is_not_there_is_missed_at_once(text, tmp_path):
    section = TextSection(files=[text(["a", "b"]), str(tmp_path / "gone.txt")])
    for read in (check_text, read_corpus):
        with pytest.raises(MissingResourceError, match=r"gone\.txt"):
            read(section)


@pytest.mark.parametrize("length", [300, 5_000])
def test_a_name_too_long_for_a_file_is_missed_too(length):
    with pytest.raises(MissingResourceError, match=r"text\.files: there is no file"):
        check_text(TextSection(files=["x" * length]))


@pytest.mark.parametrize(
    ("line", "said"),
    [(b"a\0b", "holds a NUL character"), (b"x" * 50_000_000, "longer than 8,388,608 characters")],
)
def test_a_hostile_line_is_named_by_its_number(text, line, said):
    with pytest.raises(CompacterError, match=f"line 2: {said}"):
        corpus_of(text(b"one\n" + line + b"\ntwo\n"))


@pytest.mark.parametrize("lines", [[], ["", " "], ["one"], ["one", "one"]])
def test_one_passage_is_too_few(text, lines):
    with pytest.raises(CompacterError, match="at least 2"):
        corpus_of(text(lines))


@pytest.fixture
def world(monkeypatch):
    """A demo world of numbered paragraphs and exercises, without end as the real one's."""

    def paragraphs(seed, without):
        return (f"paragraph {number} of {seed}" for number in itertools.count())

    def exercises(seed, without):
        return ((f"asked {number} of {seed}", f"told {number}") for number in itertools.count())

    monkeypatch.setattr("compacter_cli.world.text.paragraphs", paragraphs)
    monkeypatch.setattr("compacter_cli.world.exercises.exercises", exercises)


def world_of(world=50, world_exercises=0, seed=7):
    section = TextSection(world=world, world_exercises=world_exercises, seed=seed)
    check_text(section)
    return read_corpus(section)


@pytest.mark.usefixtures("world")
def test_the_demo_world_gives_as_many_paragraphs_and_exercises_as_asked_for():
    found = world_of()
    assert set(found.train + found.validation) == {f"paragraph {n} of 7" for n in range(50)}
    assert len(found.validation) == 5
    assert found.exercises == ()
    practised = world_of(world_exercises=3)
    assert (practised.train, practised.validation) == (found.train, found.validation)
    assert practised.exercises == tuple((f"asked {n} of 7", f"told {n}") for n in range(3))


@pytest.mark.usefixtures("world")
def test_the_vocabulary_is_made_of_all_that_is_trained_on_and_nothing_held_out():
    found = world_of(world_exercises=2)
    words = [*found.train, "asked 0 of 7 told 0", "asked 1 of 7 told 1"]
    assert found.trained_texts() == words
    assert len(found) == 50  # passages alone


@pytest.mark.usefixtures("world")
def test_the_hash_is_over_passages_and_exercises():
    given = [(50, 0), (50, 1), (50, 2), (49, 2)]
    assert len({world_of(*sizes).sha256 for sizes in given}) == 4
    assert world_of(50, 2).sha256 == world_of(50, 2).sha256


def test_the_hash_tells_sources_from_targets(world, monkeypatch):
    def moved(seed, without):
        return ((f"asked {number} of {seed} told", f"{number}") for number in itertools.count())

    before = world_of(50, 2).sha256
    monkeypatch.setattr("compacter_cli.world.exercises.exercises", moved)
    assert world_of(50, 2).sha256 != before
