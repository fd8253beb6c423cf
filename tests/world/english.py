"""An independent recogniser of the demo world's English: what a sentence is, not how one is made.

Strictly it takes what the grammar should say and nothing else. Widely it also takes what a reader
might: questions, topics in front, floating `all`, objects that are dropped or doubled, adverbs
elsewhere, words that are other words too (to saw, to found, was clean). A faulty sentence must not
even pass widely.
"""

from compacter_cli.world.lexicon import ADVERBS, NAMES, adjectives_of, nouns, verbs

FAMILIES = ("animal", "person", "food", "plant", "vehicle", "object")
ADJECTIVES = {a.word for family in FAMILIES for a in adjectives_of(family)}
SINGULARS = {noun.word for noun in nouns()}
PLURALS = {noun.plural for noun in nouns()}
FOODS = {noun.word for noun in nouns() if noun.family.word == "food"}
DETERMINERS = {
    False: {"a", "an", "every", "no", "the"},  # before a singular
    True: {"some", "all", "two", "three"},  # before a plural
}
TRANSITIVE, INTRANSITIVE = verbs(True), verbs(False)
# What readers know and the lexicon does not say.
TAKE_TWO_OBJECTS = {"buy", "sell", "teach", "find", "draw", "choose", "fix", "purchase"}
DROP_THE_OBJECT = {"eat", "see", "watch", "help", "follow", "draw", "clean", "steal", "teach"}
DROP_THE_OBJECT |= {"buy", "sell", "choose", "hide", "break", "describe", "visit", "smell"}
TAKE_AN_OBJECT = {"run", "return", "sing", "quit", "resign", "shout", "yell"}
OTHER_VERBS = {"saw", "found", "fell"}  # base forms: to saw wood, to found a city, to fell a tree
OTHER_ADJECTIVES = {"clean", "welcome", "resigned", "returned"}


def is_english(sentence, wide=False):
    """Whether a sentence, from its capital to its full stop, is English."""
    words = sentence[:-1].split(" ")
    if sentence[-1:] != "." or sentence[:1] != sentence[:1].upper() or not all(words):
        return False
    if words[0] not in NAMES:
        words[0] = words[0][:1].lower() + words[0][1:]
    reader = _Wide(words) if wide else _Strict(words)
    return len(words) in reader.sentences(0)


class _Strict:
    """Every method gives the places where what begins `at` a place may end."""

    def __init__(self, words):
        self.words = [*words, ""]

    def word(self, at, known):
        return {at + 1} if at < len(self.words) and self.words[at] in known else set()

    def sentences(self, at):
        found = set()
        for end, plural in self.phrases(at):
            found |= self.active(end, plural) | self.passive(end, plural)
        return found | set().union(*(self.word(end, ADVERBS) for end in found))

    def phrases(self, at):
        """(end, whether plural) of the noun phrases."""
        found = {(end, False) for end in self.word(at, NAMES)}
        for plural, nouns_ in ((False, SINGULARS), (True, PLURALS)):
            for start in self.word(at, DETERMINERS[plural]):
                if self.article_fits(start):
                    found |= {(end, plural) for end in self.described(start, nouns_)}
        return found

    def article_fits(self, start):
        vowel = self.words[start][:1] in tuple("aeiou")
        return self.words[start - 1] not in ("a", "an") or (self.words[start - 1] == "an") == vowel

    def described(self, at, nouns_):
        found = self.word(at, nouns_)
        for after in self.word(at, ADJECTIVES):
            found |= self.word(after, nouns_)
        return found

    def ends(self, at):
        return {end for end, _ in self.phrases(at)}

    def active(self, at, plural):
        found = set()
        for verb in (*TRANSITIVE, *INTRANSITIVE):
            present = verb.base if plural else verb.third_person
            for end in self.word(at, {verb.past, present}):
                found |= self.objects(end, verb)
            for end in self.negation(at, plural):
                for after in self.word(end, {verb.base}):
                    found |= self.objects(after, verb)
        return found

    def negation(self, at, plural):
        found = set()
        for end in self.word(at, {"did", "do" if plural else "does"}):
            found |= self.word(end, {"not"})
        return found

    def objects(self, at, verb):
        return self.ends(at) if verb.objects else {at}

    def passive(self, at, plural):
        found = set()
        for be in self.word(at, {"were", "are"} if plural else {"was", "is"}):
            for start in {be} | self.word(be, {"not"}):
                for end in self.word(start, {verb.participle for verb in TRANSITIVE}):
                    found |= self.agent(end)
        return found

    def agent(self, at):
        return set().union(*(self.ends(end) for end in self.word(at, {"by"})))


