"""`compacter count-params`: the paper's counts, both denominators, and clear refusals."""

import json

import pytest
from typer.testing import CliRunner

from compacter_cli.backbones import PRESETS
from compacter_cli.commands.count_params import count_params
from compacter_cli.console import err, out
from compacter_cli.errors import MissingResourceError, RecipeError, UsageError
from compacter_cli.main import app
from compacter_cli.methods import METHODS

PAPER, OURS = 222_882_048, 222_903_552

# KerasHub publishes these totals.
PUBLISHED = {
    "t5_small_multi": 60_506_624,
    "t5_1.1_small": 60_511_616,
    "t5_base_multi": 222_903_552,
    "t5_1.1_base": 247_577_856,
    "flan_base_multi": 247_577_856,
    "t5_large_multi": 737_668_096,
    "t5_1.1_large": 750_251_008,
    "t5_1.1_xl": 2_849_757_184,
    "t5_1.1_xxl": 11_135_332_352,
    "flan_small_multi": 76_961_152,
    "flan_large_multi": 783_150_080,
}


@pytest.fixture
def run(monkeypatch):
    """Runs `compacter count-params` on a terminal of 80 columns; errors get all the room."""
    monkeypatch.setattr(out, "_width", 80)
    monkeypatch.setattr(err, "_width", 300)
    return lambda *arguments: CliRunner().invoke(app, ["count-params", *arguments])


@pytest.fixture
def rows():
    """Rows of counts by method."""

    def rows(**given):
        return {row["method"]: row for row in count_params(**given)["methods"]}

    return rows


def _table_line(result, method):
    lines = [line.split() for line in result.stdout.splitlines() if line.startswith(f"{method} ")]
    assert len(lines) == 1, result.stdout
    return lines[0]


# The paper's figures


def test_the_papers_table_on_t5_base(run):
    result = run("--n", "4", "--d", "24")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert _table_line(result, "compacterpp") == [
        *("compacterpp", "38,016", "64", "19,008", "47,616", "104,704", "0.0470", "0.0470")
    ]
    assert _table_line(result, "compacter") == [
        *("compacter", "76,032", "64", "38,016", "47,616", "161,728", "0.0726", "0.0726")
    ]
    assert _table_line(result, "adapter") == [
        *("adapter", "1,769,472", "-", "38,016", "47,616", "1,855,104", "0.8323", "0.8322")
    ]
    assert _table_line(result, "full")[-3:] == ["222,903,552", "100.0000", "100.0000"]


def test_both_denominators_are_named(run):
    printed = run().stdout
    assert "222,882,048" in printed
    assert "222,903,552" in printed
    assert "32,100 rows" in printed


def test_the_defaults_are_the_papers(rows):
    found = {name: row["trained"] for name, row in rows().items()}
    assert list(found) == list(METHODS)
    assert found["full"] == 222_903_552
    assert found["adapter"] == 1_855_104
    assert found["compacter"] == 161_728
    assert found["compacterpp"] == 104_704
    assert rows() == rows(n=4, d=24, rank=1)


@pytest.mark.parametrize(("n", "trained", "percent"), [(4, 104_704, 0.0470), (12, 106_368, 0.0477)])
def test_compacterpp_at_the_papers_n(rows, n, trained, percent):
    row = rows(methods=["compacterpp"], n=n)["compacterpp"]
    assert row["trained"] == trained
    assert round(row["percent"]["paper"], 4) == percent
    assert row["percent"]["backbone"] == pytest.approx(100 * trained / OURS)


def test_counts_by_hand_at_another_n_d_and_rank(rows):
    # k = 768, d = 48, r = 2: 2 r (k + d) weights and k + d biases an adapter, n^3 once
    row = rows(methods=["compacter"], n=8, d=48, rank=2)["compacter"]
    assert row["components"] == {
        "adapters": 48 * 2 * 2 * (768 + 48),
        "rule": 512,
        "biases": 48 * (768 + 48),
        "layer_norms": 47_616,
    }
    assert row["trained"] == sum(row["components"].values())
    assert row["closed_form"] == 48 * 2 * 2 * (768 + 48) + 512
    assert row["settings"]["rank"] == 2
    row = rows(methods=["adapter"], d=96)["adapter"]
    assert row["trained"] == 48 * (2 * 768 * 96 + 768 + 96) + 47_616


def test_the_papers_closed_forms_leave_out_biases_and_norms(rows):
    found = rows()
    assert found["compacter"]["closed_form"] == 48 * 2 * (768 + 24) + 64
    assert found["compacterpp"]["closed_form"] == 24 * 2 * (768 + 24) + 64
    assert found["adapter"]["closed_form"] == 48 * 2 * 768 * 24
    assert found["full"]["closed_form"] is None


# Backbones


@pytest.mark.parametrize("name", PRESETS)
def test_every_kerashub_name_has_its_published_size(rows, name):
    found = count_params(backbone=name)
    assert found["denominators"]["backbone"] == PUBLISHED[name]
    assert rows(backbone=name)["full"]["trained"] == PUBLISHED[name]


