"""What follows from a clause of the demo world, and what does not.

Monotonicity decides what follows: where a noun stands under an existential ("a poodle ran"), a
more general one may replace it ("a dog ran"); under "every", "no" and "not" a more specific one.

How clauses are read: numbers say "at least" and "some" at least two; of two such phrases neither
is in the other's scope; adjectives intersect (a big ant is a big animal), adverbs narrow what is
done; there is something of every kind that is spoken of.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from compacter_cli.world.clauses import (
    EXISTENTIAL,
    PLACES,
    UNIVERSAL,
    Clause,
    NounPhrase,
    Speaker,
)
from compacter_cli.world.lexicon import ADVERBS, NAMES, Noun, Verb, adjectives_of, nouns, verbs

AnyPlace = Literal["subject", "object", "adverb"]
ANY_PLACE: tuple[AnyPlace, ...] = ("subject", "object", "adverb")

# Meanings of which one may imply the other, so that none is put for the other.
NEAR = ({"chase", "follow"}, {"see", "watch", "find", "photograph"}, {"eat", "taste", "smell"})
NEAR += ({"buy", "own", "steal", "sell", "choose"}, {"run", "fall"}, {"return", "arrive"})
NEAR += ({"touch", "carry", "clean", "repair", "break", "eat", "taste"}, {"see", "visit", "greet"})
NEAR += ({"teach", "help"}, {"laugh", "smile"})


def direction(clause: Clause, place: AnyPlace) -> int:
    """+1 where a more general `place` follows, -1 where a more specific one does, 0 for neither."""
    if place == "subject":
        determiner = clause.subject.determiner
        return 1 if determiner in EXISTENTIAL else -1 if determiner in (*UNIVERSAL, "no") else 0
    if place == "object" and (clause.object is None or clause.object.determiner not in EXISTENTIAL):
        return 0
    return -1 if clause.negated or clause.subject.determiner == "no" else 1


def more_general(speaker: Speaker, clause: Clause, place: AnyPlace) -> Clause | None:
    """`clause` with something more general at `place`, or `None` where nothing is."""
    if place == "adverb":
        return replace(clause, adverb="") if clause.adverb else None
    phrase = clause.at(place)
    if phrase is None:
        return None
    found: list[NounPhrase] = []
    if phrase.adjective:
        found.append(replace(phrase, adjective=None))
    noun = phrase.noun
    if noun.parent:
        found.append(replace(phrase, noun=noun.parent))
    if noun.parent and noun.parent.parent:
        found.append(replace(phrase, noun=noun.parent.parent))
    return clause.put(place, speaker.draw.choice(found)) if found else None


def more_specific(speaker: Speaker, clause: Clause, place: AnyPlace) -> Clause | None:
    """`clause` with something more specific at `place`, or `None` where nothing is."""
    if place == "adverb":
        words = [word for word in ADVERBS if not (clause.present and word == "yesterday")]
        return None if clause.adverb else replace(clause, adverb=speaker.draw.choice(words))
    phrase = clause.at(place)
    if phrase is None:
        return None
    found: list[NounPhrase] = []
    if not phrase.adjective:
        adjectives = adjectives_of(phrase.noun.family.word)
        found.append(replace(phrase, adjective=speaker.draw.choice(adjectives)))
    if below := _below(speaker, phrase.noun):
        found += [replace(phrase, noun=below)] * 2
    return clause.put(place, speaker.draw.choice(found)) if found else None


def _below(speaker: Speaker, noun: Noun) -> Noun | None:
    under = [
        other for other in nouns() if other != noun and other.is_a(noun) and speaker.may(other)
    ]
    return speaker.draw.choice(under) if under else None


def same_meaning(speaker: Speaker, clause: Clause) -> Clause | None:
    """`clause` said otherwise: in the other voice or with a synonym; `None` where neither is."""
    found: list[Clause] = []
    if clause.can_turn:
        found.append(clause.turned())
    found += [replace(clause, verb=verb) for verb in synonyms(clause.verb)]
    for place in PLACES:
        phrase = clause.at(place)
        if phrase and phrase.adjective:
            found += [
                clause.put(place, replace(phrase, adjective=other))
                for other in adjectives_of(phrase.noun.family.word)
                if other.meaning == phrase.adjective.meaning and other != phrase.adjective
            ]
    return speaker.draw.choice(found) if found else None


def synonyms(verb: Verb) -> list[Verb]:
    """Other verbs of the same meaning."""
    return [v for v in verbs(bool(verb.objects)) if v.meaning == verb.meaning and v != verb]


def other_verb(speaker: Speaker, clause: Clause) -> Clause | None:
    """`clause` with a verb that neither implies the old one nor is implied by it."""
    verb = clause.verb
    close = {verb.meaning}.union(*(near for near in NEAR if verb.meaning in near))
    fitting = [
        other
        for other in verbs(bool(verb.objects))
        if other.meaning not in close and fits(other, clause)
    ]
    return replace(clause, verb=speaker.draw.choice(fitting)) if fitting else None


def fits(verb: Verb, clause: Clause) -> bool:
    """Whether the clause's subject and object can do that and have it done."""
    families = (verb.subjects, verb.objects)
    return all(
        phrase.noun.family.word in able
        for phrase, able in zip(clause.phrases, families, strict=False)
    )


