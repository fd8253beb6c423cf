"""Exercises of the demo world, text to text: what the demo backbone practises beside reading.

They share no answer and no sentence with the four demo tasks: sentences are mended, said otherwise,
compared in words, and taken to their conclusions.
"""

import random

from compacter_cli.world.clauses import Speaker
from compacter_cli.world.faults import faulty
from compacter_cli.world.meaning import (
    compared,
    difference,
    direction,
    inference,
    relation,
    same_meaning,
)
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
        sentences, exercise = kind(speaker)
        if told.isdisjoint(sentences):
            yield exercise


def conclude(speaker):
    """Is it certain, given the premise?"""
    certain = speaker.draw.random() < 0.5
    premise, conclusion = inference(speaker, certain)
    sentences = (premise.sentence(), conclusion.sentence())
    answer = "certain" if certain else "doubtful"
    return sentences, ("conclude: premise: {} hypothesis: {}".format(*sentences), answer)


def explain(speaker):
    """What sets the two apart, which way it may go there, and so whether it is certain."""
    certain = speaker.draw.random() < 0.5
    premise, conclusion = inference(speaker, certain)
    sentences = (premise.sentence(), conclusion.sentence())
    reason = difference(premise, conclusion)
    place = reason.partition(" ")[0]
    way = ""
    if place in ("subject", "object", "adverb"):
        way = {1: " over", -1: " under", 0: " fixed"}[direction(premise, place)]
    answer = "certain" if certain else "doubtful"
    return sentences, (
        "explain: premise: {} hypothesis: {}".format(*sentences),
        f"{reason}{way} {answer}",
    )


def mend(speaker):
    """The sentence without its fault; half of them have none."""
    while True:
        clause = speaker.clause()
        given = clause.sentence() if speaker.draw.random() < 0.4 else faulty(speaker, clause)
        if given:
            return (given, clause.sentence()), (f"mend: sentence: {given}", clause.sentence())


def rephrase(speaker):
    """The same with other words."""
    while True:
        clause = speaker.clause()
        other = same_meaning(speaker, clause)
        if other:
            sentences = (clause.sentence(), other.sentence())
            return sentences, (f"rephrase: sentence: {sentences[0]}", sentences[1])


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
        "compare: sentence1: {} sentence2: {}".format(*sentences),
        f"{subject} {verb} {object_}",
    )


def react(speaker):
    """What somebody who thinks so does next."""
    positive = speaker.draw.random() < 0.5
    said = Critic(speaker.draw).opinion(positive)
    answer = "recommend" if positive else "avoid"
    return (said,), (f"react: sentence: {said}", answer)


# How often which is practised.
SHARES = {conclude: 25, explain: 20, mend: 12, rephrase: 8, compare: 25, react: 10}
