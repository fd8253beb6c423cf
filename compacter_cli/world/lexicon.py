"""The words of the demo world: nouns with hypernyms, verbs with synonyms, and adjectives.

Words on the right of a bar are held out: no training row of a demo task holds them, while its
validation and test rows prefer them. What a model knows of them it knows from pretraining.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

# Which words are said: all; those of training rows, without held-out ones; those of test rows,
# which prefer them.
Words = Literal["all", "train", "test"]

# family / class: kinds. A kind is a class, a class is a family: a poodle is a dog is an animal.
NOUNS = """
animal / dog: poodle terrier | beagle collie spaniel
animal / bird: sparrow robin | eagle owl crow
animal / insect: ant bee | wasp beetle moth
animal / snake: cobra viper | python adder boa
person / artist: painter singer | dancer poet actor
person / worker: baker farmer | miner plumber tailor
person / scientist: chemist biologist | physicist geologist astronomer
person / athlete: runner boxer | swimmer golfer wrestler
person / official: judge mayor | minister senator governor
food / fruit: apple pear | plum cherry mango
food / vegetable: carrot onion | leek turnip radish
food / dessert: cake tart | pudding pie trifle
plant / tree: oak elm | birch maple willow
plant / flower: rose tulip | daisy lily poppy
vehicle / car: sedan taxi | jeep limousine hatchback
vehicle / boat: canoe ferry | yacht raft kayak
object / tool: hammer saw | drill wrench chisel
object / instrument: violin flute | piano drum harp
object / garment: coat shirt | scarf glove sweater
object / seat: chair sofa | stool bench armchair
"""

# Who does what to whom: `subject families > object families: verbs`; verbs of one meaning are
# joined by "=". An irregular verb gives past and participle after its base.
TRANSITIVE = """
animal person > animal person: chase=pursue, follow=trail, frighten=scare, avoid
animal person > animal person food plant vehicle object: see,saw,seen=notice, watch=observe, touch, find,found,found=discover
person > person: help=assist, greet=welcome, teach,taught,taught=instruct, thank, visit
person > plant vehicle object food: buy,bought,bought=purchase, sell,sold,sold, choose,chose,chosen=select, carry, hide,hid,hidden=conceal, steal,stole,stolen
person > vehicle object: repair=fix, break,broke,broken=damage, own=possess, clean
person > plant animal object vehicle: draw,drew,drawn=sketch, photograph, describe
animal person > food: eat,ate,eaten=devour, taste=sample, smell
"""  # noqa: E501

INTRANSITIVE = """
animal person: sleep,slept,slept, run,ran,run, wait, vanish=disappear, fall,fell,fallen, return, arrive
person: shout=yell, laugh, sing,sang,sung, resign=quit,quit,quit, smile
"""  # noqa: E501

# Adjectives by the families they fit; those of one meaning are joined by "=".
ADJECTIVES = """
animal person food plant vehicle object: big=large, small=little, old=ancient, strange=odd
animal food plant vehicle object: red, blue, green, yellow, black, white
animal person: young, quiet=silent, angry, tired, hungry
person: rich=wealthy, clever=smart, famous, polite
"""

ADVERBS = ("quickly", "slowly", "quietly", "secretly", "yesterday", "again")
NAMES = ("Anna", "Tom", "Maria", "Peter", "Julia", "Oscar", "Clara", "Felix", "Nora", "Simon")


@dataclass(frozen=True)
class Noun:
    """A countable noun; `parent` is its hypernym, `None` for a family."""

    word: str
    parent: "Noun | None" = None
    held_out: bool = False

    @property
    def plural(self) -> str:
        return _with_s(self.word)

    @property
    def family(self) -> "Noun":
        """The most general noun above it, such as animal; itself where it is that."""
        return self.parent.family if self.parent else self

    @property
    def level(self) -> int:
        """0 for a family, 1 for a class, 2 for a kind."""
        return self.parent.level + 1 if self.parent else 0

    def is_a(self, other: "Noun") -> bool:
        """Whether everything of this noun is of `other` too."""
        return self == other or (self.parent is not None and self.parent.is_a(other))


PERSON = Noun("person")


@dataclass(frozen=True)
class Verb:
    """A verb; verbs of equal `meaning` are synonyms. No `objects` makes it intransitive."""

    base: str
    past: str
    participle: str
    meaning: str
    subjects: tuple[str, ...]
    objects: tuple[str, ...] = ()

    @property
    def third_person(self) -> str:
        return _with_s(self.base)


@dataclass(frozen=True)
class Adjective:
    """An adjective; those of equal `meaning` are synonyms."""

    word: str
    meaning: str
    families: tuple[str, ...]


@cache
def nouns() -> tuple[Noun, ...]:
    """All nouns: families, classes and kinds."""
    found: dict[str, Noun] = {}
    for line in NOUNS.strip().splitlines():
        above, _, kinds = line.partition(": ")
        family, class_ = above.split(" / ")
        found.setdefault(family, Noun(family))
        found[class_] = Noun(class_, found[family])
        for side, words in zip((False, True), kinds.split(" | "), strict=True):
            found.update({word: Noun(word, found[class_], side) for word in words.split()})
    return tuple(found.values())


@cache
def nouns_of(
    family: str, level: int | None = None, held_out: bool | None = None
) -> tuple[Noun, ...]:
    """Nouns of a family by name, of one level and of one side of the bar where given."""
    return tuple(
        noun
        for noun in nouns()
        if noun.family.word == family
        and level in (None, noun.level)
        and held_out in (None, noun.held_out)
    )


@cache
def verbs(transitive: bool = True) -> tuple[Verb, ...]:
    """All transitive or all intransitive verbs."""
    found: list[Verb] = []
    for line in (TRANSITIVE if transitive else INTRANSITIVE).strip().splitlines():
        families, _, meanings = line.partition(": ")
        subjects, _, objects = families.partition(" > ")
        for meaning in meanings.split(", "):
            words = [word.split(",") for word in meaning.split("=")]
            found += [
                Verb(*_forms(word), words[0][0], tuple(subjects.split()), tuple(objects.split()))
                for word in words
            ]
    return tuple(found)


@cache
def adjectives_of(family: str) -> tuple[Adjective, ...]:
    """Adjectives that fit a family by name."""
    found: list[Adjective] = []
    for line in ADJECTIVES.strip().splitlines():
        families, _, meanings = line.partition(": ")
        for meaning in meanings.split(", "):
            words = meaning.split("=")
            found += [Adjective(word, words[0], tuple(families.split())) for word in words]
    return tuple(adjective for adjective in found if family in adjective.families)


def _forms(given: Sequence[str]) -> tuple[str, str, str]:
    """(base, past, participle) of a verb, which gives its base alone where it is regular."""
    base, *irregular = given
    if irregular:
        past, participle = irregular
        return base, past, participle
    if base.endswith("e"):
        past = f"{base}d"
    elif base.endswith("y") and base[-2] not in "aeiou":
        past = f"{base[:-1]}ied"
    else:
        past = f"{base}ed"
    return base, past, past


def _with_s(word: str) -> str:
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return f"{word}es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"