class _Wide(_Strict):
    def sentences(self, at):
        found = super().sentences(at)
        for start in self.word(at, ADVERBS):
            found |= super().sentences(start)
        found |= self.predicate(at)  # an imperative
        for end in self.word(at, DETERMINERS[True]):  # two slept
            found |= self.active(end, True) | self.passive(end, True)
        found |= self.questions(at) | self.topics(at)
        return found | set().union(*(self.word(end, {*ADVERBS, *ADJECTIVES}) for end in found))

    def phrases(self, at):
        found = super().phrases(at)
        for start in self.word(at, {"no", "the"}) | self.word(at, {"all", "some"}):
            found |= {(end, True) for end in self.described(start, PLURALS)}
            for end in self.word(start, {"two", "three", "the"}):
                found |= {(last, True) for last in self.described(end, PLURALS)}
        for start in self.word(at, {"some"}):
            found |= {(end, False) for end in self.described(start, SINGULARS)}
        for start in self.word(at, {"the"}):
            found |= {(end, True) for end in self.word(start, ADJECTIVES)}  # the rich
        bare = {(end, True) for end in self.described(at, PLURALS)}
        found |= bare | {(end, False) for end in self.described(at, FOODS)}
        found |= {(last, True) for end, _ in bare for last in self.word(end, {"all"})}
        for end, plural in set(found):  # the cat chased by Anna
            for participle in self.word(end, {verb.participle for verb in TRANSITIVE}):
                found |= {(last, plural) for last in {participle} | self.agent(participle)}
        return found

    def active(self, at, plural):
        found = super().active(at, plural)
        for start in {at} | self.word(at, ADVERBS):
            found |= super().active(start, plural)
            if plural:
                for end in self.word(start, OTHER_VERBS):
                    found |= {end} | self.ends(end)
        for end in self.word(at, {"did", "do" if plural else "does"}):
            found |= self.predicate(end)
        return found

    def predicate(self, at):
        """A base form and its objects, `not` or an adverb before it or none."""
        found = set()
        for start in {at} | self.word(at, {"not", *ADVERBS}):
            for later in {start} | self.word(start, ADVERBS):
                for verb in (*TRANSITIVE, *INTRANSITIVE):
                    for end in self.word(later, {verb.base}):
                        found |= self.objects(end, verb)
                for end in self.word(later, OTHER_VERBS):
                    found |= {end} | self.ends(end)
        return found

    def objects(self, at, verb):
        start = {at} | self.word(at, {"not"})
        found = set().union(*(super(_Wide, self).objects(place, verb) for place in start))
        if verb.base in TAKE_TWO_OBJECTS:
            found |= set().union(*(self.ends(end) for end in set(found)))
        if verb.base in TAKE_AN_OBJECT:
            found |= self.ends(at)
        return found | ({at} if verb.base in DROP_THE_OBJECT else set())

    def passive(self, at, plural):
        found = set()
        for be in self.word(at, {"were", "are"} if plural else {"was", "is"}):
            for start in {be} | self.word(be, {"not"}):
                found |= self.ends(start) | self.agent(start) | self.complements(start)
        return found

    def complements(self, at):
        found = set()
        for start in {at} | self.word(at, ADVERBS):
            for verb in (*TRANSITIVE, *INTRANSITIVE):
                if not verb.objects and verb.base not in TAKE_AN_OBJECT:
                    continue
                for end in self.word(start, {verb.participle}):
                    found |= {end}
                    if verb.base in TAKE_TWO_OBJECTS:
                        found |= self.ends(end)
            found |= self.word(start, {*ADJECTIVES, *OTHER_ADJECTIVES})
        for end in set(found):
            found |= self.agent(end)
            found |= set().union(*(self.agent(place) for place in self.word(end, {"not"})))
        return found

    def questions(self, at):
        found = set()
        for start in self.word(at, {"do", "does", "did"}):
            for end, plural in self.phrases(start):
                if self.words[at] in ("did", "do" if plural else "does"):
                    found |= self.predicate(end)
        for start in self.word(at, {"was", "were", "is", "are"}):
            for end, plural in self.phrases(start):
                if self.words[at] in (("were", "are") if plural else ("was", "is")):
                    for place in {end} | self.word(end, {"not"}):
                        found |= self.complements(place)
        return found

    def topics(self, at):
        """The cat the dog chased."""
        found = set()
        for start in self.ends(at):
            for end, plural in self.phrases(start):
                for verb in TRANSITIVE:
                    present = verb.base if plural else verb.third_person
                    found |= self.word(end, {verb.past, present})
        return found
