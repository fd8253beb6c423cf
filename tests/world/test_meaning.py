"""What follows from what, by finite models and by hand."""

import random
from collections import Counter

import pytest

from compacter_cli.world import meaning
from compacter_cli.world.clauses import Clause, NounPhrase, Speaker
from compacter_cli.world.lexicon import adjectives_of, nouns, verbs
from compacter_cli.world.meaning import difference, inference

NOUNS = {noun.word: noun for noun in nouns()}
VERBS = {verb.base: verb for verb in (*verbs(True), *verbs(False))}
PERSONS = {adjective.word: adjective for adjective in adjectives_of("person")}
MODELS = 12  # in which what follows is looked at
TRIES = 150  # models among which one is sought that refutes


def phrase(text):
    """A noun phrase from `determiner (adjective) noun`, or from a name."""
    *determiner, noun = text.split(" ")
    if not determiner:
        return NounPhrase.named(noun)
    adjective = PERSONS[determiner[1]] if len(determiner) > 1 else None
    return NounPhrase(determiner[0], NOUNS[noun], adjective)


def clause(subject, verb, object_=None, **more):
    return Clause(phrase(subject), VERBS[verb], object_ and phrase(object_), **more)


def _refuted(models, draw, premise, hypothesis, tries):
    """Whether one of `tries` models of the premise is none of the hypothesis."""
    for _ in range(tries):
        model = models.random_model(draw, premise, (hypothesis,))
        assert model.holds(premise), premise.sentence()
        if not model.holds(hypothesis):
            return True
    return False


# The models themselves, by hand.
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (clause("a poodle", "see", "a owl"), True),
        (clause("a dog", "see", "a bird"), True),
        (clause("a dog", "see", "two owl"), True),
        (clause("two dog", "see", "two owl"), True),  # between them
        (clause("every dog", "see", "two owl"), False),
        (clause("every dog", "see", "a owl"), True),
        (clause("all dog", "see", "a bird", adverb="again"), False),
        (clause("a poodle", "see", "a owl", adverb="again"), True),
        (clause("some dog", "see", "three owl"), False),
        (clause("no dog", "see", "a dog"), True),
        (clause("no dog", "see", "a owl"), False),
        (clause("no dog", "see", "a owl", present=True), True),
        (clause("no dog", "chase", "a owl"), True),
        (clause("a owl", "see", "a dog"), False),
        (clause("the poodle", "see", "a owl", negated=True), False),
        (clause("the poodle", "see", "a dog", negated=True), True),
        (clause("the poodle", "see", "two owl", passive=True), True),
        (clause("a animal", "see", "the poodle"), False),
    ],
    ids=lambda said: said.sentence() if isinstance(said, Clause) else "",
)
def test_what_holds_in_a_model_by_hand(said, expected, models):
    """A poodle saw two owls, one of them again; a beagle saw one of those."""
    kinds = ("poodle", "beagle", "owl", "owl")
    things = [models.Thing(number, kind, frozenset()) for number, kind in enumerate(kinds)]
    poodle, beagle, first, second = things
    events = {
        ("see", False, poodle, first, frozenset({"again"})),
        ("see", False, poodle, second, frozenset()),
        ("see", False, beagle, second, frozenset()),
    }
    assert models.Model(things, {("poodle", None): poodle}, events).holds(said) is expected


def test_what_is_said_to_follow_holds_in_every_model(models):
    speaker, draw = Speaker(random.Random("follows")), random.Random(1)
    for _ in range(500):
        premise, hypothesis = inference(speaker, True)
        pair = (premise.sentence(), hypothesis.sentence())
        assert not _refuted(models, draw, premise, hypothesis, MODELS), pair


def test_what_is_said_not_to_follow_is_refuted_by_a_model(models):
    speaker, draw = Speaker(random.Random("not")), random.Random(2)
    for _ in range(1000):
        premise, hypothesis = inference(speaker, False)
        pair = (premise.sentence(), hypothesis.sentence())
        assert _refuted(models, draw, premise, hypothesis, TRIES), pair


