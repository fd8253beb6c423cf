"""Small finite models of the demo world: individuals, events, and what a clause says of them.

Clauses are evaluated from their structure alone; monotonicity, `is_a` and `direction` play no part.
As in `meaning.py`: numbers say "at least", `some` at least two; two existential phrases are read
side by side, every member of either with one of the other; every noun phrase that is spoken of has
a member (`every dog`, `no dog`: there are dogs); one description has one bearer.
"""

from dataclasses import dataclass
from itertools import combinations, product

from compacter_cli.world.lexicon import NOUNS

COUNT = {"a": 1, "some": 2, "two": 2, "three": 3}
ABOVE = {}  # the family and the class of a kind, read from the lexicon's table
for _line in NOUNS.strip().splitlines():
    _names, _, _kinds = _line.partition(": ")
    for _kind in _kinds.replace("|", " ").split():
        ABOVE[_kind] = {_kind, *_names.split(" / ")}


@dataclass(frozen=True)
class Thing:
    """An individual: `traits` are the meanings of its adjectives."""

    number: int
    kind: str
    traits: frozenset
    name: str = ""

    def fits(self, phrase):
        if phrase.name:
            return self.name == phrase.name
        if phrase.noun.word not in ABOVE[self.kind]:
            return False
        return phrase.adjective is None or phrase.adjective.meaning in self.traits


class Model:
    """Things, bearers of definite descriptions, and events (what, when, who, whom, how)."""

    def __init__(self, things, bearers, events):
        self.things, self.bearers, self.events = things, bearers, events

    def under(self, phrase):
        """What a phrase quantifies over; the one bearer of a name or a description."""
        if phrase is None:
            return [None]
        if phrase.definite:
            return [self.bearers[described(phrase)]]
        return [thing for thing in self.things if thing.fits(phrase)]

    def did(self, clause, who, whom):
        return any(
            event[:4] == (clause.verb.meaning, clause.present, who, whom)
            and (not clause.adverb or clause.adverb in event[4])
            for event in self.events
        )

    def holds(self, clause):
        """Whether the clause is true here."""
        subjects, objects = self.under(clause.subject), self.under(clause.object)
        pairs = {
            (who, whom) for who, whom in product(subjects, objects) if self.did(clause, who, whom)
        }
        least = COUNT.get(clause.object.determiner, 1) if clause.object else 1

        def alone(who):
            return sum((who, whom) in pairs for whom in objects) >= least

        determiner = clause.subject.determiner
        if determiner in ("every", "all"):
            return all(map(alone, subjects))
        if determiner == "no":
            return not any(map(alone, subjects))
        if clause.subject.definite:
            return alone(subjects[0]) != clause.negated
        if clause.object is None or clause.object.definite:
            return sum(map(alone, subjects)) >= COUNT[determiner]
        return _side_by_side(pairs, COUNT[determiner], least)


def _side_by_side(pairs, many, more):
    """Whether `many` of one side and `more` of the other are all paired among themselves."""
    firsts, seconds = ({pair[side] for pair in pairs} for side in (0, 1))
    for some in combinations(sorted(firsts, key=repr), many):
        for others in combinations(sorted(seconds, key=repr), more):
            inside = [p for p in pairs if p[0] in some and p[1] in others]
            if {p[0] for p in inside} == set(some) and {p[1] for p in inside} == set(others):
                return True
    return False


def described(phrase):
    """What makes two definite phrases the same."""
    if phrase.name:
        return phrase.name
    return phrase.noun.word, phrase.adjective and phrase.adjective.meaning


def random_model(draw, premise, others=()):
    """A random model in which `premise` is true and everything spoken of exists.

    Of what need not be so, little, some or all is so: the extremes are what refutes most.
    """
    clauses = (premise, *others)
    phrases = [p for clause in clauses for p in (clause.subject, clause.object) if p]
    things, bearers = _population(draw, phrases)
    model = Model(things, bearers, set())
    density = draw.choice((0.0, 0.0, 0.3, 1.0))
    adverbs = sorted({clause.adverb for clause in clauses if clause.adverb})
    for clause, who, whom in product(clauses, things, things):
        if draw.random() < density:
            patient = whom if clause.object else None
            model.events.add(_event(draw, clause, who, patient, adverbs))
    _make_true(draw, model, premise)
    return model


def _population(draw, phrases):
    things, bearers = [], {}
    traits = sorted({p.adjective.meaning for p in phrases if p.adjective})
    for phrase in phrases:
        if phrase.definite and described(phrase) in bearers:
            continue
        few = 1 if phrase.definite else draw.randint(COUNT.get(phrase.determiner, 1), 3)
        for _ in range(few):
            things.append(_thing(draw, len(things), phrase, traits))
        if phrase.definite:
            bearers[described(phrase)] = things[-1]
    return things, bearers


def _thing(draw, number, phrase, traits):
    given = {trait for trait in traits if draw.random() < 0.4}
    above = "person" if phrase.name else phrase.noun.word
    kind = draw.choice([kind for kind in ABOVE if above in ABOVE[kind]])
    if not phrase.name and phrase.adjective:
        given.add(phrase.adjective.meaning)
    return Thing(number, kind, frozenset(given), phrase.name)


def _event(draw, clause, who, whom, adverbs, wanted=()):
    how = frozenset(adverb for adverb in adverbs if draw.random() < 0.4) | frozenset(wanted)
    return clause.verb.meaning, clause.present, who, whom, how


def _make_true(draw, model, clause):
    """Add the events that the clause asks for, or take away those that it rules out."""
    subjects, objects = model.under(clause.subject), model.under(clause.object)
    if clause.negated or clause.subject.determiner == "no":
        model.events = {
            event
            for event in model.events
            if not (
                event[:2] == (clause.verb.meaning, clause.present)
                and event[2] in subjects
                and event[3] in objects
                and (not clause.adverb or clause.adverb in event[4])
            )
        }
        return
    for who, whom in _needed(draw, clause, subjects, objects):
        model.events.add(_event(draw, clause, who, whom, (), {clause.adverb} - {""}))


def _needed(draw, clause, subjects, objects):
    """Pairs of which the clause says that they did it, no more of them than it takes."""
    least = COUNT.get(clause.object.determiner, 1) if clause.object else 1
    if clause.subject.determiner in ("every", "all"):
        return [(who, whom) for who in subjects for whom in draw.sample(objects, least)]
    some = draw.sample(subjects, COUNT.get(clause.subject.determiner, 1))
    others = draw.sample(objects, least)
    if draw.random() < 0.5:  # each of them his own, as far as it goes
        return [(who, draw.choice(others)) for who in some] + [
            (draw.choice(some), whom) for whom in others
        ]
    return list(product(some, others))
