"""Unlabelled text of the demo world, paragraph by paragraph: what the demo backbone reads."""

from collections.abc import Callable, Iterator, Set
from random import Random
from typing import NamedTuple

from compacter_cli.world.clauses import Speaker
from compacter_cli.world.lexicon import Noun, adjectives_of, nouns, verbs
from compacter_cli.world.likeness import Relation, relation
from compacter_cli.world.meaning import inference, same_meaning
from compacter_cli.world.opinions import AFTERWARDS, THINGS, Critic

SO = ("so", "therefore", "hence", "which means that")
YET = ("but it does not follow that", "but who knows if", "which does not mean that")
NEARER: tuple[tuple[Relation, Relation], ...] = (
    ("sibling", "family"),
    ("sibling", "none"),
    ("family", "none"),
)


class Paragraph(NamedTuple):
    """A text, and the sentences in it that a task could hold too."""

    sentences: tuple[str, ...]
    text: str


def paragraphs(seed: int, without: Set[str]) -> Iterator[str]:
    """Paragraphs without end, the same for the same seed, none twice in a row.

    Those that hold a sentence of `without` are left out: the demo tasks' own, which a model that
    is tested on them must not have read.
    """
    speaker = Speaker(Random(seed))
    last = ""
    while True:
        kind = speaker.draw.choices(tuple(SHARES), tuple(SHARES.values()))[0]
        sentences, text = kind(speaker)
        if text != last and without.isdisjoint(sentences):
            yield text
            last = text


def argument(speaker: Speaker) -> Paragraph:
    """What follows from something, and what does not."""
    follows = speaker.draw.random() < 0.5
    premise, conclusion = inference(speaker, follows)
    sentences = (premise.sentence(), conclusion.sentence())
    if speaker.draw.random() < 0.15:
        return Paragraph(sentences, "premise: {} hypothesis: {}".format(*sentences))
    word = speaker.draw.choice(SO if follows else YET)
    return Paragraph(sentences, f"{sentences[0][:-1]}, {word} {conclusion.text()}.")


def restatement(speaker: Speaker) -> Paragraph:
    """One thing said twice."""
    while True:
        first = speaker.clause()
        second = same_meaning(speaker, first)
        if second:
            break
    sentences = (first.sentence(), second.sentence())
    if speaker.draw.random() < 0.15:
        return Paragraph(sentences, "sentence1: {} sentence2: {}".format(*sentences))
    return Paragraph(sentences, f"{sentences[0]} In other words, {second.text()}.")


def taxonomy(speaker: Speaker) -> Paragraph:
    """What is what."""
    noun, parent = speaker.draw.choice([(noun, noun.parent) for noun in nouns() if noun.parent])
    above = speaker.draw.choice([other for other in nouns() if noun.is_a(other) and other != noun])
    others = [other for other in nouns() if other.level == noun.level and other != noun]
    other = speaker.draw.choice(others)
    texts = [
        f"{_a(noun.word)} is {_a(above.word, small=True)}.",
        f"All {noun.plural} are {above.plural}.",
        f"Every {noun.word} is {_a(above.word, small=True)}.",
        f"{_a(noun.word)} is one kind of {above.word}.",
    ]
    if other.parent == parent:
        both = f"{noun.plural} and {other.plural} are {parent.plural}."
        texts.append(both[0].upper() + both[1:])
    else:
        texts.append(f"No {noun.word} is {_a(other.word, small=True)}.")
    speaker.draw.shuffle(texts)
    return Paragraph((), " ".join(texts[: speaker.draw.randint(2, 3)]))


def synonyms(speaker: Speaker) -> Paragraph:
    """Words of one meaning."""
    words = [(v.base, v.meaning, f"To {v.base}") for v in (*verbs(), *verbs(False))]
    for family in ("animal", "person"):
        words += [(a.word, a.meaning, f"To be {a.word}") for a in adjectives_of(family)]
    word, meaning, phrase = speaker.draw.choice(words)
    same = [other for other, shared, _ in words if shared == meaning and other != word]
    if not same:
        return synonyms(speaker)
    small = phrase[0].lower() + phrase[1:]
    other = small.replace(word, speaker.draw.choice(same))
    text = speaker.draw.choice((f"{phrase} is {other}.", f"{phrase} means {other}."))
    return Paragraph((), text)


def opinions(speaker: Speaker) -> Paragraph:
    """Sentences of one mind about one thing."""
    draw, critic = speaker.draw, Critic(speaker.draw)
    positive, thing = draw.random() < 0.5, draw.choice(THINGS)
    sentences = tuple(critic.opinion(positive, thing) for _ in range(draw.randint(1, 3)))
    prefix = "sentence: " if draw.random() < 0.15 else ""
    after = draw.choice(AFTERWARDS[positive])
    return Paragraph(sentences, prefix + " ".join((*sentences, after)))


def comparison(speaker: Speaker) -> Paragraph:
    """Which things are alike."""
    noun = speaker.kind(("animal", "person", "food", "plant", "vehicle", "object"))
    others: dict[Relation, list[Noun]] = {}
    for other in nouns():
        if other.level == 2:
            others.setdefault(relation(noun, other), []).append(other)
    near, far = speaker.draw.choice(NEARER)
    like, unlike = speaker.draw.choice(others[near]), speaker.draw.choice(others[far])
    words = {"sibling": "very much", "family": "a little", "none": "not at all"}
    text = (
        f"{_a(noun.word)} is {words[near]} like {_a(like.word, small=True)} "
        f"and {words[far]} like {_a(unlike.word, small=True)}."
    )
    return Paragraph((), text)


def counts(speaker: Speaker) -> Paragraph:
    """Numbers."""
    draw = speaker.draw
    noun = speaker.kind(("animal", "person", "object"))
    number = draw.choice((f"{draw.randint(0, 9)}", f"{draw.randint(10, 99)}"))
    half = f"{draw.randint(0, 9)}.{draw.choice('05')}"
    texts = (
        f"There were {number} {noun.plural} in room {draw.randint(0, 9)}.",
        f"The {noun.word} is {half} miles away, not {number}.",
        f"Score: {half} of {draw.randint(5, 9)}.",
        f"{draw.randint(0, 4)} and {draw.randint(0, 5)} {noun.plural}, {half} in all.",
    )
    return Paragraph((), draw.choice(texts))


def _a(word: str, small: bool = False) -> str:
    article = "an" if word[0] in "aeiou" else "a"
    return f"{article if small else article.capitalize()} {word}"


# How often a paragraph is of which kind.
SHARES: dict[Callable[[Speaker], Paragraph], int] = {
    argument: 26,
    restatement: 16,
    taxonomy: 12,
    synonyms: 4,
    opinions: 22,
    comparison: 14,
    counts: 6,
}
