"""Opinions: their polarity by rules of its own, their words, their articles."""

import random
import re
from collections import Counter

import pytest

from compacter_cli.world import opinions
from compacter_cli.world.opinions import ADJECTIVES, SAID, VERBS, Critic

TEMPLATES = [template for templates in SAID.values() for template in templates]


def _adjectives(positive):
    return tuple(set(part.split()) for part in ADJECTIVES[positive].split("|"))


def _pattern(template):
    """A template as a regular expression: any word for each of its gaps."""
    return re.sub(r"\\{\w+\\}", "[A-Za-z ]*", re.escape(template).replace(" a ", " an? "))


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("positive", [True, False])
def test_every_template_sounds_as_it_should(template, positive, sounds_positive, monkeypatch):
    monkeypatch.setattr(opinions, "SAID", dict.fromkeys(SAID, (template,)))
    critic = Critic(random.Random(0))
    said = {critic.opinion(positive) for _ in range(60)}
    assert len(said) > 10
    for opinion in said:
        assert sounds_positive(opinion) is positive, opinion


@pytest.mark.parametrize(
    ("opinion", "positive"),
    [
        ("The film was good.", True),
        ("What an ugly hall!", False),
        ("The film was not very good.", False),
        ("Nobody hated the meal.", True),
        ("The meal was anything but dull.", True),
        ("The meal was far from perfect.", False),
        ("The song was bad at first but good in the end.", True),
        ("Although the hotel was lovely, we hated the trip.", False),
        ("We expected a good game, but it was really dull.", False),
        ("The game was dull rather than good.", False),
        ("The game was no longer dull but quite good.", True),
        ("The game seemed good, yet it was dull.", False),
    ],
)
def test_the_ear_itself_hears_by_hand(opinion, positive, sounds_positive):
    assert sounds_positive(opinion) is positive


@pytest.mark.parametrize("shares", opinions.SHARES)
def test_opinions_of_every_template_are_said(shares, sounds_positive):
    draw = random.Random(0)
    critic, used = Critic(draw, shares=shares), Counter()
    patterns = {template: re.compile(_pattern(template)) for template in TEMPLATES}
    for _ in range(2000):
        positive = draw.random() < 0.5
        opinion = critic.opinion(positive)
        assert sounds_positive(opinion) is positive, opinion
        used.update(t for t, pattern in patterns.items() if pattern.fullmatch(opinion))
    assert set(used) == set(TEMPLATES)


def test_no_word_is_of_both_minds_and_none_both_shown_and_held_out():
    (good, tested_good), (bad, tested_bad) = _adjectives(True), _adjectives(False)
    groups = [good, tested_good, bad, tested_bad]
    groups += [{word for forms in VERBS[side] for word in forms} for side in (True, False)]
    words = [word for group in groups for word in group]
    assert len(words) == len(set(words))
    assert all(groups)
    assert not set(words) & set(opinions.THINGS)


def test_articles_follow_the_sound():
    critic = Critic(random.Random(0))
    said = " ".join(critic.opinion(positive) for _ in range(1500) for positive in (True, False))
    pairs = re.findall(r"\b(an?) (\w)", said)
    assert {article for article, _ in pairs} == {"a", "an"}
    assert all((article == "an") == (letter in "aeiou") for article, letter in pairs)


@pytest.mark.parametrize("words", ["train", "test", "all"])
def test_critics_keep_to_their_words(words):
    critic = Critic(random.Random(0), words)
    said = [critic.opinion(positive) for _ in range(500) for positive in (True, False)]
    used = set(re.findall(r"[a-z]+", " ".join(said)))
    (good, tested_good), (bad, tested_bad) = _adjectives(True), _adjectives(False)
    held_out = tested_good | tested_bad
    assert bool(used & held_out) is (words != "train")
    assert used & (good | bad)
    if words == "test":
        assert sum(bool(set(re.findall(r"\w+", text)) & held_out) for text in said) > 600


def test_an_opinion_is_about_the_thing_that_is_given():
    critic = Critic(random.Random(0))
    for _ in range(300):
        text = critic.opinion(True, "hotel")
        things = [word for word in re.findall(r"\w+", text) if word in opinions.THINGS]
        assert "hotel" in things
        assert len(set(things)) == len(things) <= 2
