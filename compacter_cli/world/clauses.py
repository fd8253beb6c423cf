"""Clauses of the demo world and how they are said: determiners, number, tense, negation, voice."""

from dataclasses import dataclass, replace

from compacter_cli.world.lexicon import (
    ADVERBS,
    NAMES,
    Adjective,
    Noun,
    Verb,
    adjectives_of,
    nouns_of,
    verbs,
)

PLURAL = {"some", "all", "two", "three"}  # determiners that a plural follows
EXISTENTIAL = ("a", "some", "two", "three")
UNIVERSAL = ("every", "all")
TESTED_SHARE = 0.7  # of the kinds in validation and test rows that are held-out words


@dataclass(frozen=True)
class NounPhrase:
    """`a big dog`, `all poodles`, `no bird`, `the taxi`, or a name (which has no determiner)."""

    determiner: str
    noun: Noun | None
    adjective: Adjective | None = None
    name: str = ""

    @property
    def plural(self):
        return self.determiner in PLURAL

    @property
    def definite(self):
        """Whether it stands for one known thing, so that negation and voice leave it alone."""
        return bool(self.name) or self.determiner == "the"

    def words(self):
        """The phrase as a list of words."""
        if self.name:
            return [self.name]
        noun = self.noun.plural if self.plural else self.noun.word
        rest = [self.adjective.word, noun] if self.adjective else [noun]
        determiner = "an" if self.determiner == "a" and rest[0][0] in "aeiou" else self.determiner
        return [determiner, *rest]


@dataclass(frozen=True)
class Clause:
    """Somebody does something, or does something to somebody.

    `passive` says a transitive clause the other way round, with the same meaning.
    """

    subject: NounPhrase
    verb: Verb
    object: NounPhrase | None = None
    present: bool = False
    negated: bool = False
    adverb: str = ""
    passive: bool = False

    @property
    def can_turn(self):
        """Whether active and passive mean the same: no quantifier whose scope would change."""
        phrases = (self.subject, self.object)
        if self.object is None:
            return False
        if self.negated:
            return all(phrase.definite for phrase in phrases)
        return all(p.definite or p.determiner in EXISTENTIAL for p in phrases)

    @property
    def spoken(self):
        """(the phrase before the verb, the one behind it or `None`)."""
        return (self.object, self.subject) if self.passive else (self.subject, self.object)

    def words(self):
        """The clause as a list of words, without capital letter and full stop."""
        first, last = self.spoken
        adverb = [self.adverb] if self.adverb else []
        middle = self._passive_verb(first) if self.passive else self._active_verb(first)
        return [*first.words(), *middle, *(last.words() if last else []), *adverb]

    def _active_verb(self, first):
        if self.negated:
            auxiliary = ("do" if first.plural else "does") if self.present else "did"
            return [auxiliary, "not", self.verb.base]
        if not self.present:
            return [self.verb.past]
        return [self.verb.base if first.plural else self.verb.third_person]

    def _passive_verb(self, first):
        if self.present:
            auxiliary = "are" if first.plural else "is"
        else:
            auxiliary = "were" if first.plural else "was"
        return [auxiliary, *(["not"] if self.negated else []), self.verb.participle, "by"]

    def text(self):
        """The clause inside a sentence."""
        return " ".join(self.words())

    def sentence(self):
        """The clause as a sentence."""
        return sentence(self.words())

    def turned(self):
        """The same in the other voice."""
        return replace(self, passive=not self.passive)


def sentence(words):
    """Words as a sentence: a capital letter in front, a full stop behind."""
    text = " ".join(words)
    return f"{text[0].upper()}{text[1:]}."


class Speaker:
    """Says random clauses, drawing from a `random.Random`.

    Args:
        draw: `random.Random`.
        words: "all"; "train" leaves held-out words away; "test" prefers them.
    """

    def __init__(self, draw, words="all"):
        self.draw, self.words = draw, words

    def may(self, noun):
        """Whether this speaker says `noun`."""
        return self.words != "train" or not noun.held_out

    def kind(self, families, level=2):
        """A random noun of one of `families`."""
        side = None
        if level == 2 and self.words == "train":
            side = False
        elif level == 2 and self.words == "test":
            side = self.draw.random() < TESTED_SHARE
        return self.draw.choice(nouns_of(self.draw.choice(families), level, side))

    def noun(self, families):
        """A random kind or, less often, a class or a family."""
        level = self.draw.choices((2, 1, 0), (60, 32, 8))[0]
        return self.kind(families, level)

    def phrase(self, families, determiners, describe=0.25):
        """A random noun phrase; `the` and names are given as determiners "the" and "name"."""
        determiner = self.draw.choice(determiners)
        if determiner == "name":
            return NounPhrase("", None, name=self.draw.choice(NAMES))
        noun = self.noun(families)
        adjective = None
        if self.draw.random() < describe:
            adjective = self.draw.choice(adjectives_of(noun.family.word))
        return NounPhrase(determiner, noun, adjective)

    def clause(self, form=None, transitive=None):
        """A random clause of one of the forms `FORMS`, in either voice where they mean the same."""
        subjects, objects, negated = FORMS[form or self.draw.choice(tuple(FORMS))]
        if transitive is None:
            transitive = self.draw.random() < 0.8
        verb = self.draw.choice(verbs(transitive))
        if "name" in subjects and "person" not in verb.subjects:
            subjects = tuple(d for d in subjects if d != "name") or ("the",)
        if "name" in objects and "person" not in verb.objects:
            objects = tuple(d for d in objects if d != "name")
        clause = Clause(
            subject=self.phrase(verb.subjects, subjects),
            verb=verb,
            object=self.phrase(verb.objects, objects) if transitive else None,
            present=self.draw.random() < 0.35,
            negated=negated,
            adverb=self.draw.choice(ADVERBS) if self.draw.random() < 0.2 else "",
        )
        clause = without_clash(clause)
        return clause.turned() if clause.can_turn and self.draw.random() < 0.35 else clause

    def plain_clause(self, verb=None):
        """A random transitive clause without names, quantifiers and negation, in either voice."""
        verb = verb or self.draw.choice(verbs())
        determiners = ("a", "the", "some", "two")
        clause = Clause(
            subject=self.phrase(verb.subjects, determiners),
            verb=verb,
            object=self.phrase(verb.objects, determiners),
            present=self.draw.random() < 0.35,
        )
        return clause.turned() if self.draw.random() < 0.35 else clause


# (determiners of the subject, of the object, whether the verb is negated): no form is ambiguous.
FORMS = {
    "existential": (EXISTENTIAL, (*EXISTENTIAL, "the", "name"), False),
    "universal": (UNIVERSAL, ("a", "two", "the", "name"), False),
    "none": (("no",), ("a", "the", "name"), False),
    "definite": (("the", "name"), (*EXISTENTIAL, "the", "name"), False),
    "negated": (("the", "name"), ("a", "the", "name"), True),
}


def without_clash(clause):
    """`clause` without what would read oddly: `yesterday` in the present, a name on both sides."""
    if clause.present and clause.adverb == "yesterday":
        clause = replace(clause, adverb="")
    both = clause.object and clause.object.name
    if both and both == clause.subject.name:
        other = NAMES[(NAMES.index(both) + 1) % len(NAMES)]
        clause = replace(clause, object=replace(clause.object, name=other))
    return clause
