import math

import pytest

from selfalign.evaluation.intervals import bootstrap, wilson


@pytest.mark.parametrize(("passed", "problems"), [(119, 164), (1, 10), (5, 10), (400, 460)])
def test_wilson_bounds_are_where_the_score_test_just_rejects(passed, problems):
    for bound in wilson(passed, problems):
        assert abs(passed / problems - bound) / math.sqrt(bound * (1 - bound) / problems) == pytest.approx(1.96, abs=0.001)


def test_wilson_stays_within_0_and_1():
    assert wilson(0, 20)[0] == 0.0 and 0.1 < wilson(0, 20)[1] < 0.2
    assert wilson(20, 20)[1] == 1.0 and 0.8 < wilson(20, 20)[0] < 0.9


def test_bootstrap_is_about_two_standard_errors_and_the_same_every_time():
    rates = [0.0, 1.0] * 200
    low, high = bootstrap(rates)
    assert (low, high) == bootstrap(rates)
    assert low == pytest.approx(0.5 - 1.96 * 0.5 / 20, abs=0.005) and high == pytest.approx(0.5 + 1.96 * 0.5 / 20, abs=0.005)
    assert bootstrap([0.25] * 10) == (0.25, 0.25)
