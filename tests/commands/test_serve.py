"""What `compacter serve` refuses before it answers anybody."""

import shutil

import pytest
from typer.testing import CliRunner

from compacter_cli.commands import serve as command
from compacter_cli.main import app
from compacter_cli.serving import server


@pytest.fixture(autouse=True)
def unloaded(monkeypatch):
    """As if the extra were installed; what it was to serve with, and no backbone loaded."""
    calls = []
    monkeypatch.setattr(server, "check_installed", lambda: None)
    monkeypatch.setattr(command, "serve", lambda **given: calls.append(given))
    monkeypatch.delenv("COMPACTER_TOKEN", raising=False)
    return calls


def call(*args, port=0):
    return CliRunner().invoke(app, ["serve", "--port", str(port), *map(str, args)])


def assert_one_line(result, code):
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert all(line.startswith("next: ") for line in lines[1:])
    return lines[0]


def test_adapters_limits_and_token_are_what_was_asked_for(smoke_run, tmp_path, unloaded):
    (tmp_path / "token").write_text("s3cret\n")
    result = call(
        "--adapter", f"a={smoke_run}", "--adapter", f"b={smoke_run}", "--which", "last",
        "--batch-size", "8", "--queue", "300", "--timeout", "2.5", "--max-body", "2000",
        "--token-file", tmp_path / "token", "--device", "cpu",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (given,) = unloaded
    places = {name: one.directory for name, one in given["adapters"].items()}
    assert places == {"a": smoke_run / "last", "b": smoke_run / "last"}
    assert (given["token"], given["device"]) == ("s3cret", "cpu")
    limits = given["limits"]
    assert (limits.batch, limits.waiting, limits.body) == (8, 300, 2000)
    assert limits.answer_seconds == 2.5
    assert given["listening"].fileno() == -1  # closed at the end


def test_it_listens_to_this_machine_alone_unless_told_and_says_what_that_means(smoke_run, unloaded):
    result = call("--adapter", f"a={smoke_run}")
    assert "open to other machines" not in result.stderr
    result = call("--adapter", f"a={smoke_run}", "--host", "0.0.0.0")
    assert "note: 0.0.0.0 is open to other machines, and no token is asked for" in result.stderr
    assert len(unloaded) == 2


def test_a_package_that_is_missing_exits_2(smoke_run, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(server, "find_spec", lambda _: None)
    result = call("--adapter", f"a={smoke_run}")
    assert "serve needs fastapi, which is not installed" in assert_one_line(result, 2)
    assert 'pip install "compacter[serve]"' in result.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "expected --run or --adapter"),
        (("--adapter", "x"), "--adapter x: expected NAME=RUN"),
        (("--adapter", "a=x"), "x is no run directory"),
    ],
)
def test_what_names_no_run_exits_2(given, said):
    assert said in assert_one_line(call(*given), 2)


@pytest.mark.parametrize(
    ("name", "said"),
    [("x" * 201, "at most 200 characters"), ("\udcff", "expected UTF-8")],
)
def test_a_name_that_nobody_could_ask_by_exits_2(smoke_run, name, said):
    assert said in assert_one_line(call("--adapter", f"{name}={smoke_run}"), 2)


def test_a_damaged_manifest_exits_1(smoke_run, tmp_path):
    run = shutil.copytree(smoke_run, tmp_path / "run")
    path = run / "best" / "adapter.json"
    path.write_text(path.read_text().replace('"seed": 42', '"seed": 43'))
    line = assert_one_line(call("--adapter", f"a={smoke_run}", "--adapter", f"b={run}"), 1)
    assert "adapter.json is damaged" in line


def test_a_token_file_that_is_none_and_a_port_that_is_taken_exit_2(smoke_run, tmp_path):
    line = assert_one_line(call("--adapter", f"a={smoke_run}", "--token-file", tmp_path / "no"), 2)
    assert "No such file" in line
    with server.listening_at("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        line = assert_one_line(call("--adapter", f"a={smoke_run}", port=port), 2)
    assert "Address already in use" in line