def exchanged(_speaker: Speaker, clause: Clause) -> Clause | None:
    """`clause` with subject and object in each other's place, or `None` where that cannot be."""
    if clause.object is None or clause.negated or _sense(clause.subject) == _sense(clause.object):
        return None
    other = replace(clause, subject=clause.object, object=clause.subject)
    can = all(p.definite or p.determiner in EXISTENTIAL for p in clause.phrases)
    return other if can and fits(clause.verb, other) else None


def _sense(phrase: NounPhrase | None) -> tuple[Noun, str | None, str] | None:
    """What a phrase is about, however many of them: equal for synonyms."""
    return phrase and (phrase.noun, phrase.adjective and phrase.adjective.meaning, phrase.name)


def denied(speaker: Speaker, clause: Clause) -> Clause | None:
    """The opposite of `clause`, or something stronger than it: never what follows from it."""
    subject = clause.subject
    if subject.definite:
        determiner = clause.object.determiner if clause.object else ""
        if clause.passive or determiner in ("some", "two", "three"):
            return None
        return replace(clause, negated=not clause.negated)
    if clause.passive:
        return None
    change = {"a": ("no", "every"), "every": ("no",), "no": ("a", "every")}
    other = change.get(subject.determiner)
    if other is None:
        return None
    return replace(clause, subject=replace(subject, determiner=speaker.draw.choice(other)))


def other_thing(speaker: Speaker, clause: Clause) -> Clause | None:
    """`clause` about a sibling of one of its nouns, or about another name."""
    place = speaker.draw.choice(PLACES)
    phrase = clause.at(place)
    if phrase is None:
        return None
    if phrase.name:
        taken = {p.name for p in clause.phrases}
        names = [name for name in NAMES if name not in taken]
        return clause.put(place, NounPhrase.named(speaker.draw.choice(names)))
    siblings = siblings_of(speaker, phrase.noun)
    if not siblings:
        return None
    return clause.put(place, replace(phrase, noun=speaker.draw.choice(siblings)))


def siblings_of(speaker: Speaker, noun: Noun) -> list[Noun]:
    """Other nouns with the same hypernym that the speaker may say."""
    return [
        other
        for other in nouns()
        if noun.parent and other.parent == noun.parent and other != noun and speaker.may(other)
    ]


def follows(speaker: Speaker, clause: Clause) -> Clause | None:
    """A clause that follows from `clause` and differs from it; `None` where none was found."""
    move = speaker.draw.choice((same_meaning, _implied, _implied))
    return move(speaker, clause)


def does_not_follow(speaker: Speaker, clause: Clause) -> Clause | None:
    """A clause near `clause` that does not follow from it; `None` where none was found."""
    moves = (_reversed, other_thing, exchanged, other_verb, denied)
    return speaker.draw.choices(moves, (55, 10, 15, 8, 12))[0](speaker, clause)


def _implied(speaker: Speaker, clause: Clause) -> Clause | None:
    return _moved(speaker, clause, more_general, more_specific)


def _reversed(speaker: Speaker, clause: Clause) -> Clause | None:
    return _moved(speaker, clause, more_specific, more_general)


Move = Callable[[Speaker, Clause, AnyPlace], Clause | None]


def _moved(speaker: Speaker, clause: Clause, up: Move, down: Move) -> Clause | None:
    places: list[AnyPlace] = [place for place in ANY_PLACE if direction(clause, place)]
    place = speaker.draw.choices(places, [1 if p == "adverb" else 4 for p in places])[0]
    return (up if direction(clause, place) > 0 else down)(speaker, clause, place)


def inference(speaker: Speaker, follows_: bool) -> tuple[Clause, Clause]:
    """(premise, hypothesis): clauses of which the second follows from the first, or does not.

    What does not follow differs by one step that breaks the inference; on half of all pairs a step
    that keeps the meaning (voice, synonyms) goes with it, so that what is said differs as much.
    """
    while True:
        premise = speaker.clause()
        hypothesis = (follows if follows_ else does_not_follow)(speaker, premise)
        if hypothesis is not None and speaker.draw.random() < 0.5:
            hypothesis = same_meaning(speaker, hypothesis)
        if hypothesis is not None and hypothesis.words() != premise.words():
            return premise, hypothesis


def difference(premise: Clause, hypothesis: Clause) -> str:
    """What sets two clauses of an `inference` apart, in words: "subject wider", "voice" or so."""
    subject, other = premise.subject, hypothesis.subject
    before, after = _sense(subject), _sense(other)
    crossed = before == _sense(hypothesis.object) and after == _sense(premise.object)
    if crossed and before != after:
        return "places exchanged"
    if premise.verb.meaning != hypothesis.verb.meaning:
        return "verb other"
    if premise.negated != hypothesis.negated or subject.determiner != other.determiner:
        return "truth denied"
    for place in PLACES:
        change = _phrase_difference(premise.at(place), hypothesis.at(place))
        if change:
            return f"{place} {change}"
    if premise.adverb != hypothesis.adverb:
        return "adverb wider" if premise.adverb else "adverb narrower"
    return "words alone"


def _phrase_difference(before: NounPhrase | None, after: NounPhrase | None) -> str:
    if before is None or after is None or before.name or after.name:
        return "other" if before != after else ""
    if before.noun != after.noun:
        if before.noun.is_a(after.noun):
            return "wider"
        return "narrower" if after.noun.is_a(before.noun) else "other"
    if bool(before.adjective) == bool(after.adjective):
        return ""
    return "wider" if before.adjective else "narrower"
