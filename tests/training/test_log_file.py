import re

import pytest

from compacter_cli.training import log_file
from compacter_cli.training.log_file import LOG, LogFile

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{4} "


@pytest.fixture
def log():
    log = LogFile()
    yield log
    log.close()


def lines(directory):
    return (directory / LOG).read_text(encoding="utf-8").splitlines()


def test_every_line_has_its_time_and_those_before_it_is_opened_come_first(log, tmp_path):
    log.add("threads was 1 and is 2")
    log.open(tmp_path)
    log.add("one\ntwo \ud800")
    found = lines(tmp_path)
    assert all(re.match(TIME, line) for line in found)
    assert [re.sub(TIME, "", line) for line in found] == [
        "threads was 1 and is 2", "one", "two \\ud800",
    ]  # fmt: skip


def test_it_goes_on_where_it_was(log, tmp_path):
    for text in ("before", "after"):
        log.open(tmp_path)
        log.add(text)
        log.close()
    assert [line.split()[-1] for line in lines(tmp_path)] == ["before", "after"]


def test_of_a_long_one_the_newer_half_stays_in_whole_lines(log, tmp_path, monkeypatch):
    monkeypatch.setattr(log_file, "MOST", 1_000)
    log.open(tmp_path)
    for number in range(200):
        log.add(f"line {number}")
        assert (tmp_path / LOG).stat().st_size <= 1_000
    found = lines(tmp_path)
    assert all(re.match(TIME + r"line \d+$", line) for line in found)
    assert found[-1].endswith("line 199")
    assert len(found) > 10


def test_what_cannot_be_written_ends_nothing(log, tmp_path):
    (tmp_path / "elsewhere").write_text("theirs")
    (tmp_path / LOG).symlink_to("elsewhere")
    log.open(tmp_path)
    log.add("lost")
    assert (tmp_path / "elsewhere").read_text() == "theirs"
    log.open(tmp_path / "gone")
    log.add("lost")
