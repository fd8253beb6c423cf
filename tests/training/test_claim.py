import errno
import os
import shlex
from pathlib import Path

import pytest

from compacter_cli.commands.options import given_again
from compacter_cli.errors import UsageError
from compacter_cli.training.claim import check_writable, is_vacant, resume_command

# Whether one could start.


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file/run", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("x/" * 2500, "File name too long"),
        ("a\0b", "null byte"),
        ("link", "No such file"),
    ],
)
def test_where_nothing_can_be_written_is_said_without_trying_for_long(tmp_path, name, said):
    (tmp_path / "file").write_text("a file")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "at all")
    before = sorted(os.listdir(tmp_path))
    assert is_vacant(tmp_path / name)
    with pytest.raises(UsageError, match=f"cannot write to .*{said}") as caught:
        check_writable(tmp_path / name)
    assert "--output" in caught.value.hint
    assert sorted(os.listdir(tmp_path)) == before


def test_a_folder_without_the_right_to_write_is_said_to_be(tmp_path, monkeypatch):
    def refused(dir):  # root, who runs some of these tests, may write everywhere
        raise PermissionError(errno.EACCES, "Permission denied", str(dir))

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    with pytest.raises(UsageError, match="Permission denied"):
        check_writable(tmp_path / "a" / "run")


def test_where_a_run_can_be_written_nothing_is_left_by_finding_out(tmp_path):
    (tmp_path / "there").mkdir()
    for name in ("new", "a/b/c", "there"):
        check_writable(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


# The command that goes on.


@pytest.mark.parametrize(
    "name", ["runs/a", "a run", "it's", 'so "said"', "$(rm -r x);", "schnee/☃", "-x", "a\nb"]
)
def test_the_command_that_goes_on_names_the_directory_as_a_shell_reads_it(name):
    words = shlex.split(resume_command("compacter train", Path(name)))
    assert words == [
        "compacter", "train", "--recipe", f"{name}/recipe.toml", "--output", name, "--resume"
    ]  # fmt: skip


def test_the_command_that_goes_on_has_the_options_of_the_one_that_began():
    command = resume_command("x", Path("r"), "cpu", given_again(2, offline=True))
    assert command.endswith("--output r --device cpu --threads 2 --offline --resume")
