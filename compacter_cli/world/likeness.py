"""How alike two clauses of the demo world are."""

from dataclasses import replace

from compacter_cli.world.lexicon import nouns, verbs
from compacter_cli.world.meaning import synonyms

ALIKE = {"same": 1.0, "above": 0.75, "sibling": 0.5, "family": 0.25, "none": 0.0}


def likeness(first, second):
    """How alike two clauses are, from 0 to 5: twice their nouns' likeness and once their verbs'.

    Number, tense, voice and adjectives do not count.
    """
    total = 1.0 if first.verb.meaning == second.verb.meaning else 0.0
    for place in ("subject", "object"):
        nouns_ = (getattr(first, place).noun, getattr(second, place).noun)
        total += 2 * ALIKE[relation(*nouns_)]
    return total


def relation(noun, other):
    """How two nouns are related: one of the keys of `ALIKE`."""
    if noun == other:
        return "same"
    if noun.is_a(other) or other.is_a(noun):
        return "above"
    if noun.parent and noun.parent == other.parent:
        return "sibling" if noun.level == 2 else "family"
    return "family" if noun.family == other.family else "none"


def compared(speaker):
    """Two transitive clauses whose nouns are related in all ways, each about as often."""
    first = speaker.plain_clause()
    while True:
        verb = speaker.draw.choice([first.verb, *synonyms(first.verb)])
        if speaker.draw.random() < 0.5:
            verb = speaker.draw.choice(verbs())
        second = speaker.plain_clause(verb)
        changes = {}
        for place, families in (("subject", verb.subjects), ("object", verb.objects)):
            phrase = getattr(second, place)
            wanted = speaker.draw.choice(tuple(ALIKE))
            fitting = related(speaker, getattr(first, place).noun, wanted, families)
            if fitting:
                noun = speaker.draw.choice(fitting)
                changes[place] = replace(phrase, noun=noun, adjective=None)
        second = replace(second, **changes)
        if second.words() != first.words():
            return first, second


def related(speaker, noun, wanted, families):
    """Nouns of `families` in relation `wanted` to `noun` that the speaker may say."""
    return [
        other
        for other in nouns()
        if other.family.word in families
        and relation(noun, other) == wanted
        and other.level > 0
        and speaker.may(other)
    ]
