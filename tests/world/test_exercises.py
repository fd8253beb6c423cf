"""Exercises: every answer by other means, and nothing of the four tasks in them."""

import random
import re
from itertools import islice

import pytest

from compacter_cli.pretraining.corpus import demo_sentences
from compacter_cli.tasks import DEMO_TASKS
from compacter_cli.world import exercises
from compacter_cli.world.clauses import Speaker
from compacter_cli.world.exercises import SHARES

EXERCISES = tuple(SHARES)


def _done(kind, count=400):
    """Many exercises of a kind."""
    speaker = Speaker(random.Random(f"test {kind.__name__}"))
    return [kind(speaker) for _ in range(count)]


@pytest.fixture(scope="module")
def some():
    """The first exercises of a seed."""
    return list(islice(exercises.exercises(3, demo_sentences()), 3000))


def test_they_are_the_same_for_the_same_seed_and_of_every_kind(some):
    assert list(islice(exercises.exercises(3, demo_sentences()), 3000)) == some
    assert list(islice(exercises.exercises(4, demo_sentences()), 10)) != some[:10]
    starts = {source.partition(": ")[0] for source, _ in some}
    plain = {"premise", "sentence", "sentence1"}  # what may come without its name
    assert starts == {kind.__name__ for kind in EXERCISES} | plain


def test_no_sentence_and_no_answer_of_the_tasks_occurs_in_them(some):
    told = demo_sentences()
    answers = {target for task in DEMO_TASKS for target in (*task.targets, *task.labels)}
    for source, target in some:
        found = re.findall(r"[A-Z][^.!?:]*[.!?]", f"{source} {target}")
        assert found
        assert told.isdisjoint(found), source
        assert target not in answers


@pytest.mark.parametrize("kind", EXERCISES, ids=lambda kind: kind.__name__)
def test_the_sentences_named_are_those_that_are_said(kind):
    for sentences, source, target in _done(kind, 200):
        spoken = re.findall(r"[A-Z][^.!?:]*[.!?]", f"{source} {target}")
        assert set(spoken) == set(sentences)


def test_what_is_mended_was_wrong_and_is_right(is_english):
    fine = 0
    for sentences, source, target in _done(exercises.mend):
        assert source == f"sentence: {sentences[0]}"
        fine += target == "fine"
        if target == "fine":
            assert is_english(sentences[0])
        else:
            assert sentences[1:] == (target,)
            assert is_english(target)
            assert not is_english(sentences[0], wide=True), source
    assert 160 < fine < 260  # of 400


def test_what_is_said_otherwise_is_english_and_other(is_english):
    for (given, other), source, target in _done(exercises.rephrase):
        assert (source, target) == (f"sentence: {given}", other)
        assert given != other
        assert is_english(given)
        assert is_english(other)


# What the reason and the way say together: what is wider follows where it may go up, and so on.
CERTAIN = {
    "adverb wider over",
    "adverb narrower under",
    "words alone",
    *(f"{place} wider over" for place in ("subject", "object")),
    *(f"{place} narrower under" for place in ("subject", "object")),
}
DOUBTFUL = {
    "adverb narrower over",
    "adverb wider under",
    "places exchanged",
    "truth denied",
    "verb other",
    *(f"{place} narrower over" for place in ("subject", "object")),
    *(f"{place} wider under" for place in ("subject", "object")),
    *(
        f"{place} other {way}"
        for place in ("subject", "object")
        for way in ("over", "under", "fixed")
    ),
}


def test_reasons_agree_with_their_verdicts():
    seen = set()
    for (first, second), source, target in _done(exercises.explain, 1500):
        assert source == f"premise: {first} hypothesis: {second}"
        reason, _, verdict = target.rpartition(" ")
        assert reason in {"certain": CERTAIN, "doubtful": DOUBTFUL}[verdict], (source, target)
        seen.add(reason)
    assert len(seen) > len(CERTAIN | DOUBTFUL) - 4


@pytest.mark.parametrize("kind", [exercises.conclude, exercises.explain])
def test_verdicts_are_those_of_finite_models(kind, models, monkeypatch):
    pairs, verdicts, draw = [], [], random.Random(0)
    inference = exercises.inference

    def recorded(*args):
        pairs.append(inference(*args))
        return pairs[-1]

    monkeypatch.setattr(exercises, "inference", recorded)
    for ((first, second), source, target), pair in zip(_done(kind, 150), pairs, strict=True):
        assert (first, second) == tuple(clause.sentence() for clause in pair)
        assert source == f"premise: {first} hypothesis: {second}"
        verdicts.append(target.rpartition(" ")[2])
        tried = range(12 if verdicts[-1] == "certain" else 150)
        found = (models.random_model(draw, pair[0], pair[1:]) for _ in tried)
        refuted = any(not model.holds(pair[1]) for model in found)
        assert verdicts[-1] == ("doubtful" if refuted else "certain"), source
    assert min(verdicts.count(word) for word in ("certain", "doubtful")) > 40


WORDS = {"same": "equal", "above": "kind", "sibling": "near", "family": "far", "none": "apart"}


def test_what_is_compared_is_compared_by_brute_force(alike):
    answers = set()
    for (first, second), source, target in _done(exercises.compare, 800):
        assert source == f"sentence1: {first} sentence2: {second}"
        (who, verb, whom), (who2, verb2, whom2) = map(alike.parsed, (first, second))
        subject, object_ = alike.relation(who, who2), alike.relation(whom, whom2)
        same = "equal" if verb == verb2 else "apart"
        assert target == f"{WORDS[subject]} {same} {WORDS[object_]}", source
        answers |= set(target.split())
    assert answers == set(WORDS.values())


def test_grades_are_the_whole_points_of_the_score_by_brute_force(alike):
    words = ("foreign", "remote", "loose", "fair", "close", "twin")
    answers = set()
    for (first, second), source, target in _done(exercises.grade, 800):
        assert source == f"sentence1: {first} sentence2: {second}"
        assert target == words[int(alike.score(first, second))], source
        answers.add(target)
    assert answers == set(words)


def test_reactions_are_those_to_what_is_heard(sounds_positive):
    answers = []
    for (said,), source, target in _done(exercises.react):
        assert source == f"sentence: {said}"
        assert target == ("recommend" if sounds_positive(said) else "avoid"), said
        answers.append(target)
    assert 150 < answers.count("avoid") < 250