@pytest.mark.parametrize("name", [*PRESETS, "random/tiny"])
def test_the_table_fits_80_columns_and_names_every_method(run, name):
    result = run("--backbone", name, "--d", "96")
    assert result.exit_code == 0
    table = result.stdout.splitlines()[: 2 + len(METHODS)]
    assert max(map(len, table)) <= 80
    assert [line.split()[0] for line in table[2:]] == list(METHODS)
    assert "…" not in result.stdout


def test_a_local_directory_counts_by_its_config(run, tmp_path):
    config = {
        "vocabulary_size": 100,
        "hidden_dim": 32,
        "intermediate_dim": 48,
        "num_layers": 2,
        "num_heads": 4,
        "key_value_dim": 16,
        "use_gated_activation": True,
        "tie_embedding_weights": False,
    }
    text = json.dumps({"class_name": "T5Backbone", "config": config})
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    result = run("--backbone", str(tmp_path), "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    # embedding and head; 6 attentions of 4 projections; 4 gated feed-forwards; 2 relative
    # biases; 2 x 2 + 3 x 2 + 2 norms
    own = 2 * 100 * 32 + 6 * 4 * 32 * 64 + 4 * 3 * 32 * 48 + 2 * 32 * 4 + 12 * 32
    assert found["denominators"] == {"backbone": own}  # too few rows for the paper's
    rows = {row["method"]: row for row in found["methods"]}
    assert rows["compacterpp"]["trained"] == 4 * (2 * (32 + 24) + 32 + 24) + 64 + 12 * 32
    assert set(rows["compacterpp"]["percent"]) == {"backbone"}


def test_a_small_vocabulary_has_one_column_of_percentages(run):
    result = run("--backbone", "random/tiny")
    assert "% own" in result.stdout
    assert "% paper" not in result.stdout


# JSON


def test_json_is_the_whole_of_stdout_and_what_python_returns(run):
    result = run("--json", "--n", "4", "--d", "24")
    assert json.loads(result.stdout) == count_params(n=4, d=24)
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert found["denominators"] == {"paper": PAPER, "backbone": OURS}
    (row,) = [row for row in found["methods"] if row["method"] == "compacterpp"]
    assert row["trained"] == 104_704
    assert row["percent"]["paper"] == pytest.approx(100 * 104_704 / PAPER)


def test_methods_come_in_the_order_asked_for(run):
    result = run("--json", "--method", "compacterpp", "--method", "adapter")
    assert [row["method"] for row in json.loads(result.stdout)["methods"]] == [
        "compacterpp",
        "adapter",
    ]


# Refusals


def test_n_that_does_not_divide_exits_2_and_says_why(run):
    result = run("--n", "5")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "768 % 5 = 3" in result.stderr
    assert "24 % 5 = 4" in result.stderr
    assert "n can be 1, 2, 3, 4, 6, 8, 12, 24 here" in result.stderr
    with pytest.raises(RecipeError):
        count_params(n=5)


def test_n_of_12_does_not_divide_t5_smalls_512(run):
    result = run("--n", "12", "--backbone", "t5_small_multi", "--method", "compacter")
    assert result.exit_code == 2
    assert "512 % 12 = 8" in result.stderr


@pytest.mark.parametrize("option", ["--rank", "--n", "--d"])
@pytest.mark.parametrize("value", ["0", "-4"])
def test_a_number_that_is_not_positive_exits_2(run, option, value):
    result = run(option, value)
    assert result.exit_code == 2
    assert "must be greater than 0" in result.stderr
    assert f"Received: {value}" in result.stderr


def test_an_unknown_method_names_the_nearest(run):
    result = run("--method", "compactr")
    assert result.exit_code == 2
    assert 'unknown method "compactr"' in result.stderr
    assert 'did you mean "compacter"?' in result.stderr
    with pytest.raises(UsageError) as caught:
        count_params(methods=["zzz"])
    assert "compacterpp" in caught.value.hint


def test_an_unknown_backbone_names_the_nearest(run):
    result = run("--backbone", "t5_bas_multi")
    assert result.exit_code == 2
    assert 'did you mean "t5_base_multi"?' in result.stderr


def test_a_directory_that_is_not_there_exits_3(run, tmp_path):
    result = run("--backbone", str(tmp_path / "nowhere"))
    assert result.exit_code == 3
    assert "nowhere" in result.stderr
    with pytest.raises(MissingResourceError):
        count_params(backbone=str(tmp_path))  # a folder without config.json


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"class_name": "BertBackbone", "config": {"num_heads": 1}}']
)
def test_a_config_that_is_no_t5_exits_2_and_is_named(run, tmp_path, text):
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    result = run("--backbone", str(tmp_path))
    assert result.exit_code == 2
    assert str(tmp_path / "config.json") in result.stderr
