"""Bootstrap intervals, compared with the textbook formula."""

import math

import numpy as np
import pytest

from burstfix.evaluation.statistics import bootstrap


def test_bootstrap_when_groups_have_one_value_then_it_agrees_with_the_standard_error():
    values = np.random.default_rng(1).normal(30, 2, 60)
    found = bootstrap([[value] for value in values])
    error = values.std(ddof=1) / math.sqrt(60)
    assert found.mean == pytest.approx(values.mean())
    assert found.error == pytest.approx(error, rel=0.06)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error + 0.03)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error + 0.03)


def test_bootstrap_when_values_of_a_group_are_equal_then_only_groups_are_independent():
    few = bootstrap([[float(k)] * 50 for k in range(8)])
    assert few.error == pytest.approx(bootstrap([[float(k)] for k in range(8)]).error, rel=0.05)


def test_bootstrap_when_there_is_one_group_then_its_values_are_resampled():
    values = np.random.default_rng(2).normal(0, 1, 40).tolist()
    assert bootstrap([values]).error == pytest.approx(np.std(values) / math.sqrt(40), rel=0.06)


def test_bootstrap_when_groups_differ_in_size_then_each_has_the_same_weight():
    assert bootstrap([[30.0, 32.0], [40.0]]).mean == pytest.approx(35.5)


@pytest.mark.parametrize("groups", [[[3.0]], [[3.0], [math.inf]]])
def test_bootstrap_when_the_uncertainty_cannot_be_estimated_then_it_is_nan(groups):
    found = bootstrap(groups)
    assert math.isnan(found.low) and math.isnan(found.high) and math.isnan(found.error)
