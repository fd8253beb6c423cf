"""Opinions of the demo world: sentences for or against something, with negation and contrast."""

from dataclasses import dataclass
from random import Random
from typing import Literal

from compacter_cli.world.lexicon import Words

# Adjectives by polarity; those on the right of the bar are held out, as in the lexicon.
ADJECTIVES = {
    True: (
        "good wonderful lovely delightful brilliant charming superb pleasant graceful thrilling "
        "| great excellent fine splendid beautiful amusing fascinating marvellous elegant fresh "
        "gentle perfect lively impressive magnificent touching memorable refreshing glorious warm"
    ),
    False: (
        "bad awful terrible boring dreadful ugly dull clumsy tedious horrible "
        "| poor nasty weak dirty stupid annoying disappointing unpleasant dismal bland "
        "shabby miserable painful messy gloomy hopeless rotten lifeless pointless vulgar"
    ),
}
# (base, past) of verbs of liking and disliking.
VERBS = {
    True: (("enjoy", "enjoyed"), ("love", "loved"), ("admire", "admired"), ("praise", "praised")),
    False: (("hate", "hated"), ("regret", "regretted"), ("resent", "resented"), ("mock", "mocked")),
}
THINGS = (
    "film", "book", "play", "song", "concert", "meal", "hotel", "trip", "game", "show", "lesson",
    "garden", "museum", "story", "party", "speech", "painting", "city", "hall", "letter",
)  # fmt: skip
WHO = ("I", "We", "They", "Everyone")
DEGREES = ("", "", "really ", "quite ", "very ")

# {adj} and {loved} agree with the opinion, {bad} and {hate} with its opposite; "|" is a weight.
SAID = {
    "plain": (
        "The {thing} was {degree}{adj}.",
        "It was a {degree}{adj} {thing}.",
        "What a {adj} {thing}!",
        "{who} {loved} the {thing}.",
    ),
    "negated": (
        "The {thing} was not {degree}{bad}.",
        "The {thing} was never {bad}.",
        "The {thing} was far from {bad}.",
        "The {thing} was anything but {bad}.",
        "{we} did not {hate} the {thing}.",
        "Nobody {hated} the {thing}.",
        "Nobody found the {thing} {bad}.",
    ),
    "contrast": (
        "The {thing} was {bad} at first but {adj} in the end.",
        "Although the {other} was {bad}, {who_} {loved} the {thing}.",
        "{we} expected a {bad} {thing}, but it was {degree}{adj}.",
        "The {thing} seemed {bad}, yet it was {degree}{adj}.",
        "The {thing} was {adj} rather than {bad}.",
        "The {thing} was no longer {bad} but {degree}{adj}.",
    ),
}
# How often a row of the task, and a text, says it which way: in a text most words mean what they
# say, in the task counting them is of no use.
Genre = Literal["text", "task"]
GENRES: tuple[Genre, ...] = ("text", "task")
SHARES: dict[Genre, tuple[int, ...]] = {"task": (24, 40, 36), "text": (60, 22, 18)}
AFTERWARDS = {
    True: ("I will come again.", "I recommend it.", "Five stars!", "We smiled.", "Go and see it."),
    False: ("I left early.", "I want my money back.", "One star.", "We yawned.", "Stay away."),
}


@dataclass(frozen=True)
class Critic:
    """Says opinions; `words` is "all", "train" or "test" as for a `Speaker`."""

    draw: Random
    words: Words = "all"
    shares: Genre = "text"
    tested_share: float = 0.85  # of adjectives in validation and test rows that are held out

    def opinion(self, positive: bool, thing: str | None = None) -> str:
        """A sentence whose opinion, all in all, is positive or is not."""
        draw = self.draw
        manner = draw.choices(tuple(SAID), SHARES[self.shares])[0]
        thing = thing or draw.choice(THINGS)
        liked, disliked = draw.choice(VERBS[positive]), draw.choice(VERBS[not positive])
        who = draw.choice(WHO)
        said = draw.choice(SAID[manner]).format(
            thing=thing,
            other=draw.choice([other for other in THINGS if other != thing]),
            adj=self._adjective(positive),
            bad=self._adjective(not positive),
            degree=draw.choice(DEGREES),
            who=who,
            who_=who if who == "I" else who.lower(),
            we=draw.choice(("I", "We", "They")),
            loved=liked[1],
            hate=disliked[0],
            hated=disliked[1],
        )
        return _with_article(said)

    def _adjective(self, positive: bool) -> str:
        shown, held_out = (part.split() for part in ADJECTIVES[positive].split("|"))
        if self.words == "train":
            return self.draw.choice(shown)
        if self.words == "test":
            return self.draw.choice(held_out if self.draw.random() < self.tested_share else shown)
        return self.draw.choice(shown + held_out)


def _with_article(text: str) -> str:
    words = text.split(" ")
    for place, word in enumerate(words[:-1]):
        if word == "a" and words[place + 1][0] in "aeiou":
            words[place] = "an"
    return " ".join(words)
