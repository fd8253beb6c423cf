"""Metrics against scikit-learn, scipy and brute force; on degenerate answers; and by hand."""

import itertools
import math
import random
import re
from types import SimpleNamespace

import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from compacter_cli.tasks import TASKS
from compacter_cli.tasks.metrics import METRICS, Answers, normalised

COLA, MRPC, CB = TASKS["glue/cola"], TASKS["glue/mrpc"], TASKS["super_glue/cb"]
STSB, MULTIRC, RECORD = (
    TASKS[name] for name in ("glue/stsb", "super_glue/multirc", "super_glue/record")
)
WORDS = ("the", "cat", "Cat", "sat", "a", "mat.", "on", "an", "mat", "!")
FREE = SimpleNamespace(
    target=lambda row: row["texts"][0], references=lambda row: row["texts"], targets=()
)


def _measure(metric, task, labels, predicted):
    rows = [{"idx": place, "label": label} for place, label in enumerate(labels)]
    return METRICS[metric](Answers(task, rows, list(predicted)))


def _free(metric, references, predicted):
    return METRICS[metric](Answers(FREE, [{"texts": texts} for texts in references], predicted))


def _binary(labels, predicted):
    """What a text counts as in a task of two labels: no label is the wrong one."""
    pairs = zip(labels, predicted, strict=True)
    return [int(text) if text in ("0", "1") else 1 - label for label, text in pairs]


# Against scikit-learn


@pytest.mark.parametrize(
    ("metric", "reference"),
    [("accuracy", accuracy_score), ("f1", f1_score), ("matthews", matthews_corrcoef)],
)
def test_two_labels_as_scikit_learn_with_invalid_texts_as_the_wrong_label(metric, reference):
    found, expected = {}, {}
    for seed in range(20):
        draw = random.Random(seed)
        labels = [0, 1, *draw.choices([0, 1], k=40)]
        predicted = draw.choices(["0", "1", "2", "", "yes"], k=42)
        expected[seed] = reference(labels, _binary(labels, predicted))
        found[seed] = _measure(metric, MRPC, labels, predicted)
    assert found == pytest.approx(expected, abs=1e-12)


def test_three_labels_as_scikit_learn_with_invalid_texts_as_a_fourth():
    found, expected = {}, {}
    for seed in range(20):
        draw = random.Random(seed)
        labels = draw.choices([0, 1, 2], k=28)
        predicted = draw.choices(["0", "1", "2", "3", "", "neutral"], k=28)
        counted = [int(text) if text in ("0", "1", "2") else 9 for text in predicted]
        macro = f1_score(labels, counted, labels=[0, 1, 2], average="macro", zero_division=0)
        expected["macro_f1", seed] = macro
        expected["accuracy", seed] = accuracy_score(labels, counted)
        for metric in ("macro_f1", "accuracy"):
            found[metric, seed] = _measure(metric, CB, labels, predicted)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "predicted", "expected"),
    [
        # accuracy, F1 of "1", Matthews
        ([1, 0, 1, 0], "1111", (0.5, 2 / 3, 0.0)),
        ([1, 0, 1, 0], "0000", (0.5, 0.0, 0.0)),
        ([1, 0, 1, 0], "xxxx", (0.0, 0.0, -1.0)),
        ([0, 0, 0], "010", (2 / 3, 0.0, 0.0)),
        ([1, 1, 1], "1x1", (2 / 3, 0.8, 0.0)),
        ([1, 1, 1], "xxx", (0.0, 0.0, 0.0)),
        ([1], "0", (0.0, 0.0, 0.0)),
        ([0], "x", (0.0, 0.0, 0.0)),
        ([1], "1", (1.0, 1.0, 0.0)),
        ([0, 0], "00", (1.0, 0.0, 0.0)),
        ([1, 1], "11", (1.0, 1.0, 0.0)),
        ([1, 0, 1, 1], "10x0", (0.5, 0.5, 1 / 3)),
    ],
)
def test_degenerate_answers_of_two_labels(labels, predicted, expected):
    found = [_measure(m, COLA, labels, predicted) for m in ("accuracy", "f1", "matthews")]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "predicted", "expected"),
    [
        ([0, 0, 1, 1, 2, 2], "000000", (2 * 2 / (2 + 6)) / 3),
        ([0, 1, 2], "xxx", 0.0),
        ([0], "0", 1 / 3),  # the other two occur nowhere and count as 0
        ([0, 0, 1, 1], "0011", 2 / 3),
        # 0: 2 of 3 gold, 2 predicted: 4/5; 1: 1 gold, 2 predicted, 1 right: 2/3; 2: 1 of 2: 2/3
        ([0, 0, 0, 1, 2, 2], "0011x2", (4 / 5 + 2 / 3 + 2 / 3) / 3),
    ],
)
def test_macro_f1_by_hand(labels, predicted, expected):
    assert _measure("macro_f1", CB, labels, predicted) == pytest.approx(expected)


