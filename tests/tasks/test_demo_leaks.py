"""No word gives the answer of a demo task away: a bag of words stays far from it.

Measured: acceptability 0.64, sentiment 0.58, entailment 0.54 (the premise alone 0.53, the
hypothesis alone 0.58: what follows is often more general), similarity a correlation of 0.05.
"""

import pytest

from compacter_cli.tasks import TASKS


def _score(task, rows, text):
    """What a logistic regression over word counts, trained on the training rows, scores."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = {split: [text(row) for row in rows[split]] for split in rows}
    targets = {split: [task.target(row) for row in rows[split]] for split in rows}
    model = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=2000))
    found = model.fit(texts["train"], targets["train"]).predict(texts["validation"])
    if task.labels:
        return np.mean(found == np.array(targets["validation"]))
    return np.corrcoef(found.astype(float), np.array(targets["validation"], float))[0, 1]


@pytest.mark.parametrize(
    ("name", "field", "bound"),
    [
        ("demo/acceptability", None, 0.72),
        ("demo/sentiment", None, 0.68),
        ("demo/entailment", None, 0.62),
        ("demo/entailment", "premise", 0.60),
        ("demo/entailment", "hypothesis", 0.64),
        ("demo/similarity", None, 0.20),
    ],
)
def test_a_bag_of_words_does_not_answer(name, field, bound, demo_rows):
    task = TASKS[name]
    text = task.source if field is None else lambda row: row[field]
    assert _score(task, demo_rows(task), text) < bound


def test_a_bag_of_words_answers_where_words_do(demo_rows):
    """The measure itself: with the answer written beside the text, it is found."""
    task = TASKS["demo/entailment"]
    assert _score(task, demo_rows(task), lambda row: f"{row['premise']} x{row['label']}") > 0.98
    task = TASKS["demo/similarity"]
    assert _score(task, demo_rows(task), lambda row: f"x{int(2 * row['label'])}") > 0.98
