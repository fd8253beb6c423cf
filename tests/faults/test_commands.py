"""Whole commands with streams that are closed, full or half read: no traceback, no lost work."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMPACTER = f"{shlex.quote(sys.executable)} -m compacter_cli"
SMOKE = (
    "train --recipe demo/smoke_compacterpp --device cpu --set train.epochs=1 "
    "--set data.max_train_samples=16 --output run"
)

full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")


@pytest.fixture
def shell(tmp_path):
    """Runs a line of bash in an empty folder; `compacter` in it is this one."""

    def run(line, **environment):
        line = f'set -o pipefail; compacter() {{ {COMPACTER} "$@"; }}; {line}'
        return subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, cwd=tmp_path, timeout=120,
            env={**os.environ, **environment},
        )  # fmt: skip

    return run


def assert_calm(done, code):
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode == code, done.stderr


@full
@pytest.mark.parametrize(
    "command",
    ["recipes list", "recipes list --json", "--help", "--version",
     "validate --recipe demo/smoke_compacterpp", "count-params"],
)  # fmt: skip
def test_a_full_stdout_is_one_line(shell, command):
    done = shell(f"compacter {command} > /dev/full")
    assert_calm(done, 1)
    assert "cannot write to standard output: No space left on device" in done.stderr


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word(shell):
    done = shell("compacter recipes list --json | head -1; exit 0")
    assert (done.stdout, done.stderr) == ("[\n", "")
    done = shell("compacter recipes list --json | true")
    assert_calm(done, 141)
    assert done.stderr == ""


def test_a_closed_stdout_is_one_line(shell):
    done = shell("compacter validate --recipe demo/smoke_compacterpp --json >&-")
    assert_calm(done, 1)
    assert "cannot write to standard output: Bad file descriptor" in done.stderr


@pytest.mark.parametrize("to", ["2>&-", pytest.param("2>/dev/full", marks=full)])
def test_an_error_that_cannot_be_said_still_has_its_code(shell, to):
    assert_calm(shell(f"compacter train --recipe nothing {to}"), 2)


@pytest.mark.parametrize(
    "to",
    [
        "2>&1 >/dev/null | head -1",
        pytest.param("2>&-", marks=pytest.mark.slow),
        pytest.param("2>/dev/full", marks=[full, pytest.mark.slow]),
    ],
)
def test_a_training_goes_on_without_stderr(shell, tmp_path, to):
    done = shell(f"compacter {SMOKE} {to}")
    assert_calm(done, 0)
    assert (tmp_path / "run" / "result.json").is_file()
    assert (tmp_path / "run" / "best").is_dir()


@full
def test_a_result_that_cannot_be_printed_is_an_error_and_the_run_is_whole(shell, tmp_path):
    done = shell(f"compacter {SMOKE} --json > /dev/full")
    assert_calm(done, 1)
    assert "cannot write to standard output" in done.stderr
    assert (tmp_path / "run" / "result.json").is_file()


def test_ctrl_c_while_the_frameworks_load_is_no_traceback(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "compacter_cli", *SMOKE.split()], stderr=subprocess.PIPE, text=True,
        cwd=tmp_path,
    ) as process:  # fmt: skip
        assert "loading torch" in process.stderr.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130, said
    assert said == "interrupted\n"
    assert list(tmp_path.iterdir()) == []


PRINT = """
from compacter_cli.commands.streams import guard_streams
guard_streams()
from compacter_cli.commands.console import err, out, print_json
from compacter_cli.commands.lines import bar_chart
for line in bar_chart({"accuracy": 50.0}):
    out.print(line)
err.print("1 \u00b1 2")
print_json({"text": "gr\u00f6\u00dfe"})
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_signs_that_an_encoding_lacks_are_replaced(encoding):
    environment = {**os.environ, "LANG": "C", "NO_COLOR": "1", "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", PRINT], capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    bar, *text = done.stdout.decode(encoding).splitlines()
    assert bar.split() == ["accuracy", ("█" if encoding == "utf-8" else "?") * 20, "50.00"]
    assert json.loads("\n".join(text)) == {"text": "größe"}
    assert done.stderr.decode(encoding) in ("1 ± 2\n", "1 \\xb1 2\n")


@pytest.mark.parametrize("columns", ["0", "-1", "many"])
def test_a_width_that_is_none_hides_nothing(shell, columns):
    done = shell("compacter recipes copy nothing; compacter recipes list", COLUMNS=columns)
    assert "error: " in done.stderr
    assert "glue/rte_compacterpp" in done.stdout


def test_bytes_that_are_no_text_are_a_line(shell):
    assert_calm(shell("compacter validate --recipe $'a\\xff.toml'"), 2)
    done = shell("compacter train --recipe demo/smoke_compacterpp --output $'a\\xff'")
    assert_calm(done, 2)
    assert "expected UTF-8" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--device tpu", "--device tpu: expected cpu or cuda"),
        ("--output file/x", "Not a directory"),
        (f"--output {'x' * 300}", "File name too long"),
        (f"--output {'x/' * 2500}", "File name too long"),
    ],
)
def test_a_dry_run_checks_device_and_output(shell, tmp_path, options, said):
    (tmp_path / "file").write_text("mine")
    done = shell(f"compacter train --dry-run --recipe demo/smoke_compacterpp {options}")
    assert_calm(done, 2)
    assert said in done.stderr
    assert done.stdout == ""
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_that_is_read_only_is_told_before_anything_is_loaded(shell, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    done = shell("compacter train --recipe demo/smoke_compacterpp --output locked/run")
    assert_calm(done, 2)
    assert "Permission denied" in done.stderr
    assert "loading torch" not in done.stderr


def test_an_escape_of_a_command_line_is_not_obeyed(shell):
    for command in ("trian$'\\e[2J'", "train --recipe $'\\e[2J'", "train $'--\\e[2J'"):
        done = shell(f"compacter {command}")
        assert_calm(done, 2)
        assert "\x1b" not in done.stderr
