"""Ungrammatical sentences of the demo world: one fault in a sentence that was right."""

from dataclasses import replace

from compacter_cli.world.clauses import sentence

BE = {"is": "are", "are": "is", "was": "were", "were": "was"}
DO = {"do": "does", "does": "do"}
# Determiners of one number alone: "no dogs" and "some dog" are English.
OF_ONE_NUMBER = ("a", "every", "all", "two", "three")
DOUBLES = {False: ("a", "every", "the"), True: ("two", "three")}  # "all three dogs" is English
ALSO_BASE = ("found", "saw")  # past forms that are verbs of their own


def faulty(speaker, clause):
    """The words of `clause` with one fault, as a sentence; `None` where the fault has no place."""
    fault = speaker.draw.choice((agreement, number, verb_form, order, article, doubled))
    words = fault(speaker, clause)
    return sentence(words) if words and words != clause.words() else None


def agreement(_speaker, clause):
    """`The dogs chases the cat.`"""
    words = clause.words()
    if clause.passive or clause.negated:
        place = next((i for i, word in enumerate(words) if word in {**BE, **DO}), None)
        return None if place is None else _put(words, place, {**BE, **DO}[words[place]])
    if not clause.present:
        return None
    verb = clause.verb
    swapped = {verb.base: verb.third_person, verb.third_person: verb.base}
    place = len(clause.subject.words())
    return _put(words, place, swapped[words[place]])


def number(speaker, clause):
    """`Two dog chased the cat.`"""
    place = speaker.draw.choice(("subject", "object"))
    phrase = getattr(clause, place)
    if phrase is None or phrase.determiner not in OF_ONE_NUMBER:
        return None
    words = phrase.words()
    noun = phrase.noun.word if phrase.plural else phrase.noun.plural
    return _with(clause, phrase, _put(words, len(words) - 1, noun))


def verb_form(_speaker, clause):
    """`The dog did not chased the cat.`, `The cat was chase by the dog.`, `It was chased a cat.`"""
    words, verb = clause.words(), clause.verb
    if clause.passive:
        return _put(words, words.index(verb.participle, 1), verb.base)
    if clause.negated:
        past = None if verb.past in ALSO_BASE else verb.past
        return past and _put(words, words.index(verb.base, 1), past)
    if clause.present or clause.object is None:  # "the dog was returned" is English
        return None
    start = len(clause.subject.words())
    return [*words[:start], "was", *words[start:]]


def order(speaker, clause):
    """`The dog big chased the cat.`, `Dog the chased the cat.`"""
    phrase = getattr(clause, speaker.draw.choice(("subject", "object")))
    if phrase is None or phrase.name:
        return None
    words = phrase.words()
    place = speaker.draw.randrange(len(words) - 1)
    words[place : place + 2] = reversed(words[place : place + 2])
    return _with(clause, phrase, words)


def article(_speaker, clause):
    """`A eagle chased the cat.`, `The cat chased an dog.`"""
    words = clause.words()
    place = next((i for i, word in enumerate(words) if word in ("a", "an")), None)
    return None if place is None else _put(words, place, "an" if words[place] == "a" else "a")


def doubled(speaker, clause):
    """`Every the dog chased the cat.`: a determiner where there is one already."""
    place = speaker.draw.choice(("subject", "object"))
    phrase = getattr(clause, place)
    if phrase is None or phrase.name:
        return None
    other = speaker.draw.choice(DOUBLES[phrase.plural])
    return _with(clause, phrase, [other, *phrase.words()])


def _put(words, place, word):
    return [*words[:place], word, *words[place + 1 :]]


def _with(clause, phrase, words):
    """The clause's words with `words` in the place of a phrase."""
    marked = replace(clause, **{_place_of(clause, phrase): _Said(phrase, words)})
    return marked.words()


def _place_of(clause, phrase):
    return "subject" if clause.subject is phrase else "object"


class _Said:
    """A phrase that is said with other words than its own."""

    def __init__(self, phrase, words):
        self.plural, self._words = phrase.plural, words

    def words(self):
        return self._words
