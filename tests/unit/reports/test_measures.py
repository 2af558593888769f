"""Distributions, agreement, drift and calibration on data whose measures are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.reports.measures import agreement_of, calibration_of, distribution_of, drift_of


def normal(mean: float, rows: int = 4000, seed: int = 1) -> pa.Array:
    return pa.array(np.random.default_rng(seed).normal(mean, 1.0, rows))


def test_a_distribution_counts_nulls_and_nan_as_absent() -> None:
    found = distribution_of(pa.array([1.0, None, float("nan"), 3.0]))
    assert (found.rows, found.nulls, found.mean, found.minimum, found.maximum) == (4, 2, 2.0, 1.0, 3.0)
    assert found.quantiles[3] == 2.0
    assert distribution_of(pa.array([None, None], pa.float64())).mean is None
    assert distribution_of(pa.array(["b", "a", "b", None])).commonest == (("b", 2), ("a", 1))


def test_agreement_is_over_rows_with_both() -> None:
    found = agreement_of(pa.array([1.0, 2.0, 3.0, None]), pa.array([1.0, 3.0, 2.0, 4.0]))
    assert (found.pairs, found.equal, found.mean_difference) == (3, pytest.approx(1 / 3), 0.0)
    assert (found.mean_absolute_difference, found.largest_difference) == (pytest.approx(2 / 3), 1.0)
    assert [found.pearson, found.spearman] == pytest.approx([0.5, 0.5])
    assert agreement_of(pa.array(["a", "b", None]), pa.array(["a", "c", "d"])).equal == 0.5
    constant = agreement_of(pa.array([1.0, 1.0]), pa.array([1.0, 2.0]))
    assert constant.pearson is None and constant.equal == 0.5
    assert agreement_of(pa.array([None], pa.float64()), pa.array([1.0])).equal is None


def test_a_moved_population_has_drifted_and_the_same_has_not() -> None:
    same, moved = drift_of(normal(0), normal(0, seed=2)), drift_of(normal(0), normal(1))
    assert same.verdict == "stable" and same.ks_p_value is not None and same.ks_p_value > 0.01
    assert moved.verdict == "drifted" and moved.ks == pytest.approx(0.38, abs=0.04)
    text = drift_of(pa.array(["a"] * 90 + ["b"] * 10), pa.array(["a"] * 50 + ["b"] * 50))
    assert text.psi == pytest.approx((0.5 - 0.9) * np.log(0.5 / 0.9) + (0.5 - 0.1) * np.log(5), rel=1e-9)
    assert text.ks is None


def test_values_that_went_missing_are_drift() -> None:
    values = normal(0)
    holed = pa.array([None if number % 2 else value for number, value in enumerate(values.to_pylist())])
    assert drift_of(values, holed).verdict == "drifted"
    assert drift_of(holed, holed).psi == 0
    assert drift_of(values, pa.array([], pa.float64())).verdict == "unknown"


def test_a_calibrated_probability_lies_on_the_diagonal() -> None:
    random = np.random.default_rng(5)
    chance = random.random(20_000)
    label = pa.array((random.random(20_000) < chance).astype(np.int64))
    good, shifted = (calibration_of(pa.array(values), label) for values in (chance, chance / 2))
    assert good is not None and shifted is not None
    assert good.error < 0.02 < 0.2 < shifted.error
    assert good.brier < shifted.brier and good.brier < good.brier_of_base_rate
    assert good.auc == pytest.approx(shifted.auc) and sum(rows for _, _, rows in good.curve) == good.rows
    assert calibration_of(pa.array([None], pa.float64()), pa.array([1])) is None
    only = calibration_of(pa.array([0.5, 0.4]), pa.array([1, 1]))
    assert only is not None and only.auc is None


@given(st.lists(st.floats(0, 1) | st.none(), max_size=60), st.lists(st.floats(0, 1) | st.none(), max_size=60))
def test_any_two_populations_have_measures(left: list[Any], right: list[Any]) -> None:
    found = drift_of(pa.array(left, pa.float64()), pa.array(right, pa.float64()))
    assert found.psi is None or (found.psi >= 0 and np.isfinite(found.psi))
    labels = pa.array([1 if value and value > 0.5 else 0 for value in left], pa.int64())
    measured = calibration_of(pa.array(left, pa.float64()), labels)
    assert measured is None or sum(rows for _, _, rows in measured.curve) == measured.rows