# Correlations


@pytest.mark.parametrize(
    ("metric", "reference"), [("pearson", stats.pearsonr), ("spearman", stats.spearmanr)]
)
def test_correlations_are_scipys_with_invalid_texts_as_minus_one(metric, reference):
    found, expected = {}, {}
    for seed in range(20):
        draw = random.Random(seed)
        raw = [draw.choice([0.0, 5.0, round(draw.uniform(0, 5), 3)]) for _ in range(50)]
        predicted = draw.choices([*STSB.targets, "", "3.85", "6.0", "nan"], k=50)
        counted = [float(text) if text in STSB.targets else -1.0 for text in predicted]
        rounded = [float(STSB.target({"label": score})) for score in raw]
        for name, gold in ((metric, rounded), (f"raw_{metric}", raw)):
            expected[name, seed] = reference(gold, counted)[0]
            found[name, seed] = _measure(name, STSB, raw, predicted)
    assert found == pytest.approx(expected, abs=1e-12)


def test_correlations_by_hand():
    raw = [1.0, 2.04, 2.96, 4.0]  # 1.0, 2.0, 3.0 and 4.0 once rounded
    same = ["1.0", "2.0", "3.0", "4.0"]
    assert _measure("pearson", STSB, raw, same) == pytest.approx(1)
    assert _measure("pearson", STSB, raw, same[::-1]) == pytest.approx(-1)
    assert 0.99 < _measure("raw_pearson", STSB, raw, same) < 1 - 1e-5
    assert _measure("spearman", STSB, raw, ["0.0", "0.2", "0.4", "5.0"]) == pytest.approx(1)
    # ranks 1 2 3 4 against 2 1 4 3: 1 - 6 * 4 / (4 * 15)
    swapped = ["2.0", "1.0", "4.0", "3.0"]
    assert _measure("spearman", STSB, raw, swapped) == pytest.approx(0.6)
    # as -1, the invalid text lies below 0.0: everything is in order
    assert _measure("spearman", STSB, raw, ["x", "0.0", "0.2", "5.0"]) == pytest.approx(1)


@pytest.mark.parametrize("metric", ["pearson", "spearman", "raw_pearson", "raw_spearman"])
@pytest.mark.parametrize(
    ("raw", "predicted"),
    [
        ([1.0, 2.0, 3.0], ["2.0", "2.0", "2.0"]),
        ([1.0, 2.0, 3.0], ["", "x", "nan"]),
        ([2.0, 2.0, 2.0], ["1.0", "2.0", "3.0"]),
        ([2.0, 2.0], ["2.0", "2.0"]),
        ([2.0], ["2.0"]),
        ([2.0], ["x"]),
    ],
)
def test_correlations_of_constants_are_zero(metric, raw, predicted):
    found = _measure(metric, STSB, raw, predicted)
    assert found == 0.0
    assert not math.isnan(found)


# MultiRC


