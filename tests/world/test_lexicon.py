"""The lexicon: forms by hand, the taxonomy, synonyms, and words held out."""

from collections import Counter

import pytest

from compacter_cli.world.lexicon import adjectives_of, nouns, nouns_of, verbs

NOUNS = {noun.word: noun for noun in nouns()}
VERBS = {verb.base: verb for verb in (*verbs(True), *verbs(False))}
FAMILIES = ("animal", "person", "food", "plant", "vehicle", "object")


@pytest.mark.parametrize(
    ("singular", "plural"),
    [
        ("poodle", "poodles"),
        ("bee", "bees"),
        ("cherry", "cherries"),
        ("ferry", "ferries"),
        ("lily", "lilies"),
        ("kayak", "kayaks"),
        ("radish", "radishes"),
        ("wrench", "wrenches"),
        ("canoe", "canoes"),
        ("taxi", "taxis"),
        ("mango", "mangos"),
        ("piano", "pianos"),
        ("person", "persons"),
    ],
)
def test_plurals_by_hand(singular, plural):
    assert NOUNS[singular].plural == plural


@pytest.mark.parametrize(
    "forms",
    [
        ("chase", "chases", "chased", "chased"),
        ("touch", "touches", "touched", "touched"),
        ("carry", "carries", "carried", "carried"),
        ("buy", "buys", "bought", "bought"),
        ("fix", "fixes", "fixed", "fixed"),
        ("own", "owns", "owned", "owned"),
        ("visit", "visits", "visited", "visited"),
        ("photograph", "photographs", "photographed", "photographed"),
        ("see", "sees", "saw", "seen"),
        ("teach", "teaches", "taught", "taught"),
        ("hide", "hides", "hid", "hidden"),
        ("steal", "steals", "stole", "stolen"),
        ("break", "breaks", "broke", "broken"),
        ("draw", "draws", "drew", "drawn"),
        ("eat", "eats", "ate", "eaten"),
        ("run", "runs", "ran", "run"),
        ("quit", "quits", "quit", "quit"),
        ("vanish", "vanishes", "vanished", "vanished"),
    ],
    ids=lambda forms: forms[0],
)
def test_verb_forms_by_hand(forms):
    verb = VERBS[forms[0]]
    assert (verb.base, verb.third_person, verb.past, verb.participle) == forms


def test_the_taxonomy_has_three_levels():
    assert Counter(noun.level for noun in nouns()) == {0: 6, 1: 20, 2: 100}
    assert {noun.word for noun in nouns() if noun.level == 0} == set(FAMILIES)
    assert len(NOUNS) == len(nouns())
    for noun in nouns():
        assert (noun.parent is None) == (noun.level == 0)
        assert noun.family.level == 0


def test_what_is_what():
    poodle, dog, animal, bird = (NOUNS[word] for word in ("poodle", "dog", "animal", "bird"))
    assert poodle.is_a(poodle)
    assert poodle.is_a(dog)
    assert poodle.is_a(animal)
    assert not animal.is_a(dog)
    assert not dog.is_a(poodle)
    assert not poodle.is_a(bird)
    assert poodle.family == dog.family == animal.family == animal


def test_two_kinds_of_every_class_are_shown_and_three_held_out():
    for class_ in (noun for noun in nouns() if noun.level == 1):
        below = [noun for noun in nouns() if noun.parent == class_]
        assert Counter(noun.held_out for noun in below) == {False: 2, True: 3}, class_.word
    assert not any(noun.held_out for noun in nouns() if noun.level < 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_nouns_of_a_family_by_level_and_side(family):
    expected = {noun for noun in nouns() if noun.family.word == family}
    assert set(nouns_of(family)) == expected
    for level in (0, 1, 2):
        assert set(nouns_of(family, level)) == {n for n in expected if n.level == level}
    shown, held_out = nouns_of(family, 2, False), nouns_of(family, 2, True)
    assert set(shown) | set(held_out) == set(nouns_of(family, 2))
    assert not set(shown) & set(held_out)


def test_no_word_has_two_meanings():
    """A form is one verb's, one noun's or one adjective's; the tool `saw` is the exception."""
    words = [noun.word for noun in nouns()] + [noun.plural for noun in nouns()]
    words += list({a.word for family in FAMILIES for a in adjectives_of(family)})
    for verb in VERBS.values():
        words += {verb.base, verb.third_person, verb.past, verb.participle}
    assert [word for word, count in Counter(words).items() if count > 1] == ["saw"]


def test_synonyms_do_the_same_to_the_same():
    assert len(VERBS) == len(verbs(True)) + len(verbs(False))
    for verb in VERBS.values():
        twins = [other for other in VERBS.values() if other.meaning == verb.meaning]
        assert verb in twins
        assert {(t.subjects, t.objects) for t in twins} == {(verb.subjects, verb.objects)}
    assert {v.base for v in VERBS.values() if v.meaning == "quit" or v.meaning == "resign"} == {
        "quit",
        "resign",
    }


def test_adjectives_fit_their_families():
    words = {family: {a.word for a in adjectives_of(family)} for family in FAMILIES}
    assert "red" in words["plant"]
    assert "red" not in words["person"]
    assert "rich" in words["person"]
    assert "rich" not in words["animal"]
    assert {"big", "large"} <= set.intersection(*words.values())
    meaning = {a.word: a.meaning for a in adjectives_of("person")}
    assert meaning["large"] == meaning["big"] != meaning["small"] == meaning["little"]
