"""Ungrammatical sentences of the demo world: one fault in a sentence that was right.

A fault is left out where the outcome is English too: "No dogs slept", "All three dogs slept",
"Anna was sold a car", "Did Anna not sleep", "Dogs all slept", "The dog Anna chased".
"""

from collections.abc import Sequence

from compacter_cli.world.clauses import PLACES, Clause, NounPhrase, Speaker, sentence

BE = {"is": "are", "are": "is", "was": "were", "were": "was"}
DO = {"do": "does", "does": "do"}
SINGULAR, NUMBERS, PLURAL = ("a", "every", "the"), ("two", "three"), ("some", "all", "two", "three")
OTHER_WORDS = {"saw", "found", "fell", "clean", "welcome"}  # forms that are a base or adjective too


def faulty(speaker: Speaker, clause: Clause) -> str | None:
    """The words of `clause` with one fault, as a sentence; `None` where the fault has no place."""
    fault = speaker.draw.choice((agreement, number, verb_form, order, article, doubled))
    words = fault(speaker, clause)
    return sentence(words) if words and words != clause.words() else None


def agreement(_speaker: Speaker, clause: Clause) -> list[str] | None:
    """`The dogs chases the cat.`"""
    words = clause.words()
    if clause.passive or clause.negated:
        place = next((i for i, word in enumerate(words) if word in {**BE, **DO}), None)
        return None if place is None else _put(words, place, {**BE, **DO}[words[place]])
    verb = clause.verb
    if not clause.present or verb.base == verb.past:
        return None
    swapped = {verb.base: verb.third_person, verb.third_person: verb.base}
    place = len(clause.subject.words())
    return _put(words, place, swapped[words[place]])


def number(speaker: Speaker, clause: Clause) -> list[str] | None:
    """`Two dog chased the cat.`"""
    phrase = clause.at(speaker.draw.choice(PLACES))
    if phrase is None or phrase.definite or phrase.determiner in ("some", "no"):
        return None
    words = phrase.words()
    noun = phrase.noun.word if phrase.plural else phrase.noun.plural
    return _with(clause, phrase, _put(words, len(words) - 1, noun))


def verb_form(_speaker: Speaker, clause: Clause) -> list[str] | None:
    """`The dog did chased the cat.`, `The dog did not ran.`, `The cat was chase by the dog.`"""
    words, verb = clause.words(), clause.verb
    wrong = verb.base if clause.passive else verb.past
    if wrong in OTHER_WORDS or verb.base == verb.past:
        return None
    if clause.passive:
        return _put(words, words.index(verb.participle, 1), wrong)
    if clause.negated:
        return _put(words, words.index(verb.base, 1), wrong)
    if clause.present:
        return None
    start = len(clause.subject.words())
    return [*words[:start], "did", *words[start:]]


def order(speaker: Speaker, clause: Clause) -> list[str] | None:
    """`The dog big chased the cat.`, `The dog the chased cat.`: two neighbours exchanged."""
    places = _exchangeable(clause)
    if not places:
        return None
    words, place = clause.words(), speaker.draw.choice(places)
    return [*words[:place], words[place + 1], words[place], *words[place + 2 :]]


def _exchangeable(clause: Clause) -> list[int]:
    """Places of the words that cannot be exchanged with the next."""
    first, last = clause.spoken
    start = len(first.words())
    places: list[int] = []
    if not first.name and first.determiner != "all":
        places += range(start - 1)  # `Dog the chased the cat.`
    if clause.negated:
        places.append(start)  # `The dog not did chase the cat.`
    if last and not first.name and not first.plural:
        places.append(start - 1)  # `The chased dog the cat.`
    if last and not last.name:
        behind = len(last.words()) + bool(clause.adverb)
        places.append(len(clause.words()) - behind - 1)  # `The dog the chased cat.`
    return places


def article(_speaker: Speaker, clause: Clause) -> list[str] | None:
    """`A eagle chased the cat.`, `The cat chased an dog.`"""
    words = clause.words()
    place = next((i for i, word in enumerate(words) if word in ("a", "an")), None)
    return None if place is None else _put(words, place, "an" if words[place] == "a" else "a")


def doubled(speaker: Speaker, clause: Clause) -> list[str] | None:
    """`Every the dog chased the cat.`: a determiner where there is one already."""
    phrase = clause.at(speaker.draw.choice(PLACES))
    if phrase is None or phrase.name:
        return None
    others = PLURAL if phrase.plural else SINGULAR
    other = speaker.draw.choice(NUMBERS if phrase.determiner in NUMBERS else others)
    return _with(clause, phrase, [other, *phrase.words()])


def _put(words: Sequence[str], place: int, word: str) -> list[str]:
    return [*words[:place], word, *words[place + 1 :]]


def _with(clause: Clause, phrase: NounPhrase, words: Sequence[str]) -> list[str]:
    """The clause's words with `words` in the place of one of its phrases."""
    said, length = clause.words(), len(phrase.words())
    first, _ = clause.spoken
    start = 0 if phrase is first else len(said) - bool(clause.adverb) - length
    return [*said[:start], *words, *said[start + length :]]
