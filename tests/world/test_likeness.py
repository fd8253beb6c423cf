"""How alike clauses are: scores by hand, relations by brute force over the lexicon's table."""

import itertools
import random
from collections import Counter

import pytest

from compacter_cli.world.clauses import Clause, NounPhrase, Speaker
from compacter_cli.world.lexicon import adjectives_of, nouns, verbs
from compacter_cli.world.likeness import compared, likeness, relation
from compacter_cli.world.meaning import fits

NOUNS = {noun.word: noun for noun in nouns()}
VERBS = {verb.base: verb for verb in verbs()}
BIG = adjectives_of("person")[0]


def clause(subject, verb, object_, **more):
    """A clause with phrases from `determiner (big) noun`."""

    def phrase(text):
        determiner, *big, noun = text.split(" ")
        return NounPhrase(determiner, NOUNS[noun], BIG if big else None)

    return Clause(phrase(subject), VERBS[verb], phrase(object_), **more)


def test_relations_by_brute_force(alike):
    assert set(alike.PATHS) == set(NOUNS)
    found = Counter()
    for one, other in itertools.product(NOUNS, repeat=2):
        expected = alike.relation(one, other)
        assert relation(NOUNS[one], NOUNS[other]) == expected, (one, other)
        found[expected] += 1
    assert found["same"] == 126
    assert found["sibling"] == 20 * 5 * 4
    assert found["above"] == 2 * (100 * 2 + 20)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("poodle", "poodle", "same"),
        ("poodle", "dog", "above"),
        ("animal", "poodle", "above"),
        ("poodle", "beagle", "sibling"),
        ("dog", "bird", "family"),
        ("poodle", "bird", "family"),
        ("poodle", "owl", "family"),
        ("poodle", "poet", "none"),
        ("animal", "person", "none"),
    ],
)
def test_relations_by_hand(one, other, expected, alike):
    assert relation(NOUNS[one], NOUNS[other]) == relation(NOUNS[other], NOUNS[one]) == expected
    assert alike.relation(one, other) == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (clause("a poodle", "see", "a pie"), clause("two poodle", "notice", "some pie"), 5.0),
        (clause("a poodle", "see", "a pie"), clause("a poodle", "smell", "a pie"), 4.0),
        (clause("a poodle", "see", "a pie"), clause("a dog", "see", "a pie"), 4.5),
        (clause("a animal", "see", "a pie"), clause("a poodle", "see", "a pie"), 4.5),
        (clause("a poodle", "see", "a pie"), clause("a beagle", "see", "a pie"), 4.0),
        (clause("a poodle", "see", "a pie"), clause("a owl", "see", "a pie"), 3.5),
        (clause("a poodle", "see", "a pie"), clause("a poet", "see", "a pie"), 3.0),
        (clause("a dog", "see", "a pie"), clause("a bird", "see", "a pie"), 3.5),
        (clause("a dog", "see", "a pie"), clause("a owl", "see", "a pie"), 3.5),
        (clause("a poodle", "see", "a pie"), clause("a beagle", "eat", "a cake"), 2.0),
        (clause("a poodle", "see", "a pie"), clause("a owl", "eat", "a leek"), 1.0),
        (clause("a poodle", "see", "a pie"), clause("a poet", "eat", "a leek"), 0.5),
        (clause("a poodle", "see", "a owl"), clause("a poet", "buy", "a oak"), 0.0),
        (clause("a poodle", "see", "a owl"), clause("a owl", "see", "a poodle"), 2.0),
        (
            clause("a poodle", "see", "a pie"),
            clause("the poodle", "see", "the pie", passive=True, present=True),
            5.0,
        ),
        (clause("a poet", "see", "a big poet"), clause("a big poet", "see", "a poet"), 5.0),
    ],
)
def test_likeness_by_hand(first, second, expected):
    assert likeness(first, second) == likeness(second, first) == expected


def test_compared_clauses_are_alike_in_every_degree(alike):
    speaker = Speaker(random.Random(0))
    degrees = Counter()
    for _ in range(1500):
        first, second = compared(speaker)
        assert first.words() != second.words()
        for said in (first, second):
            assert fits(said.verb, said)
        score = likeness(first, second)
        assert score == likeness(second, first) == alike.score(first.sentence(), second.sentence())
        degrees[score] += 1
    assert sorted(degrees) == [step / 2 for step in range(11)]
    assert min(degrees.values()) > 10


def test_compared_clauses_keep_to_the_speakers_words():
    speaker = Speaker(random.Random(0), "train")
    said = [c for _ in range(300) for c in compared(speaker)]
    assert not any(c.subject.noun.held_out or c.object.noun.held_out for c in said)
