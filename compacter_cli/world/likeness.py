"""How alike two clauses of the demo world are."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from compacter_cli.world.clauses import Clause, NounPhrase, Speaker
from compacter_cli.world.lexicon import Noun, nouns, verbs
from compacter_cli.world.meaning import synonyms

Relation = Literal["same", "above", "sibling", "family", "none"]
ALIKE: dict[Relation, float]
ALIKE = {"same": 1.0, "above": 0.75, "sibling": 0.5, "family": 0.25, "none": 0.0}


def likeness(first: Clause, second: Clause) -> float:
    """How alike two clauses are, from 0 to 5: twice their nouns' likeness and once their verbs'.

    Number, tense, voice and adjectives do not count.
    """
    total = 1.0 if first.verb.meaning == second.verb.meaning else 0.0
    return total + sum(2 * ALIKE[related] for related in relations(first, second))


def relations(first: Clause, second: Clause) -> list[Relation]:
    """How two clauses' subjects are related, and how their objects are where they have them."""
    pairs = zip(first.phrases, second.phrases, strict=True)
    return [relation(phrase.noun, other.noun) for phrase, other in pairs]


def relation(noun: Noun, other: Noun) -> Relation:
    """How two nouns are related: one of the keys of `ALIKE`."""
    if noun == other:
        return "same"
    if noun.is_a(other) or other.is_a(noun):
        return "above"
    if noun.parent and noun.parent == other.parent:
        return "sibling" if noun.level == 2 else "family"
    return "family" if noun.family == other.family else "none"


def compared(speaker: Speaker) -> tuple[Clause, Clause]:
    """Two transitive clauses whose nouns are related in all ways, each about as often."""
    first = speaker.plain_clause()
    while True:
        verb = speaker.draw.choice([first.verb, *synonyms(first.verb)])
        if speaker.draw.random() < 0.5:
            verb = speaker.draw.choice(verbs())
        second = speaker.plain_clause(verb)
        given = zip(first.phrases, second.phrases, (verb.subjects, verb.objects), strict=True)
        subject, object_ = (_compared_phrase(speaker, *each) for each in given)
        second = replace(second, subject=subject, object=object_)
        if second.words() != first.words():
            return first, second


def _compared_phrase(
    speaker: Speaker, first: NounPhrase, second: NounPhrase, families: Sequence[str]
) -> NounPhrase:
    """`second` with a noun in a random relation to the first one's, where one of them fits."""
    wanted = speaker.draw.choice(tuple(ALIKE))
    fitting = related(speaker, first.noun, wanted, families)
    if not fitting:
        return second
    return replace(second, noun=speaker.draw.choice(fitting), adjective=None)


def related(speaker: Speaker, noun: Noun, wanted: Relation, families: Sequence[str]) -> list[Noun]:
    """Nouns of `families` in relation `wanted` to `noun` that the speaker may say."""
    return [
        other
        for other in nouns()
        if other.family.word in families
        and relation(noun, other) == wanted
        and other.level > 0
        and speaker.may(other)
    ]
