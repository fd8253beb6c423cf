"""What is said of pairs, and below the table of them."""

import pytest

from compacter_cli.reports.pairs import Compared, Pair
from compacter_cli.reports.resampling import Interval, McNemar
from compacter_cli.reports.verdicts import conclusions, table_of_tests, verdict


def pair(compared=1, p=0.01, resamples=10_000, **intervals):
    found = {name: Interval(*values) for name, values in intervals.items()}
    return Pair("A", "B", found, McNemar(1, 2, p), resamples, compared)


@pytest.mark.parametrize(
    ("compared", "level", "p"),
    [(1, 95.0, 0.01), (2, 97.5, 0.02), (50, 99.9, 0.5), (435, 100 - 5 / 435, 1.0)],
)
def test_level_and_p_are_corrected_by_bonferroni(compared, level, p):
    found = pair(compared)
    assert found.level == pytest.approx(level)
    assert found.p == pytest.approx(p)


def test_a_verdict_names_its_level_its_p_and_which_mean():
    found = pair(2, accuracy=(1, 0, 2), f1=(3, 1, 5), mean=(2, 0.5, 3.5))
    assert verdict(found) == (
        "B scores 2.00 above A by the mean of accuracy and f1 (97.5 % interval +0.50 to +3.50, "
        "McNemar p = 0.02): more than the noise of the test rows"
    )


@pytest.mark.parametrize(("compared", "resamples", "said"), [(435, 10_000, 1), (30, 10_000, 0)])
def test_too_few_resamples_for_so_high_a_level_are_told(compared, resamples, said):
    notes = table_of_tests([pair(compared, resamples=resamples, accuracy=(1, 0, 2))]).notes
    assert sum("whole range of its resamples" in note for note in notes) == said


def test_one_pair_needs_no_correction():
    said = list(conclusions(Compared((pair(accuracy=(1, 0, 2)),), ())))
    assert not any("Bonferroni" in line for line in said)