def test_f1_and_exact_match_of_questions_by_hand():
    # (paragraph, question), label, prediction
    table = [
        ((0, 0), 1, "1"),
        ((0, 1), 1, "1"),  # one of this question's answers is wrong
        ((0, 0), 0, "0"),
        ((1, 0), 1, "x"),  # the same question number in another paragraph
        ((0, 1), 0, "1"),
        ((1, 1), 0, "0"),
    ]
    rows = [
        {"idx": {"paragraph": p, "question": q, "answer": place}, "label": label}
        for place, ((p, q), label, _) in enumerate(table)
    ]
    answers = Answers(MULTIRC, rows, [text for *_, text in table])
    assert METRICS["question_em"](answers) == 2 / 4
    assert METRICS["f1"](answers) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert METRICS["question_em"](Answers(MULTIRC, rows[:1], ["1"])) == 1.0
    assert METRICS["question_em"](Answers(MULTIRC, rows, [""] * 6)) == 0.0


# Free text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat's hat.", "cats hat"),
        ("an apple a day", "apple day"),
        ("Theatre, anthem", "theatre anthem"),  # articles only as words of their own
        ("U.S.A.", "usa"),
        ("A.", ""),  # punctuation goes first, then the article that is left
        ("re-do (it)", "redo it"),
        (" \t x\n y ", "x y"),
        ("the", ""),
        ("", ""),
        ("“Zürich”", "“zürich”"),  # only ASCII punctuation is taken out
    ],
)
def test_texts_are_normalised_as_squad_does(text, expected):
    assert normalised(text) == expected
    assert _free("exact_match", [[expected]], [text]) == 1.0


def test_record_takes_the_best_of_all_answers():
    rows = [{"answers": ["Ada Lovelace", "Ada"], "idx": place} for place in range(5)]
    predicted = ["the ada!", "Lovelace, Ada", "Ada Byron", "Oslo", ""]
    answers = Answers(RECORD, rows, predicted)
    # "lovelace ada" has both words of "ada lovelace" but not in its order
    assert METRICS["exact_match"](answers) == 1 / 5
    assert METRICS["token_f1"](answers) == pytest.approx((1 + 1 + 2 / 3 + 0 + 0) / 5)


def test_token_f1_counts_a_repeated_word_as_often_as_both_have_it():
    assert _free("token_f1", [["x x y"]], ["x y y"]) == pytest.approx(4 / 6)
    assert _free("token_f1", [["the"]], ["a"]) == 1.0  # both empty once normalised
    assert _free("token_f1", [["the"]], ["x"]) == 0.0


@pytest.mark.parametrize("seed", range(10))
def test_token_f1_is_that_of_a_plain_count(seed):
    draw = random.Random(seed)

    def text():
        return " ".join(draw.choices(WORDS, k=draw.randint(0, 6)))

    def plain(reference, found):
        reference, found = normalised(reference).split(), normalised(found).split()
        left, same = list(reference), 0
        for word in found:
            if word in left:
                left.remove(word)
                same += 1
        if not same:
            return float(not reference and not found)
        precision, recall = same / len(found), same / len(reference)
        return 2 * precision * recall / (precision + recall)

    references = [[text() for _ in range(draw.randint(1, 3))] for _ in range(30)]
    predicted = [text() for _ in references]
    pairs = zip(references, predicted, strict=True)
    best = [max(plain(reference, text) for reference in texts) for texts, text in pairs]
    found = _free("token_f1", references, predicted)
    assert found == pytest.approx(sum(best) / len(best))


@pytest.mark.parametrize("seed", range(10))
def test_rouge_l_is_that_of_a_brute_force_longest_common_subsequence(seed):
    draw = random.Random(seed)

    def subsequences(words):
        sizes = range(len(words) + 1)
        return {chosen for size in sizes for chosen in itertools.combinations(words, size)}

    def plain(reference, found):
        reference, found = (re.findall("[a-z0-9]+", text.lower()) for text in (reference, found))
        common = max(map(len, subsequences(reference) & subsequences(found)))
        return 2 * common / (len(reference) + len(found)) if common else 0.0

    texts = [" ".join(draw.choices(WORDS, k=draw.randint(0, 7))) for _ in range(60)]
    references, predicted = list(zip(texts[:20], texts[20:40], strict=True)), texts[40:]
    pairs = zip(references, predicted, strict=True)
    best = [max(plain(reference, text) for reference in both) for both, text in pairs]
    found = _free("rouge_l", references, predicted)
    assert found == pytest.approx(sum(best) / len(best))
