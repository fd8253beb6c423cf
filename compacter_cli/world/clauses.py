"""Clauses of the demo world and how they are said: determiners, number, tense, negation, voice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, NamedTuple

from compacter_cli.world.lexicon import (
    ADVERBS,
    NAMES,
    PERSON,
    Adjective,
    Noun,
    Verb,
    Words,
    adjectives_of,
    nouns_of,
    verbs,
)

Place = Literal["subject", "object"]
PLACES: tuple[Place, Place] = ("subject", "object")

PLURAL = {"some", "all", "two", "three"}  # determiners that a plural follows
EXISTENTIAL = ("a", "some", "two", "three")
UNIVERSAL = ("every", "all")
TESTED_SHARE = 0.7  # of the kinds in validation and test rows that are held-out words


@dataclass(frozen=True)
class NounPhrase:
    """`a big dog`, `all poodles`, `no bird`, `the taxi`, or a name (see `named`)."""

    determiner: str
    noun: Noun
    adjective: Adjective | None = None
    name: str = ""

    @classmethod
    def named(cls, name: str) -> "NounPhrase":
        """Somebody's name: it has no determiner, and stands for a person."""
        return cls("", PERSON, name=name)

    @property
    def plural(self) -> bool:
        return self.determiner in PLURAL

    @property
    def definite(self) -> bool:
        """Whether it stands for one known thing, so that negation and voice leave it alone."""
        return bool(self.name) or self.determiner == "the"

    def words(self) -> list[str]:
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
    def phrases(self) -> tuple[NounPhrase, ...]:
        """The subject and, where there is one, the object."""
        return (self.subject, self.object) if self.object else (self.subject,)

    @property
    def can_turn(self) -> bool:
        """Whether active and passive mean the same: no quantifier whose scope would change."""
        if self.object is None:
            return False
        if self.negated:
            return all(phrase.definite for phrase in self.phrases)
        return all(p.definite or p.determiner in EXISTENTIAL for p in self.phrases)

    @property
    def spoken(self) -> tuple[NounPhrase, NounPhrase | None]:
        """(the phrase before the verb, the one behind it or `None`)."""
        if self.passive and self.object:
            return self.object, self.subject
        return self.subject, self.object

    def at(self, place: Place) -> NounPhrase | None:
        """The phrase at a place."""
        return self.subject if place == "subject" else self.object

    def put(self, place: Place, phrase: NounPhrase) -> "Clause":
        """This clause with another phrase at a place."""
        return replace(self, **{place: phrase})

    def words(self) -> list[str]:
        """The clause as a list of words, without capital letter and full stop."""
        first, last = self.spoken
        adverb = [self.adverb] if self.adverb else []
        middle = self._passive_verb(first) if self.passive else self._active_verb(first)
        return [*first.words(), *middle, *(last.words() if last else []), *adverb]

    def _active_verb(self, first: NounPhrase) -> list[str]:
        if self.negated:
            auxiliary = ("do" if first.plural else "does") if self.present else "did"
            return [auxiliary, "not", self.verb.base]
        if not self.present:
            return [self.verb.past]
        return [self.verb.base if first.plural else self.verb.third_person]

    def _passive_verb(self, first: NounPhrase) -> list[str]:
        if self.present:
            auxiliary = "are" if first.plural else "is"
        else:
            auxiliary = "were" if first.plural else "was"
        return [auxiliary, *(["not"] if self.negated else []), self.verb.participle, "by"]

    def text(self) -> str:
        """The clause inside a sentence."""
        return " ".join(self.words())

    def sentence(self) -> str:
        """The clause as a sentence."""
        return sentence(self.words())

    def turned(self) -> "Clause":
        """The same in the other voice."""
        return replace(self, passive=not self.passive)


def sentence(words: Sequence[str]) -> str:
    """Words as a sentence: a capital letter in front, a full stop behind."""
    text = " ".join(words)
    return f"{text[0].upper()}{text[1:]}."


class Speaker:
    """Says random clauses, drawing from a `random.Random`.

    Args:
        draw: what is drawn from.
        words: "all"; "train" leaves held-out words away; "test" prefers them.
    """

    def __init__(self, draw: Random, words: Words = "all") -> None:
        self.draw, self.words = draw, words

    def may(self, noun: Noun) -> bool:
        """Whether this speaker says `noun`."""
        return self.words != "train" or not noun.held_out

    def kind(self, families: Sequence[str], level: int = 2) -> Noun:
        """A random noun of one of `families`."""
        side = None
        if level == 2 and self.words == "train":
            side = False
        elif level == 2 and self.words == "test":
            side = self.draw.random() < TESTED_SHARE
        return self.draw.choice(nouns_of(self.draw.choice(families), level, side))

    def noun(self, families: Sequence[str]) -> Noun:
        """A random kind or, less often, a class or a family."""
        level = self.draw.choices((2, 1, 0), (60, 32, 8))[0]
        return self.kind(families, level)

    def phrase(
        self, families: Sequence[str], determiners: Sequence[str], describe: float = 0.25
    ) -> NounPhrase:
        """A random noun phrase; `the` and names are given as determiners "the" and "name"."""
        determiner = self.draw.choice(determiners)
        if determiner == "name":
            return NounPhrase.named(self.draw.choice(NAMES))
        noun = self.noun(families)
        adjective = None
        if self.draw.random() < describe:
            adjective = self.draw.choice(adjectives_of(noun.family.word))
        return NounPhrase(determiner, noun, adjective)

    def clause(self, form: str | None = None, transitive: bool | None = None) -> Clause:
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

    def plain_clause(self, verb: Verb | None = None) -> Clause:
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


class Form(NamedTuple):
    """The determiners of a clause's subject and object, and whether its verb is negated."""

    subjects: tuple[str, ...]
    objects: tuple[str, ...]
    negated: bool = False


# None of them is ambiguous.
FORMS = {
    "existential": Form(EXISTENTIAL, (*EXISTENTIAL, "the", "name")),
    "universal": Form(UNIVERSAL, ("a", "two", "the", "name")),
    "none": Form(("no",), ("a", "the", "name")),
    "definite": Form(("the", "name"), (*EXISTENTIAL, "the", "name")),
    "negated": Form(("the", "name"), ("a", "the", "name"), negated=True),
}


def without_clash(clause: Clause) -> Clause:
    """`clause` without what would read oddly: `yesterday` in the present, a name on both sides."""
    if clause.present and clause.adverb == "yesterday":
        clause = replace(clause, adverb="")
    name = clause.subject.name
    if name and clause.object and clause.object.name == name:
        other = NAMES[(NAMES.index(name) + 1) % len(NAMES)]
        clause = clause.put("object", NounPhrase.named(other))
    return clause
