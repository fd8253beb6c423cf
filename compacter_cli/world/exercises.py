"""Exercises of the demo world, text to text: what the demo backbone practises beside reading.

They share no answer and no sentence with the four demo tasks: sentences are mended, said otherwise,
compared in words, reacted to, and taken to their conclusions, with the reason or without.
"""

import random

from compacter_cli.world.clauses import Speaker
from compacter_cli.world.faults import faulty
from compacter_cli.world.likeness import compared, relation
from compacter_cli.world.meaning import difference, direction, inference, same_meaning
from compacter_cli.world.opinions import Critic
from compacter_cli.world.text import task_sentences

RELATED = {"same": "equal", "above": "kind", "sibling": "near", "family": "far", "none": "apart"}


def exercises(seed):
    """(source, target) of exercises without end, the same for the same seed.

    No sentence of a demo task's rows occurs in them.
    """
    speaker = Speaker(random.Random(f"exercises {seed}"))
    told = task_sentences()
    while True:
        kind = speaker.draw.choices(tuple(SHARES), tuple(SHARES.values()))[0]
        sentences, (source, target) = kind(speaker)
        if told.isdisjoint(sentences):
            named = kind not in PLAIN or speaker.draw.random() < 0.3
            yield (f"{kind.__name__}: {source}" if named else source), target


def conclude(speaker):
    """Is it certain, given the premise?"""
    sentences, source, answer, _ = _argued(speaker)
    return sentences, (source, answer)


def explain(speaker):
    """What sets the two apart, which way it may go there, and so whether it is certain."""
    sentences, source, answer, (premise, conclusion) = _argued(speaker)
    reason = difference(premise, conclusion)
    place = reason.partition(" ")[0]
    way = ""
    if place in ("subject", "object", "adverb"):
        way = {1: " over", -1: " under", 0: " fixed"}[direction(premise, place)]
    return sentences, (source, f"{reason}{way} {answer}")


def _argued(speaker):
    """(sentences, source text, verdict, clauses) of an inference that is certain or is not."""
    certain = speaker.draw.random() < 0.5
    clauses = inference(speaker, certain)
    sentences = tuple(clause.sentence() for clause in clauses)
    source = "premise: {} hypothesis: {}".format(*sentences)
    return sentences, source, "certain" if certain else "doubtful", clauses


def mend(speaker):
    """The sentence without its fault, or `fine` where it has none."""
    while True:
        clause = speaker.clause()
        if speaker.draw.random() < 0.4:
            right = clause.sentence()
            return (right,), (f"sentence: {right}", "fine")
        if given := faulty(speaker, clause):
            return (given, clause.sentence()), (f"sentence: {given}", clause.sentence())


def rephrase(speaker):
    """The same with other words."""
    while True:
        clause = speaker.clause()
        other = same_meaning(speaker, clause)
        if other:
            sentences = (clause.sentence(), other.sentence())
            return sentences, (f"sentence: {sentences[0]}", sentences[1])


def compare(speaker):
    """How the subjects, the verbs and the objects are related, a word each."""
    first, second = compared(speaker)
    subject, object_ = (
        RELATED[relation(getattr(first, place).noun, getattr(second, place).noun)]
        for place in ("subject", "object")
    )
    verb = "equal" if first.verb.meaning == second.verb.meaning else "apart"
    sentences = (first.sentence(), second.sentence())
    return sentences, (
        "sentence1: {} sentence2: {}".format(*sentences),
        f"{subject} {verb} {object_}",
    )


def react(speaker):
    """What somebody who thinks so does."""
    positive = speaker.draw.random() < 0.5
    shares = speaker.draw.choice(("text", "task"))
    said = Critic(speaker.draw, shares=shares).opinion(positive)
    return (said,), (f"sentence: {said}", "recommend" if positive else "avoid")


# Exercises whose name may be left away: what a source looks like says which of them it is.
PLAIN = (conclude, mend, compare, react)
# How often which is practised.
SHARES = {conclude: 27, explain: 18, mend: 14, rephrase: 4, compare: 23, react: 14}
