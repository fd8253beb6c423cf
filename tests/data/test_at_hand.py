"""What of rows and vocabulary is here: lengths by hand of a file, and none where rows are not."""

import json

from compacter_cli.data.at_hand import lengths_at_hand
from compacter_cli.recipe.recipe import load_recipe, recipe_of


def test_lengths_are_the_rows_own(tmp_path):
    file = tmp_path / "rows.jsonl"
    texts = ["a"] * 10 + ["a b c"] * 10
    file.write_text("".join(json.dumps({"x": text, "y": "1"}) + "\n" for text in texts))
    tables = {
        "task": "jsonl",
        "backbone": {"preset": "random/tiny"},
        "method": {"name": "bitfit"},
        "data": {"train": str(file), "source": "{x}", "target": "{y}", "prefix": ""},
    }
    source, target = lengths_at_hand(recipe_of(tables, "made up"))
    short, long = (lengths_of(text) for text in ("a", "a b c"))
    assert source == (short + long) / 2
    assert target == lengths_of("1")


def lengths_of(text):
    from compacter_cli.t5.preset_places import find_vocabulary

    return len(find_vocabulary("random/tiny").encode([text])[0]) + 1  # the end token


def test_rows_that_are_not_here_have_none(tmp_path):
    recipe = load_recipe("glue/rte_compacterpp", [f"data.folder={tmp_path}"])
    assert lengths_at_hand(recipe) is None
