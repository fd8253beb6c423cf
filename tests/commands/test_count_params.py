"""`compacter count-params`: the paper's counts, both denominators, and clear refusals."""

import json

import pytest
from typer.testing import CliRunner

from compacter_cli.commands.console import err
from compacter_cli.commands.count_params import count_params
from compacter_cli.errors import CompacterError, RecipeError, UsageError
from compacter_cli.main import app
from compacter_cli.methods import METHODS
from compacter_cli.t5.shapes import PRESETS


@pytest.fixture
def run(monkeypatch):
    """Runs `compacter count-params`; errors get all the room."""
    monkeypatch.setattr(err, "_width", 300)
    return lambda *arguments: CliRunner().invoke(app, ["count-params", *arguments])


@pytest.fixture
def tiny(tmp_path):
    """A preset directory of three blocks, of which only the config is there."""
    config = {
        "vocabulary_size": 200,
        "hidden_dim": 32,
        "intermediate_dim": 64,
        "num_layers": 3,
        "num_heads": 4,
        "key_value_dim": 8,
        "use_gated_activation": True,
        "tie_embedding_weights": False,
    }
    saved = {"class_name": "T5Backbone", "config": config}
    (tmp_path / "config.json").write_text(json.dumps(saved))
    return str(tmp_path)


def lines_of(result, method):
    return [line.split() for line in result.stdout.splitlines() if line.startswith(f"{method} ")]


@pytest.mark.parametrize(
    ("method", "trained", "share"),
    [
        ("compacterpp", "104,704", "0.0470"),
        ("compacter", "161,728", "0.0726"),
        ("adapter", "1,855,104", "0.8323"),
        ("bitfit", "280,932", "0.1260"),
    ],
)
def test_the_papers_table_on_t5_base(run, method, trained, share):
    result = run("--n", "4", "--d", "24")
    assert result.exit_code == 0
    components, papers = lines_of(result, method)
    assert components[-1] == trained
    assert papers[1] == share
    assert "222,882,048" in result.stdout
    assert "222,903,552" in result.stdout


@pytest.mark.parametrize("backbone", [*PRESETS, "all"])
def test_tables_fit_80_columns_and_name_every_method(run, backbone):
    result = run("--backbone", backbone)
    assert result.exit_code == 0
    tables = [line for line in result.stdout.splitlines() if not line.startswith(("%", "8,", "c"))]
    assert max(len(line) for line in tables if "paper, section 4" not in line) <= 80
    for method in METHODS:
        assert any(method in line.split()[:2] for line in result.stdout.splitlines())


def test_an_n_that_does_not_divide_is_a_refusal_for_one_and_a_cell_in_a_table(run):
    assert run("--n", "12", "--backbone", "t5_small_multi").exit_code == 2
    result = run("--n", "12", "--method", "compacterpp", "--backbone", "all")
    assert result.exit_code == 0
    assert result.stdout.count("n/a (512 % 12)") == 3
    assert "106,368" in result.stdout
    for value in (512, 1024, 2048, 4096):
        assert f"n/a ({value} % 12)" in result.stdout


def test_a_default_that_does_not_fit_is_a_note_and_not_a_failure(run, tiny):
    result = run("--backbone", tiny)
    assert result.exit_code == 0
    assert "adapterdrop: n/a (5 of 3 blocks dropped)" in result.stdout
    with pytest.raises(RecipeError, match="less than the 3 blocks"):
        count_params(backbones=[tiny], methods=["adapterdrop"])


def test_verify_builds_the_models_and_compares(run, tiny, monkeypatch):
    result = run("--backbone", tiny, "--verify", "--method", "compacter", "--method", "bitfit")
    assert result.exit_code == 0
    assert "verified: 2 built models train exactly these numbers" in result.stdout
    monkeypatch.setattr(METHODS["bitfit"], "count_added", lambda self, shape: {"biases": 1})
    refused = run("--backbone", tiny, "--verify", "--method", "bitfit")
    assert refused.exit_code == 1
    assert isinstance(refused.exception, SystemExit | CompacterError)


def test_json_holds_ours_and_the_papers(run):
    result = run("--json", "--method", "compacter", "--n", "12")
    (found,) = json.loads(result.stdout)
    assert found["trained"] == 163_392
    assert found["components"] == {
        "adapters": 76_032, "rule": 1_728, "biases": 38_016, "layer_norms": 47_616
    }  # fmt: skip
    assert found["own"]["backbone_parameters"] == 222_903_552
    assert found["closed_form"] == 4 * 24 * (768 + 24) + 12**3
    assert found["paper"] == {"percent": 0.073, "table1": None, "table2": 1.003}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--n", "0"), "--n: must be greater than 0. Received: 0"),
        (("--rank", "0"), "--rank: must be greater than 0"),
        (("--length", "0"), "--length: must be greater than 0"),
        (("--n", "5"), "n must divide"),
        (("--method", "said", "--dim", "257"), "d' = 257 must be more than"),
        (("--method", "full", "--n", "4"), "--n fits none of the methods asked for"),
        (("--method", "compater"), 'did you mean "compacter"?'),
        (("--backbone", "t5_bass_multi"), 'did you mean "t5_base_multi"?'),
    ],
)
def test_what_cannot_be_is_refused_in_words(run, arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_a_directory_that_is_not_there_is_a_missing_resource(run):
    assert run("--backbone", "./nowhere").exit_code == 3


def test_python_users_get_counts(tiny):
    (item,) = count_params(methods=["compacterpp"], d=48)
    assert item.trained == 24 * (2 * (768 + 48) + 768 + 48) + 64 + 47_616
    with pytest.raises(UsageError):
        count_params(methods=["nothing"])


def test_several_numbers_are_a_row_each_and_named_by_what_tells_them_apart(run):
    result = run("--n", "4,8", "--n", "12", "--d", "24", "--method", "compacterpp,lora")
    assert result.exit_code == 0
    rows = [line for line in result.stdout.splitlines() if line.startswith(("compacterpp", "lora"))]
    names = [" ".join(line.split()[:2]) for line in rows[:3]]
    assert names == ["compacterpp n=4", "compacterpp n=8", "compacterpp n=12"]
    assert rows[3].split()[0] == "lora"
    found = json.loads(
        run("--n", "4,8", "--d", "24,48", "--method", "compacterpp", "--json").stdout
    )
    pairs = [(item["settings"]["n"], item["settings"]["bottleneck"]) for item in found]
    assert pairs == [(4, 24), (4, 48), (8, 24), (8, 48)]


def test_what_no_method_has_here_is_no_column(run):
    head = run("--method", "compacterpp", "--n", "8").stdout.splitlines()[1]
    assert head.split() == ["method", "adapters", "rule", "A", "biases", "norms", "trained"]
