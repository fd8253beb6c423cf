"""One's own data: templates, splits, targets."""

import pytest
import torch

from compacter_cli.recipe.sections import OwnDataSection
from compacter_cli.tasks.own import (
    GIVEN_SPLITS,
    GivenSplits,
    OwnTask,
    columns_of,
    default_metrics,
    filled,
)
from compacter_cli.training.scoring import score


def own(**section):
    given = {"train": "a.jsonl", "source": "text: {text}", "target": "{label}", **section}
    return OwnTask.of("jsonl", OwnDataSection(**given))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"validation": "v.jsonl", "test": "t.jsonl"}, "files as given"),
        ({"validation": "v.jsonl"}, "validation file halved: first half validation"),
        ({"test": "t.jsonl"}, "a tenth of train (1,000 rows at most) validates, test file as"),
        ({}, "a tenth of train (1,000 rows at most) halved: first half validation"),
    ],
)
def test_the_splits_are_told_as_they_are_made(files, words):
    assert own(**files).splits_words.startswith(words)


# Templates


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        ("{text}", ("text",)),
        ("premise: {premise} hypothesis: {hypothesis}", ("premise", "hypothesis")),
        ("{b}{a}{b}", ("b", "a")),
        ("{a column of words} {größe} {0} {a.b} {a-b}",
         ("a column of words", "größe", "0", "a.b", "a-b")),
        ("{{text}} {label}", ("label",)),
        ("{{{text}}}", ("text",)),
        ("{{}}", ()),
        ("none", ()),
        ("", ()),
    ],
)  # fmt: skip
def test_a_templates_columns_are_those_between_braces(template, columns):
    assert columns_of(template) == columns


@pytest.mark.parametrize(
    "template",
    ["{", "}", "{text", "text}", "{{text}", "{}", "a {} b", "{text!r}", "{text:>9}", "{a{b}}",
     "{a:{b}}", "}{"],
)  # fmt: skip
def test_a_bad_template_is_refused(template):
    with pytest.raises(ValueError):  # noqa: PT011
        columns_of(template)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("review: {text}", "review: a {b} of 100 %"),
        ("{{text}} is {text}!", "{text} is a {b} of 100 %!"),
        ("{{{n}}}", "{3}"),
        ("{n} {f} {true} {false}", "3 0.5 true false"),
        ("{list} {dict}", '["größe", 1] {"a": null}'),
        ("{n}{n}\n", "33\n"),
        ("{empty}|{0}|{a.b}", "|zero|dotted"),
    ],
)
def test_a_template_is_filled_with_a_row(template, text):
    row = {
        "text": "a {b} of 100 %", "n": 3, "f": 0.5, "true": True, "false": False, "empty": "",
        "list": ["größe", 1], "dict": {"a": None}, "0": "zero", "a.b": "dotted",
    }  # fmt: skip
    assert filled(template, row) == text


def test_a_rows_text_is_no_template():
    assert filled("{a} {b}", {"a": "{b}", "b": "{a}"}) == "{b} {a}"


# The task


def test_a_task_is_made_of_its_section():
    task = own(source="p: {p} h: {h}", target="{label} {why}", labels=["no x", "yes x"])
    assert task.name == "jsonl"
    assert (task.fields, task.target_fields) == (("p", "h"), ("label", "why"))
    row = {"p": "a", "h": "b", "label": "yes", "why": "x"}
    assert (task.source(row), task.target(row)) == ("p: a h: b", "yes x")
    assert task.references(row) == ("yes x",)
    assert task.targets == task.labels == ("no x", "yes x")
    assert task.prefix == ""
    assert task.shape == ("p: ", "p: {p} h: {h}")
    assert task.split == GIVEN_SPLITS
    assert task.paper is None


