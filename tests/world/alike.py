"""How words and sentences of the demo world are alike, by brute force over the lexicon's table."""

import re

from compacter_cli.world.lexicon import ADJECTIVES, NOUNS, nouns, verbs

DETERMINERS = {"a", "an", "the", "some", "two"}
SINGULAR = {form: noun.word for noun in nouns() for form in (noun.word, noun.plural)}
DESCRIBING = {word for word in re.findall(r"\w+", ADJECTIVES) if word not in SINGULAR}
MEANING = {
    form: verb.meaning
    for verb in verbs()
    for form in (verb.base, verb.third_person, verb.past, verb.participle)
}
PATHS = {}  # of every noun: its family, its class and itself, as far as it has them
for _line in NOUNS.strip().splitlines():
    _above, _, _kinds = _line.partition(": ")
    _family, _class = _above.split(" / ")
    PATHS[_family], PATHS[_class] = (_family,), (_family, _class)
    PATHS.update({kind: (_family, _class, kind) for kind in _kinds.replace("|", " ").split()})
POINTS = {"same": 2.0, "above": 1.5, "sibling": 1.0, "family": 0.5, "none": 0.0}


def relation(one, other):
    """How two nouns, by their words, are related."""
    first, second = PATHS[one], PATHS[other]
    shared = len(set(first) & set(second))
    if first == second:
        return "same"
    if shared == min(len(first), len(second)):
        return "above"
    return ("none", "family", "sibling")[shared]


def parsed(sentence):
    """(who, what they did, to whom) of a transitive sentence without names, in either voice."""
    found, verb, inside = [], None, False
    words = sentence.rstrip(".").lower().split(" ")
    for word in words:
        if word in DETERMINERS or (inside and word in DESCRIBING):
            inside = True
        elif inside:
            found.append(SINGULAR[word])
            inside = False
        else:
            verb = MEANING.get(word, verb)
    first, last = found
    return (last, verb, first) if "by" in words else (first, verb, last)


def score(first, second):
    """How alike two sentences are, from 0 to 5."""
    (who, verb, whom), (who2, verb2, whom2) = parsed(first), parsed(second)
    return POINTS[relation(who, who2)] + POINTS[relation(whom, whom2)] + (verb == verb2)