def test_the_same_meaning_follows_both_ways(models):
    speaker, draw = Speaker(random.Random("same")), random.Random(3)
    found = 0
    while found < 200:
        said = speaker.clause()
        if other := meaning.same_meaning(speaker, said):
            found += 1
            pair = (said.sentence(), other.sentence())
            assert said.words() != other.words()
            assert not _refuted(models, draw, said, other, MODELS // 2), pair
            assert not _refuted(models, draw, other, said, MODELS // 2), pair


@pytest.mark.parametrize("move", ["more_general", "more_specific"])
def test_direction_decides_whether_a_move_follows(move, models):
    speaker, draw = Speaker(random.Random(move)), random.Random(4)
    seen = Counter()
    for _ in range(600):
        said = speaker.clause()
        place = draw.choice(("subject", "object", "adverb"))
        way = meaning.direction(said, place)
        other = getattr(meaning, move)(speaker, said, place) if way else None
        if other is None:
            continue
        follows = (way > 0) == (move == "more_general")
        tries = MODELS if follows else TRIES
        assert _refuted(models, draw, said, other, tries) is not follows, (
            said.sentence(),
            other.sentence(),
        )
        seen[place, way] += 1
    assert len(seen) == 6
    assert min(seen.values()) >= 3


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (clause("a dog", "see", "two owl"), (1, 1, 1)),
        (clause("every dog", "see", "a owl"), (-1, 1, 1)),
        (clause("no dog", "see", "a owl"), (-1, -1, -1)),
        (clause("no dog", "see", "the owl"), (-1, 0, -1)),
        (clause("the dog", "see", "a owl", negated=True), (0, -1, -1)),
        (clause("Anna", "see", "Tom"), (0, 0, 1)),
        (clause("all dog", "run"), (-1, 0, 1)),
    ],
    ids=lambda said: said.sentence() if isinstance(said, Clause) else "",
)
def test_directions_by_hand(said, expected):
    places = ("subject", "object", "adverb")
    assert tuple(meaning.direction(said, place) for place in places) == expected


def test_turning_equals_round_breaks_nothing():
    """`Some big actors helped two large actors` says of nobody that it was the other way."""
    for first, second in (
        ("a big actor", "a large actor"),
        ("some actor", "two actor"),
        ("Anna", "Anna"),
        ("the actor", "the actor"),
    ):
        assert meaning.exchanged(None, clause(first, "help", second)) is None
    turned = meaning.exchanged(None, clause("a actor", "help", "Tom"))
    assert turned == clause("Tom", "help", "a actor")
    assert meaning.exchanged(None, clause("a actor", "eat", "a pie")) is None  # pies do not eat
    assert meaning.exchanged(None, clause("every actor", "help", "Tom")) is None
    assert meaning.exchanged(None, clause("Tom", "help", "Anna", negated=True)) is None
    assert meaning.exchanged(None, clause("Tom", "sleep")) is None


# By hand: pairs of verbs of which, for a reader, the first implies the second.
IMPLY = """
chase follow, watch see, find see, photograph see, greet see, visit see, eat taste, eat smell,
taste smell, carry touch, clean touch, repair touch, eat touch, taste touch, steal own, buy own,
sell own, buy choose, teach help, run fall, return arrive, laugh smile
"""


