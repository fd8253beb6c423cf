"""The metrics of GLUE, SuperGLUE and free text, from 0 (correlations: -1) to 1."""

import re
import string
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from compacter_cli.tasks.base import Row, Task


@dataclass(frozen=True)
class Answers:
    """Predicted texts beside the rows that they answer.

    Attributes:
        task: whose rows they are.
        rows: the rows of a split.
        predicted: a text for every row.
    """

    task: Task
    rows: Sequence[Row]
    predicted: list[str]

    @property
    def gold(self) -> list[str]:
        """The target text of every row."""
        return [self.task.target(row) for row in self.rows]

    def settled(self) -> list[str]:
        """Predictions as they count: a text that is no label is wrong.

        Of two labels it counts as the other one, of more as none of them.
        """
        targets = self.task.targets
        other = dict(zip(targets, reversed(targets), strict=True)) if len(targets) == 2 else {}
        return [
            text if text in targets else other.get(gold, "")
            for gold, text in zip(self.gold, self.predicted, strict=True)
        ]

    def pairs(self) -> list[tuple[tuple[str, ...], str]]:
        """(references, prediction) of every row."""
        references = map(self.task.references, self.rows)
        return list(zip(references, self.predicted, strict=True))


def accuracy(answers: Answers) -> float:
    """Share of right labels."""
    return _mean(right_labels(answers))


def right_labels(answers: Answers) -> list[bool]:
    """Whether each row has its label."""
    return [gold == text for gold, text in zip(answers.gold, answers.settled(), strict=True)]


def f1(answers: Answers) -> float:
    """F1 of the last of two labels; 0 where it is neither right nor predicted anywhere."""
    return _f1(*_positive(answers))


def macro_f1(answers: Answers) -> float:
    """Mean of every label's F1, labels that occur nowhere included (as 0)."""
    labels = list(answers.task.targets)
    return _f1(answers.gold, answers.settled(), labels=labels, average="macro")


def _f1(gold: Sequence[object], predicted: Sequence[object], **settings: Any) -> float:
    """scikit-learn's F1, 0 where it would divide by zero."""
    from sklearn.metrics import f1_score

    zero: Any = 0  # by its default, a word, the checker takes it for a text
    return float(f1_score(gold, predicted, zero_division=zero, **settings))


def matthews(answers: Answers) -> float:
    """Matthews correlation of two labels; 0 where either side is constant."""
    from sklearn.metrics import matthews_corrcoef

    gold, predicted = _positive(answers)
    return 0.0 if _constant(gold, predicted) else float(matthews_corrcoef(gold, predicted))


def _constant(gold: Sequence[object], predicted: Sequence[object]) -> bool:
    """Whether a side has one value throughout, so that the two cannot be correlated."""
    return len(set(gold)) < 2 or len(set(predicted)) < 2


def _positive(answers: Answers) -> list[list[bool]]:
    """Whether each row's label, and its prediction, is the last label."""
    last = answers.task.targets[-1]
    return [[text == last for text in texts] for texts in (answers.gold, answers.settled())]


def pearson(answers: Answers) -> float:
    """Pearson correlation of labels that are numbers."""
    return _correlation("pearsonr", [float(text) for text in answers.gold], answers)


def spearman(answers: Answers) -> float:
    """Spearman's rank correlation of labels that are numbers."""
    return _correlation("spearmanr", [float(text) for text in answers.gold], answers)


def raw_pearson(answers: Answers) -> float:
    """Pearson correlation with the scores as they are before they become one of the labels."""
    return _correlation("pearsonr", [row["label"] for row in answers.rows], answers)


def raw_spearman(answers: Answers) -> float:
    """Spearman's correlation with the scores as they are before they become one of the labels."""
    return _correlation("spearmanr", [row["label"] for row in answers.rows], answers)


def _correlation(
    name: Literal["pearsonr", "spearmanr"], gold: Sequence[float], answers: Answers
) -> float:
    """A correlation of scipy's; 0 where either side is constant."""
    from scipy import stats

    numbers = [float(text) for text in answers.task.targets]
    unknown = min(numbers) - 1  # what a text that is no label counts as
    predicted = [
        float(text) if text in answers.task.targets else unknown for text in answers.predicted
    ]
    if _constant(gold, predicted):
        return 0.0
    return float(getattr(stats, name)(gold, predicted).statistic)


def question_em(answers: Answers) -> float:
    """Share of the groups of rows (MultiRC's questions) that are all right."""
    right: dict[Hashable, bool] = {}
    for row, gold, text in zip(answers.rows, answers.gold, answers.predicted, strict=True):
        group = answers.task.group(row)
        right[group] = right.get(group, True) and gold == text
    return sum(right.values()) / len(right)


def exact_match(answers: Answers) -> float:
    """Share of predictions that equal a reference, both normalised as SQuAD does."""
    return _mean(matches(answers))


def matches(answers: Answers) -> list[bool]:
    """Whether each prediction equals a reference, both normalised."""
    return [
        any(normalised(text) == normalised(reference) for reference in references)
        for references, text in answers.pairs()
    ]


def token_f1(answers: Answers) -> float:
    """Mean F1 of common words, the best over a row's references, normalised as SQuAD does."""
    return _mean(token_f1s(answers))


def token_f1s(answers: Answers) -> list[float]:
    """Each row's F1 of common words."""
    return [
        max(_overlap(reference, text) for reference in references)
        for references, text in answers.pairs()
    ]


def rouge_l(answers: Answers) -> float:
    """Mean ROUGE-L F-measure, the best over a row's references, without stemming.

    Words are of the letters a to z and digits alone: other scripts score 0.
    """
    return _mean(rouge_ls(answers))


def rouge_ls(answers: Answers) -> list[float]:
    """Each row's ROUGE-L F-measure."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    return [
        max(scorer.score(reference, text)["rougeL"].fmeasure for reference in references)
        for references, text in answers.pairs()
    ]


def right(answers: Answers) -> list[bool]:
    """Whether each row is answered rightly: by its label, or a text that is a reference."""
    return right_labels(answers) if answers.task.targets else matches(answers)


def normalised(text: str) -> str:
    """`text` as SQuAD compares it: small letters, no punctuation, no articles, single spaces."""
    text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def _overlap(reference: str, text: str) -> float:
    expected, given = normalised(reference).split(), normalised(text).split()
    if not expected or not given:
        return float(expected == given)
    common = (Counter(expected) & Counter(given)).total()
    return 2 * common / (len(expected) + len(given))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


METRICS: dict[str, Callable[[Answers], float]] = {
    metric.__name__: metric
    for metric in (
        accuracy,
        f1,
        macro_f1,
        matthews,
        pearson,
        spearman,
        raw_pearson,
        raw_spearman,
        question_em,
        exact_match,
        token_f1,
        rouge_l,
    )
}

# Those that are a mean over rows, by what each row is worth.
MEANS: dict[str, Callable[[Answers], Sequence[float]]] = {
    "accuracy": right_labels,
    "exact_match": matches,
    "token_f1": token_f1s,
    "rouge_l": rouge_ls,
}
# What metrics ask of rows beside their references; of a task without them a row need not have it.
BY_GROUP = frozenset({"question_em"})
BY_RAW_LABEL = frozenset({"raw_pearson", "raw_spearman"})
