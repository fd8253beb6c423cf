"""Unlabelled text of the demo world, paragraph by paragraph: what the demo backbone reads."""

import random
from functools import cache

from compacter_cli.world.clauses import Speaker
from compacter_cli.world.lexicon import adjectives_of, nouns, verbs
from compacter_cli.world.likeness import relation
from compacter_cli.world.meaning import inference, same_meaning
from compacter_cli.world.opinions import AFTERWARDS, THINGS, Critic

SO = ("so", "therefore", "hence", "which means that")
YET = ("but it does not follow that", "but who knows if", "which does not mean that")


def paragraphs(seed):
    """Paragraphs without end, the same for the same seed, none twice in a row.

    No sentence of a demo task's rows occurs in them.
    """
    draw = random.Random(seed)
    speaker, critic = Speaker(draw), Critic(draw)
    told = task_sentences()
    kinds = (argument, restatement, taxonomy, synonyms, opinions, comparison, counts)
    weights = (26, 16, 12, 4, 22, 14, 6)
    last = ""
    while True:
        kind = draw.choices(kinds, weights)[0]
        sentences, text = kind(critic if kind is opinions else speaker)
        if text != last and told.isdisjoint(sentences):
            yield text
            last = text


@cache
def task_sentences():
    """Every sentence in the rows of the demo tasks."""
    from compacter_cli.tasks import DEMO_TASKS

    return frozenset(
        row[field]
        for task in DEMO_TASKS
        for rows in task.generate().values()
        for row in rows
        for field in task.fields
    )


def argument(speaker):
    """What follows from something, and what does not."""
    follows = speaker.draw.random() < 0.5
    premise, conclusion = inference(speaker, follows)
    sentences = (premise.sentence(), conclusion.sentence())
    if speaker.draw.random() < 0.15:
        return sentences, "premise: {} hypothesis: {}".format(*sentences)
    word = speaker.draw.choice(SO if follows else YET)
    return sentences, f"{sentences[0][:-1]}, {word} {conclusion.text()}."


def restatement(speaker):
    """One thing said twice."""
    while True:
        first = speaker.clause()
        second = same_meaning(speaker, first)
        if second:
            break
    sentences = (first.sentence(), second.sentence())
    if speaker.draw.random() < 0.15:
        return sentences, "sentence1: {} sentence2: {}".format(*sentences)
    return sentences, f"{sentences[0]} In other words, {second.text()}."


def taxonomy(speaker):
    """What is what."""
    noun = speaker.draw.choice([noun for noun in nouns() if noun.parent])
    above = speaker.draw.choice([other for other in nouns() if noun.is_a(other) and other != noun])
    others = [other for other in nouns() if other.level == noun.level and other != noun]
    other = speaker.draw.choice(others)
    texts = [
        f"{_a(noun.word)} is {_a(above.word, small=True)}.",
        f"All {noun.plural} are {above.plural}.",
        f"Every {noun.word} is {_a(above.word, small=True)}.",
        f"{_a(noun.word)} is one kind of {above.word}.",
    ]
    if other.parent == noun.parent:
        both = f"{noun.plural} and {other.plural} are {noun.parent.plural}."
        texts.append(both[0].upper() + both[1:])
    else:
        texts.append(f"No {noun.word} is {_a(other.word, small=True)}.")
    speaker.draw.shuffle(texts)
    return (), " ".join(texts[: speaker.draw.randint(2, 3)])


def synonyms(speaker):
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
    return (), speaker.draw.choice((f"{phrase} is {other}.", f"{phrase} means {other}."))


def opinions(critic):
    """Sentences of one mind about one thing."""
    positive, thing = critic.draw.random() < 0.5, critic.draw.choice(THINGS)
    sentences = [critic.opinion(positive, thing) for _ in range(critic.draw.randint(1, 3))]
    prefix = "sentence: " if critic.draw.random() < 0.15 else ""
    after = critic.draw.choice(AFTERWARDS[positive])
    return tuple(sentences), prefix + " ".join((*sentences, after))


def comparison(speaker):
    """Which things are alike."""
    noun = speaker.kind(("animal", "person", "food", "plant", "vehicle", "object"))
    others = {}
    for other in nouns():
        if other.level == 2:
            others.setdefault(relation(noun, other), []).append(other)
    near, far = speaker.draw.choice(
        (("sibling", "family"), ("sibling", "none"), ("family", "none"))
    )
    like, unlike = speaker.draw.choice(others[near]), speaker.draw.choice(others[far])
    words = {"sibling": "very much", "family": "a little", "none": "not at all"}
    return (), (
        f"{_a(noun.word)} is {words[near]} like {_a(like.word, small=True)} "
        f"and {words[far]} like {_a(unlike.word, small=True)}."
    )


def counts(speaker):
    """Numbers."""
    draw = speaker.draw
    noun = speaker.kind(("animal", "person", "object"))
    number = draw.choice((f"{draw.randint(0, 9)}", f"{draw.randint(10, 99)}"))
    half = f"{draw.randint(0, 9)}.{draw.choice('05')}"
    return (), draw.choice(
        (
            f"There were {number} {noun.plural} in room {draw.randint(0, 9)}.",
            f"The {noun.word} is {half} miles away, not {number}.",
            f"Score: {half} of {draw.randint(5, 9)}.",
            f"{draw.randint(0, 4)} and {draw.randint(0, 5)} {noun.plural}, {half} in all.",
        )
    )


def _a(word, small=False):
    article = "an" if word[0] in "aeiou" else "a"
    return f"{article if small else article.capitalize()} {word}"