def test_metrics_are_those_given_or_those_of_the_kind():
    assert default_metrics(("a", "b")) == own(labels=["a", "b"]).metrics == ("accuracy",)
    assert default_metrics(()) == own().metrics == ("exact_match", "token_f1")
    assert own(labels=["1", "2"], metrics=["f1", "pearson"]).metrics == ("f1", "pearson")
    assert own(metrics=["rouge_l"]).metrics == ("rouge_l",)


def test_only_a_label_is_a_right_target():
    task = own(labels=["no", "true", "3"])
    assert task.problem({"label": "no"}) is None
    assert task.problem({"label": True}) is None
    assert task.problem({"label": 3}) is None
    said = task.problem({"label": "No"})
    assert '"No"' in said
    assert "no, true, 3" in said
    assert "empty" in task.problem({"label": " "})


def test_a_free_target_is_any_text_but_an_empty_one():
    task = own()
    assert task.problem({"label": "any thing"}) is None
    assert task.problem({"label": 0}) is None
    for empty in ("", "  ", "\n"):
        assert task.problem({"label": empty}) == "has an empty target"


def test_labels_allow_labels_and_free_text_anything():
    labels, free = own(labels=["no", "yes"]), own()
    assert labels.allows({}, "yes")
    assert not labels.allows({}, "Yes")
    assert not labels.allows({}, "")
    assert free.allows({}, "")
    assert free.allows({}, "anything")


def test_a_label_is_its_own_name():
    labels, free = own(labels=["no", "yes"]), own()
    assert [labels.label_of(text) for text in ("yes", "maybe", "")] == ["yes", None, None]
    assert free.label_of("anything") == "anything"


def test_scores_of_labels_by_hand():
    rows = [{"label": label} for label in ("a", "a", "b", "c")]
    found = score(own(labels=["a", "b", "c"]), rows, ["a", "b", "b", "d"])
    assert found.metrics == {"accuracy": 50.0}
    assert found.majority == {"accuracy": 50.0}
    assert (found.count, found.invalid) == (4, 1)


def test_scores_of_free_text_by_hand():
    rows = [{"label": text} for text in ("The iron", "iron zinc", "iron zinc", "peach")]
    found = score(own(), rows, ["iron!", "zinc", "iron zinc", ""])
    assert found.metrics["exact_match"] == 50.0
    assert found.metrics["token_f1"] == pytest.approx(100 * (1 + 2 / 3 + 1 + 0) / 4)
    assert found.majority["exact_match"] == 50.0
    assert (found.count, found.invalid) == (4, 0)


# Splits


def expected_splits(splits, seed):
    """The rule, written again: torch draws, the first of the drawn rows validate."""

    def drawn(rows):
        generator = torch.Generator()
        generator.manual_seed(seed)
        return [rows[int(place)] for place in torch.randperm(len(rows), generator=generator)]

    result = dict(splits)
    if "validation" not in splits:
        rows, held = drawn(splits["train"]), len(splits["train"]) // 10
        held = 1 if held == 0 else 1_000 if held > 1_000 else held
        result["validation"], result["train"] = rows[:held], rows[held:]
    if "test" not in splits:
        rows = drawn(result["validation"])
        result["validation"], result["test"] = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    return result


@pytest.mark.parametrize("given", [(), ("validation",), ("test",), ("validation", "test")])
@pytest.mark.parametrize("train", [1, 2, 9, 10, 19, 20, 101, 9_999, 10_000, 12_345])
@pytest.mark.parametrize("others", [1, 2, 7])
@pytest.mark.parametrize("seed", [0, 42])
def test_what_is_not_given_is_split_off(given, train, others, seed):
    splits = {"train": [f"train {row}" for row in range(train)]}
    splits |= {name: [f"{name} {row}" for row in range(others)] for name in given}
    before = {name: list(rows) for name, rows in splits.items()}
    found = GIVEN_SPLITS.apply(splits, seed)
    assert found == expected_splits(before, seed)
    assert splits == before
    assert list(found) == ["train", "validation", "test"]
    assert sorted(row for rows in found.values() for row in rows) == sorted(
        row for rows in before.values() for row in rows
    )
    counts = {name: len(rows) for name, rows in before.items()}
    sizes = GIVEN_SPLITS.sizes(counts)
    assert sizes == {name: len(rows) for name, rows in found.items()}


