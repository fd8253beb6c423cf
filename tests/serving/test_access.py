import pytest

from compacter_cli.errors import UsageError
from compacter_cli.serving.access import read_token


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv("COMPACTER_TOKEN", raising=False)


def test_without_file_and_variable_there_is_no_token():
    assert read_token(None) is None


def test_a_token_is_a_files_line_or_else_the_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPACTER_TOKEN", "of-the-variable")
    assert read_token(None) == "of-the-variable"
    (tmp_path / "token").write_text("of-the-file\n")
    (tmp_path / "link").symlink_to(tmp_path / "token")  # as secrets are mounted
    assert read_token(tmp_path / "link") == "of-the-file"


@pytest.mark.parametrize("content", ["", " \n", "two words", "two\nlines", "naïve", "bell\a"])
def test_what_is_no_token_is_refused_without_showing_it(tmp_path, monkeypatch, content):
    (tmp_path / "token").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"--token-file .*: expected a token of visible") as caught:
        read_token(tmp_path / "token")
    monkeypatch.setenv("COMPACTER_TOKEN", content)
    with pytest.raises(UsageError, match="COMPACTER_TOKEN: expected a token"):
        read_token(None)
    assert not content.strip() or content.strip() not in str(caught.value)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read_token(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="--token-file"):
        read_token(tmp_path / "bytes")
