"""Exercises of the demo world, text to text: what the demo backbone practises beside reading.

They share no answer and no sentence with the four demo tasks: sentences are mended, said otherwise,
compared in words, place by place or in all, reacted to, and taken to their conclusions, with the
reason or without.
"""

from collections.abc import Callable, Iterator, Set
from random import Random
from typing import NamedTuple

from compacter_cli.world.clauses import Clause, Speaker
from compacter_cli.world.faults import faulty
from compacter_cli.world.likeness import compared, likeness, relations
from compacter_cli.world.meaning import ANY_PLACE, difference, direction, inference, same_meaning
from compacter_cli.world.opinions import GENRES, Critic

RELATED = {"same": "equal", "above": "kind", "sibling": "near", "family": "far", "none": "apart"}
GRADES = ("foreign", "remote", "loose", "fair", "close", "twin")  # by whole points
WAYS = {1: "over", -1: "under", 0: "fixed"}  # by the `direction` of a place


class Exercise(NamedTuple):
    """What is asked and what is answered, and the sentences in both."""

    sentences: tuple[str, ...]
    source: str
    target: str


def exercises(seed: int, without: Set[str]) -> Iterator[tuple[str, str]]:
    """(source, target) of exercises without end, the same for the same seed.

    Those that hold a sentence of `without` are left out: the demo tasks' own, which a model that
    is tested on them must not have practised.
    """
    speaker = Speaker(Random(f"exercises {seed}"))
    while True:
        kind = speaker.draw.choices(tuple(SHARES), tuple(SHARES.values()))[0]
        sentences, source, target = kind(speaker)
        if without.isdisjoint(sentences):
            named = kind not in PLAIN or speaker.draw.random() < 0.3
            yield (f"{kind.__name__}: {source}" if named else source), target


def conclude(speaker: Speaker) -> Exercise:
    """Is it certain, given the premise?"""
    exercise, _, _ = _argued(speaker)
    return exercise


def explain(speaker: Speaker) -> Exercise:
    """What sets the two apart, which way it may go there, and so whether it is certain."""
    exercise, premise, conclusion = _argued(speaker)
    reason = difference(premise, conclusion)
    ways = [WAYS[direction(premise, place)] for place in ANY_PLACE if reason.startswith(place)]
    return exercise._replace(target=" ".join((reason, *ways, exercise.target)))


def _argued(speaker: Speaker) -> tuple[Exercise, Clause, Clause]:
    """An inference that is certain or is not, its verdict the target; premise and conclusion."""
    certain = speaker.draw.random() < 0.5
    premise, conclusion = inference(speaker, certain)
    sentences = (premise.sentence(), conclusion.sentence())
    source = "premise: {} hypothesis: {}".format(*sentences)
    verdict = "certain" if certain else "doubtful"
    return Exercise(sentences, source, verdict), premise, conclusion


def mend(speaker: Speaker) -> Exercise:
    """The sentence without its fault, or `fine` where it has none."""
    while True:
        clause = speaker.clause()
        if speaker.draw.random() < 0.4:
            right = clause.sentence()
            return Exercise((right,), f"sentence: {right}", "fine")
        if given := faulty(speaker, clause):
            right = clause.sentence()
            return Exercise((given, right), f"sentence: {given}", right)


def rephrase(speaker: Speaker) -> Exercise:
    """The same with other words."""
    while True:
        clause = speaker.clause()
        other = same_meaning(speaker, clause)
        if other:
            first, second = clause.sentence(), other.sentence()
            return Exercise((first, second), f"sentence: {first}", second)


def compare(speaker: Speaker) -> Exercise:
    """How the subjects, the verbs and the objects are related, a word each."""
    first, second = compared(speaker)
    subject, object_ = (RELATED[related] for related in relations(first, second))
    verb = "equal" if first.verb.meaning == second.verb.meaning else "apart"
    sentences = (first.sentence(), second.sentence())
    source = "sentence1: {} sentence2: {}".format(*sentences)
    return Exercise(sentences, source, f"{subject} {verb} {object_}")


def grade(speaker: Speaker) -> Exercise:
    """How alike they are in all, in one word.

    `compare` alone leaves a model that knows the subjects' relation, and no other, when it begins
    to answer: what `demo/similarity` asks would have to be learned, not adapted.
    """
    first, second = compared(speaker)
    sentences = (first.sentence(), second.sentence())
    source = "sentence1: {} sentence2: {}".format(*sentences)
    return Exercise(sentences, source, GRADES[int(likeness(first, second))])


def react(speaker: Speaker) -> Exercise:
    """What somebody who thinks so does."""
    positive = speaker.draw.random() < 0.5
    shares = speaker.draw.choice(GENRES)
    said = Critic(speaker.draw, shares=shares).opinion(positive)
    return Exercise((said,), f"sentence: {said}", "recommend" if positive else "avoid")


# Exercises whose name may be left away: what a source looks like says which of them it is.
PLAIN = (conclude, mend, grade, react)
# How often which is practised.
SHARES: dict[Callable[[Speaker], Exercise], int]
SHARES = {conclude: 27, explain: 18, mend: 14, rephrase: 4, compare: 10, grade: 35, react: 14}
