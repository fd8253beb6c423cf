"""Files of text: what is read, and that a fault is named by file and line."""

import hashlib
import tracemalloc

import pytest

from compacter_cli.data import text_files
from compacter_cli.data.text_files import (
    LONGEST_LINE,
    read_bytes,
    read_lines,
    read_text,
    sha256_of,
)
from compacter_cli.errors import CompacterError


def test_a_byte_order_mark_is_no_text(file):
    assert read_text(file(b"\xef\xbb\xbfone\ntwo")) == "one\ntwo"


def test_a_mark_behind_the_beginning_stays(file):
    assert read_text(file("one\ufefftwo")) == "one\ufefftwo"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_a_plain_newline(file, end):
    assert read_text(file(f"one{end}{end}two{end}")) == "one\n\ntwo\n"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_text_of_windows_is_refused_by_its_line(file, end):
    path = file(f"eins{end}zwei{end}größe – 3{end}vier".encode("cp1252"))
    with pytest.raises(CompacterError, match="line 3: not UTF-8") as caught:
        read_text(path)
    assert str(caught.value).startswith(str(path))
    assert "UTF-8 (iconv -f cp1252 -t utf-8)" in caught.value.hint


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_a_text_of_utf_16_is_refused_at_its_first_line(file, order):
    with pytest.raises(CompacterError, match="line 1: not UTF-8") as caught:
        read_text(file("\ufefftext\n".encode(order)))
    assert "iconv -f utf-16 -t utf-8" in caught.value.hint


@pytest.mark.parametrize("name", [".", "nothing.txt"])
def test_what_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(CompacterError, match="cannot read") as caught:
        read_text(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_hash_is_that_of_the_bytes(file):
    content = b"\xef\xbb\xbfone\r\n"
    assert sha256_of(file(content)) == hashlib.sha256(content).hexdigest()


# Rows


def test_a_line_of_50_mb_is_refused_without_being_held(file):
    path = file(b'{"text": "a"}\n{"text": "' + b"x " * 25_000_000 + b'"}\n', "rows.jsonl")
    tracemalloc.start()
    try:
        with pytest.raises(CompacterError, match=r"line 2: longer than 8,388,608 characters"):
            list(read_lines(path))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 100e6  # of a line as long as is read, some copies


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_longest_line_is_read(file, monkeypatch, end):
    monkeypatch.setattr(text_files, "LONGEST_LINE", 10)
    assert list(read_lines(file(f"{'x' * 10}{end}"))) == [(1, "x" * 10 + ("\n" if end else ""))]
    with pytest.raises(CompacterError, match="line 2: longer than 10 characters"):
        list(read_lines(file(f"a\n{'x' * 11}{end}")))
    assert LONGEST_LINE == 1 << 23


def test_bytes_are_read_up_to_a_limit(file, tmp_path):
    assert read_bytes(file(b"abc"), 3) == b"abc"
    with pytest.raises(CompacterError, match="more than 2 bytes"):
        read_bytes(file(b"abc"), 2)
    with pytest.raises(CompacterError, match="cannot read"):
        read_bytes(tmp_path / "nothing", 2)