def test_given_files_are_taken_in_their_own_order():
    splits = {name: [name] * 3 + ["last"] for name in ("train", "validation", "test")}
    assert GIVEN_SPLITS.apply(splits, 1) == GIVEN_SPLITS.apply(splits, 2) == splits


def expected_groups(rows, first, seed):
    """Whoever is drawn comes with all his rows, until there are enough."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [rows[int(place)] for place in torch.randperm(len(rows), generator=generator)]
    before = []
    for person in dict.fromkeys(row["who"] for row in drawn):
        if sum(row["who"] in before for row in rows) >= first:
            break
        before.append(person)
    return (
        [row for row in drawn if row["who"] in before],
        [row for row in drawn if row["who"] not in before],
    )


@pytest.mark.parametrize("seed", [0, 42])
@pytest.mark.parametrize("given", [(), ("validation",), ("test",), ("validation", "test")])
def test_a_group_is_not_parted(given, seed):
    rule = GivenSplits("{who}")
    splits = {
        name: [{"row": f"{name} {row}", "who": row % people} for row in range(size)]
        for name, size, people in (("train", 200, 60), ("validation", 30, 9), ("test", 8, 8))
        if name in ("train", *given)
    }
    found = rule.apply(splits, seed)
    expected = dict(splits)
    if "validation" not in given:
        held, expected["train"] = expected_groups(splits["train"], 20, seed)
        expected["validation"] = held
    if "test" not in given:
        rows = expected["validation"]
        halves = expected_groups(rows, len(rows) // 2, seed)
        expected["validation"], expected["test"] = halves
    assert found == expected
    assert rule.sizes_of(splits, seed) == {name: len(rows) for name, rows in found.items()}
    if not given:
        assert 20 <= len(splits["train"]) - len(found["train"]) < 20 + 4  # the largest group
        people = [{row["who"] for row in rows} for rows in found.values()]
        assert sum(map(len, people)) == len(set.union(*people)) == 60


def test_groups_of_one_row_are_divided_as_without_groups():
    splits = {"train": [{"who": name} for name in range(57)]}
    assert GivenSplits("{who}").apply(splits, 3) == GIVEN_SPLITS.apply(splits, 3)


@pytest.mark.parametrize(
    ("files", "read"),
    [
        ({}, {"train": ("who",)}),
        ({"validation": "v.jsonl"}, {"train": (), "validation": ("who",), "test": ()}),
        ({"test": "t.jsonl"}, {"train": ("who",), "test": ()}),
        ({"validation": "v.jsonl", "test": "t.jsonl"}, {"train": (), "validation": (), "test": ()}),
    ],
)
def test_a_group_is_read_of_the_file_that_is_divided(files, read):
    task = own(group="{who}", **files)
    assert {split: task.group_fields(split) for split in read} == read
    assert ("rows of one {who} on one side" in task.splits_words) == any(read.values())


@pytest.mark.parametrize(
    ("train", "held"), [(1, 1), (10, 1), (29, 2), (9_999, 999), (10_010, 1_000), (10**6, 1_000)]
)
def test_a_tenth_validates_but_a_thousand_at_most(train, held):
    sizes = GIVEN_SPLITS.sizes({"train": train, "test": 5})
    assert sizes == {"train": train - held, "validation": held, "test": 5}


def test_the_splits_follow_the_seed():
    splits = {"train": list(range(200))}
    assert GIVEN_SPLITS.apply(splits, 1) == GIVEN_SPLITS.apply(splits, 1)
    assert GIVEN_SPLITS.apply(splits, 1) != GIVEN_SPLITS.apply(splits, 2)