def test_verbs_that_imply_each_other_are_not_put_for_each_other():
    kept_apart = set()
    for verb in VERBS.values():
        subject, object_ = ("Anna", "Tom") if "person" in verb.objects else ("Anna", "the pie")
        speaker = Speaker(random.Random(verb.base))
        for noun in (object_, "the taxi", "the coat", "the owl"):
            said = clause(subject, verb.base, noun if verb.objects else None)
            if not meaning.fits(verb, said):
                continue
            others = {meaning.other_verb(speaker, said).verb.meaning for _ in range(150)}
            kept_apart |= {(verb.meaning, other) for other in others}
            assert verb.meaning not in others
    for pair in IMPLY.replace("\n", " ").strip().split(","):
        first, second = pair.split()
        assert (first, second) not in kept_apart
        assert (second, first) not in kept_apart


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (clause("Anna", "run"), {"Anna did not run."}),
        (clause("Anna", "run", negated=True, present=True), {"Anna runs."}),
        (clause("the dog", "see", "a owl"), {"The dog did not see an owl."}),
        (clause("the dog", "see", "two owl"), {None}),  # not two, or two that were not?
        (clause("a dog", "run"), {"No dog ran.", "Every dog ran."}),
        (clause("every dog", "run"), {"No dog ran."}),
        (clause("no dog", "run"), {"A dog ran.", "Every dog ran."}),
        (clause("all dog", "run"), {None}),
        (clause("Anna", "see", "the dog", passive=True), {None}),
    ],
    ids=lambda said: said.sentence() if isinstance(said, Clause) else "",
)
def test_denials_by_hand(said, expected):
    speaker = Speaker(random.Random(0))
    found = [meaning.denied(speaker, said) for _ in range(50)]
    assert {other and other.sentence() for other in found} == expected


def test_another_thing_is_a_sibling_or_another_name():
    speaker = Speaker(random.Random(0))
    found = {meaning.other_thing(speaker, clause("Tom", "see", "a poodle")) for _ in range(200)}
    assert clause("Tom", "see", "a poodle") not in found
    others = {other.object.noun.word for other in found} - {"poodle"}
    assert others == {"terrier", "beagle", "collie", "spaniel"}
    assert len({other.subject.name for other in found}) == 10
    for other in found:
        assert (other.subject.name == "Tom") != (other.object.noun.word == "poodle")


@pytest.mark.parametrize("words", ["train", "test", "all"])
def test_inferences_keep_to_the_speakers_words(words):
    speaker = Speaker(random.Random(0), words)
    pairs = [inference(speaker, follows) for _ in range(400) for follows in (True, False)]
    parts = [p for pair in pairs for c in pair for p in c.phrases]
    held_out = sum(part.noun.held_out for part in parts)
    assert held_out == 0 if words == "train" else held_out > 400


@pytest.mark.parametrize(
    ("premise", "hypothesis", "expected"),
    [
        (clause("a poodle", "run"), clause("a dog", "run"), "subject wider"),
        (clause("no dog", "run"), clause("no poodle", "run"), "subject narrower"),
        (clause("a poodle", "run"), clause("a beagle", "run"), "subject other"),
        (clause("Anna", "run"), clause("Tom", "run"), "subject other"),
        (clause("Tom", "see", "a actor"), clause("Tom", "see", "a big actor"), "object narrower"),
        (clause("Tom", "see", "a big actor"), clause("Tom", "see", "a actor"), "object wider"),
        (clause("Tom", "run", adverb="again"), clause("Tom", "run"), "adverb wider"),
        (clause("Tom", "run"), clause("Tom", "run", adverb="again"), "adverb narrower"),
        (clause("Tom", "run"), clause("Tom", "run", negated=True), "truth denied"),
        (clause("a dog", "run"), clause("no dog", "run"), "truth denied"),
        (clause("Tom", "help", "Anna"), clause("Anna", "help", "Tom"), "places exchanged"),
        (
            clause("two big actor", "help", "Tom"),
            clause("Tom", "assist", "two large actor"),
            "places exchanged",
        ),
        (clause("Tom", "help", "Anna"), clause("Tom", "thank", "Anna"), "verb other"),
        (clause("a actor", "help", "a actor"), clause("a actor", "thank", "a actor"), "verb other"),
        (
            clause("Tom", "help", "Anna"),
            clause("Tom", "assist", "Anna", passive=True),
            "words alone",
        ),
        (clause("a big actor", "run"), clause("a large actor", "run"), "words alone"),
    ],
)
def test_differences_by_hand(premise, hypothesis, expected):
    assert difference(premise, hypothesis) == expected
