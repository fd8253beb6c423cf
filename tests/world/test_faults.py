"""Faults: by hand, and that none leaves an English sentence behind."""

import random
from collections import Counter

import pytest

from compacter_cli.world import faults
from compacter_cli.world.clauses import Clause, NounPhrase, Speaker, sentence
from compacter_cli.world.lexicon import adjectives_of, nouns, verbs

NOUNS = {noun.word: noun for noun in nouns()}
VERBS = {verb.base: verb for verb in (*verbs(True), *verbs(False))}
BIG = adjectives_of("animal")[0]
ANNA = NounPhrase.named("Anna")
FAULTS = (
    faults.agreement,
    faults.number,
    faults.verb_form,
    faults.order,
    faults.article,
    faults.doubled,
)
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)


def _np(determiner, noun, adjective=None):
    return NounPhrase(determiner, NOUNS[noun], adjective)


def _outcomes(fault, *args, **more):
    """All sentences that a fault makes of a clause."""
    subject, verb, *objects = args
    clause = Clause(subject, VERBS[verb], *objects, **more)
    speaker = Speaker(random.Random(0))
    made = [fault(speaker, clause) for _ in range(200)]
    return {sentence(words) if words else None for words in made}


@pytest.mark.parametrize(
    ("given", "more", "expected"),
    [
        ((_np("two", "dog"), "see", ANNA), {"present": True}, "Two dogs sees Anna."),
        ((_np("a", "dog"), "see", ANNA), {"present": True}, "A dog see Anna."),
        ((_np("a", "dog"), "see", ANNA), {}, None),
        ((_np("the", "dog"), "run"), {"negated": True}, None),
        (
            (_np("the", "dog"), "run"),
            {"negated": True, "present": True},
            "The dog do not run.",
        ),
        ((_np("a", "dog"), "see", ANNA), {"passive": True}, "Anna were seen by a dog."),
        ((ANNA, "quit"), {"present": True}, None),  # "Anna quit" is right
    ],
)
def test_agreement_by_hand(given, more, expected):
    assert _outcomes(faults.agreement, *given, **more) == {expected}


def test_number_by_hand():
    found = _outcomes(faults.number, _np("two", "dog"), "see", _np("a", "owl"))
    assert found == {"Two dog saw an owl.", "Two dogs saw an owls."}
    assert _outcomes(faults.number, _np("the", "dog"), "run") == {None}
    assert _outcomes(faults.number, _np("no", "dog"), "run") == {None}  # "no dogs" is right
    assert _outcomes(faults.number, _np("some", "dog"), "run") == {None}  # and "some dog"


@pytest.mark.parametrize(
    ("given", "more", "expected"),
    [
        ((ANNA, "chase", _np("a", "dog")), {"passive": True}, "A dog was chase by Anna."),
        ((ANNA, "chase", _np("a", "dog")), {"negated": True}, "Anna did not chased a dog."),
        ((ANNA, "chase", _np("a", "dog")), {}, "Anna did chased a dog."),
        ((ANNA, "chase", _np("a", "dog")), {"present": True}, None),
        ((ANNA, "quit"), {"negated": True}, None),
        ((ANNA, "quit"), {}, None),
        ((ANNA, "see", _np("a", "oak")), {"negated": True}, None),  # to saw an oak
        ((ANNA, "see", _np("a", "oak")), {"passive": True}, "An oak was see by Anna."),
        ((ANNA, "clean", _np("a", "sofa")), {"passive": True}, None),  # it is clean
        ((ANNA, "clean", _np("a", "sofa")), {}, "Anna did cleaned a sofa."),
    ],
)
def test_verb_form_by_hand(given, more, expected):
    assert _outcomes(faults.verb_form, *given, **more) == {expected}


@pytest.mark.parametrize(
    ("given", "more", "expected"),
    [
        (
            (_np("the", "dog", BIG), "see", _np("a", "owl")),
            {},
            {
                "Big the dog saw an owl.",
                "The dog big saw an owl.",
                "The big saw dog an owl.",
                "The big dog an saw owl.",
            },
        ),
        (
            (_np("two", "dog"), "see", ANNA),
            {"passive": True, "adverb": "again"},
            {"Anna was seen two by dogs again."},
        ),
        ((_np("all", "dog"), "run"), {}, {None}),  # "Dogs all ran." is right
        ((_np("all", "dog"), "see", ANNA), {}, {None}),
        ((ANNA, "run"), {"negated": True}, {"Anna not did run."}),
    ],
)
def test_order_by_hand(given, more, expected):
    assert _outcomes(faults.order, *given, **more) == expected


def test_article_by_hand():
    assert _outcomes(faults.article, _np("a", "owl"), "run") == {"A owl ran."}
    assert _outcomes(faults.article, _np("a", "owl", BIG), "run") == {"An big owl ran."}
    assert _outcomes(faults.article, _np("the", "owl"), "run") == {None}


def test_doubled_by_hand():
    singular = _outcomes(faults.doubled, _np("a", "owl"), "run")
    assert singular == {"A an owl ran.", "Every an owl ran.", "The an owl ran.", None}
    assert _outcomes(faults.doubled, _np("three", "owl"), "run") == {
        "Two three owls ran.",
        "Three three owls ran.",
        None,
    }
    assert _outcomes(faults.doubled, ANNA, "run") == {None}


@each_fault
def test_no_fault_leaves_an_english_sentence(fault, is_english):
    speaker = Speaker(random.Random(f"fault {fault.__name__}"))
    made = 0
    while made < 500:
        clause = speaker.clause()
        words = fault(speaker, clause)
        if words and words != clause.words():
            made += 1
            assert not is_english(sentence(words), wide=True), (fault, sentence(words))


@each_fault
def test_faults_are_common_enough_to_be_drawn(fault):
    speaker = Speaker(random.Random(0))
    clauses = [speaker.clause() for _ in range(400)]
    assert sum(fault(speaker, clause) is not None for clause in clauses) > 60


def test_a_faulty_sentence_has_any_of_the_faults():
    speaker = Speaker(random.Random(0))
    found = [(clause := speaker.clause(), faults.faulty(speaker, clause)) for _ in range(2000)]
    assert all(text != clause.sentence() for clause, text in found)
    changes = Counter()
    for clause, text in found:
        if text is None:
            changes["none"] += 1
            continue
        before, after = clause.sentence().lower().split(), text.lower().split()
        if sorted(before) == sorted(after):
            changes["order"] += 1
        elif len(after) == len(before) + 1:
            changes["one more"] += 1
        else:
            assert len(before) == len(after)
            assert sum(a != b for a, b in zip(before, after, strict=True)) == 1, (clause, text)
            changes["another"] += 1
    assert min(changes.values()) > 150
    assert len(changes) == 4
