"""Paragraphs: the same for a seed, without end, true, and without the tasks' sentences."""

import hashlib
import random
import re
from itertools import islice, pairwise

import pytest

from compacter_cli.pretraining.corpus import demo_sentences
from compacter_cli.tasks import DEMO_TASKS
from compacter_cli.world import text
from compacter_cli.world.clauses import Speaker
from compacter_cli.world.exercises import exercises
from compacter_cli.world.lexicon import adjectives_of, nouns, verbs
from compacter_cli.world.text import paragraphs

# The beginning of what the shipped backbone was pretrained on: it changes with the backbone alone.
TEXT_SHA256 = {
    paragraphs: "e136754fd3eec007811aade50d3141cec0065f80c1d962b28e22bcde75cc7991",
    exercises: "4eb7ef5c7af96a322e94e928cdf3846985413937b75f6f32041b147b65e7b869",
}
LINKS = [*text.SO, *text.YET]
NOUNS = {word: noun for noun in nouns() for word in (noun.word, noun.plural)}


@pytest.mark.parametrize("made", TEXT_SHA256, ids=lambda made: made.__name__)
def test_the_text_is_that_of_the_shipped_backbone(made):
    begun = "\n".join(map(str, islice(made(42, demo_sentences()), 2000)))
    assert hashlib.sha256(begun.encode()).hexdigest() == TEXT_SHA256[made]


@pytest.fixture(scope="module")
def some():
    """The first paragraphs of a seed."""
    return list(islice(paragraphs(3, demo_sentences()), 4000))


def _sentences(paragraph):
    """The sentences of a paragraph, found without knowing how it was made."""
    for link in LINKS:
        paragraph = paragraph.replace(f", {link} ", ". ")
    paragraph = re.sub(r"\b(?:premise|hypothesis|sentence[12]?): |In other words, ", "", paragraph)
    found = re.findall(r"[^.!?]+[.!?]", paragraph)
    return [said[0].upper() + said[1:] for said in map(str.strip, found)]


def test_sentences_are_found_by_hand():
    assert _sentences("A dog ran, so an animal ran.") == ["A dog ran.", "An animal ran."]
    assert _sentences("premise: Tom ran. hypothesis: No dog ran.") == ["Tom ran.", "No dog ran."]
    assert _sentences("Tom ran. In other words, a dog ran.") == ["Tom ran.", "A dog ran."]
    assert _sentences("sentence: What a film! We smiled.") == ["What a film!", "We smiled."]


def test_no_sentence_of_the_tasks_occurs_in_them(some):
    told = demo_sentences()
    rows = sum(len(task.fields) * sum(task.rows.values()) for task in DEMO_TASKS)
    assert 0.99 * rows < len(told) <= rows  # two tasks may share one
    found = [said for paragraph in some for said in _sentences(paragraph)]
    assert len(found) > 2 * len(some) * 0.8
    assert told.isdisjoint(found)


def test_sentences_of_the_tasks_would_occur_if_they_were_not_kept_out():
    first = islice(paragraphs(3, without=frozenset()), 4000)
    found = {said for paragraph in first for said in _sentences(paragraph)}
    assert len(demo_sentences() & found) > 20


def test_they_are_the_same_for_the_same_seed_and_go_on(some):
    assert list(islice(paragraphs(3, demo_sentences()), 4000)) == some
    assert list(islice(paragraphs(4, demo_sentences()), 10)) != some[:10]
    assert all(first != second for first, second in pairwise(some))
    assert len(set(some)) > 0.9 * len(some)


def test_they_are_of_many_kinds_and_every_one_is_sentences(some):
    for paragraph in some:
        assert re.fullmatch(r"(?:[A-Z0-9]|premise: |sentence1?: ).*[.!]", paragraph), paragraph
        assert "  " not in paragraph
        assert "{" not in paragraph
    for sign in (*LINKS, "In other words", "premise: ", "sentence1: ", "sentence: ", " kind of "):
        assert any(sign in paragraph for paragraph in some), sign


def _all(kind, speaker, count=600):
    return [kind(speaker).text for _ in range(count)]


def test_arguments_and_restatements_are_english(is_english):
    speaker = Speaker(random.Random(0))
    for kind in (text.argument, text.restatement):
        for paragraph in _all(kind, speaker, 300):
            first, second = _sentences(paragraph)
            assert first != second
            assert is_english(first), first
            assert is_english(second), second


def test_the_taxonomy_is_true():
    speaker = Speaker(random.Random(0))
    denied = 0
    for said in " ".join(_all(text.taxonomy, speaker)).split(". "):
        words = re.findall(r"[a-z]+", said.lower())
        first, *_, last = [NOUNS[word] for word in words if word in NOUNS]
        named = [NOUNS[word] for word in words if word in NOUNS]
        if words[0] == "no":
            denied += 1
            assert not first.is_a(last), said
            assert not last.is_a(first), said
        else:
            assert all(noun.is_a(last) and noun != last for noun in named[:-1]), said
    assert denied > 50


def test_synonyms_mean_the_same():
    meanings = {verb.base: verb.meaning for verb in (*verbs(True), *verbs(False))}
    for family in ("animal", "person"):
        meanings.update({a.word: a.meaning for a in adjectives_of(family)})
    for said in _all(text.synonyms, Speaker(random.Random(0))):
        match = re.fullmatch(r"To (be )?(\w+) (?:is|means) to (be )?(\w+)\.", said)
        assert match, said
        assert match[1] == match[3]
        assert match[2] != match[4]
        assert meanings[match[2]] == meanings[match[4]]


def test_opinions_are_of_one_mind(sounds_positive):
    for said in _all(text.opinions, Speaker(random.Random(0))):
        *spoken, after = _sentences(said.removeprefix("sentence: "))
        minds = {sounds_positive(sentence) for sentence in spoken}
        assert minds == {after in text.AFTERWARDS[True]}, said


def test_comparisons_are_right():
    for said in _all(text.comparison, Speaker(random.Random(0))):
        words = re.findall(r"[a-z]+", said.lower())
        noun, like, unlike = [NOUNS[word] for word in words if word in NOUNS]
        degrees = re.findall("very much|a little|not at all", said)
        for other, degree in zip((like, unlike), degrees, strict=True):
            if degree == "very much":
                assert noun.parent == other.parent
            elif degree == "a little":
                assert noun.parent != other.parent
                assert noun.family == other.family
            else:
                assert noun.family != other.family
            assert noun != other


def test_counts_hold_numbers():
    found = _all(text.counts, Speaker(random.Random(0)))
    assert all(re.search(r"\d", said) for said in found)
    digits = set(re.findall(r"\d", " ".join(found)))
    assert digits == set("0123456789")
