"""What the reports measure: distributions, agreement, drift, calibration. NumPy, SciPy and scikit-learn do the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

__all__ = [
    "QUANTILES",
    "Agreement",
    "Calibration",
    "Distribution",
    "Drift",
    "Values",
    "agreement_of",
    "calibration_of",
    "distribution_of",
    "drift_of",
    "is_numeric",
    "numbers_of",
]

Values: TypeAlias = "pa.Array[Any] | pa.ChunkedArray[Any]"

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BINS = 10
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Of numbers: moments and ``quantiles`` (1, 5, 25, 50, 75, 95, 99 %). Of other values: the commonest ones."""

    rows: int
    nulls: int
    mean: float | None = None
    standard_deviation: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    quantiles: tuple[float, ...] = ()
    commonest: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Two series of values for the same rows; ``equal`` is the share that is equal, numbers to 1e-6 relative."""

    pairs: int
    equal: float | None
    mean_difference: float | None = None
    mean_absolute_difference: float | None = None
    largest_difference: float | None = None
    pearson: float | None = None
    spearman: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far values lie from a reference: population stability index over the reference's deciles, and for numbers
    the Kolmogorov-Smirnov statistic with its p-value."""

    reference_rows: int
    rows: int
    psi: float | None
    ks: float | None = None
    ks_p_value: float | None = None

    @property
    def verdict(self) -> str:
        """The usual reading of the index: below 0.1 stable, up to 0.25 moved, above it drifted."""
        if self.psi is None:
            return "unknown"
        return "stable" if self.psi < 0.1 else "moved" if self.psi < 0.25 else "drifted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A probability against what came: ``curve`` has (mean predicted, share that came true, rows) for each tenth."""

    rows: int
    positives: float
    brier: float
    brier_of_base_rate: float
    log_loss: float
    auc: float | None
    error: float
    curve: tuple[tuple[float, float, int], ...]


def is_numeric(values: Values) -> bool:
    """Say whether these are numbers, to be measured as such."""
    kind = values.type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def numbers_of(values: Values) -> np.ndarray[Any, Any]:
    """Give numbers as float64, NaN for null."""
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def distribution_of(values: Values) -> Distribution:
    """Describe a series."""
    rows = len(values)
    if not is_numeric(values):
        common = Counter(sorted(str(value) for value in values.drop_null().to_pylist())).most_common(_BINS)
        return Distribution(rows=rows, nulls=values.null_count, commonest=tuple(common))
    numbers = numbers_of(values)
    present = numbers[~np.isnan(numbers)]
    if not len(present):
        return Distribution(rows=rows, nulls=rows)
    return Distribution(
        rows=rows,
        nulls=rows - len(present),
        mean=float(present.mean()),
        standard_deviation=float(present.std()),
        minimum=float(present.min()),
        maximum=float(present.max()),
        quantiles=tuple(np.quantile(present, QUANTILES).tolist()),
    )


def agreement_of(old: Values, new: Values) -> Agreement:
    """Compare two series row by row, where both have a value."""
    if not (is_numeric(old) and is_numeric(new)):
        pairs = [
            (a, b) for a, b in zip(old.to_pylist(), new.to_pylist(), strict=True) if a is not None and b is not None
        ]
        return Agreement(pairs=len(pairs), equal=float(np.mean([a == b for a, b in pairs])) if pairs else None)
    left, right = numbers_of(old), numbers_of(new)
    both = ~np.isnan(left) & ~np.isnan(right)
    left, right = left[both], right[both]
    if not len(left):
        return Agreement(pairs=0, equal=None)
    difference = right - left
    return Agreement(
        pairs=len(left),
        equal=float(np.isclose(left, right, rtol=_TOLERANCE, atol=0.0).mean()),
        mean_difference=float(difference.mean()),
        mean_absolute_difference=float(np.abs(difference).mean()),
        largest_difference=float(np.abs(difference).max()),
        pearson=_correlation("pearsonr", left, right),
        spearman=_correlation("spearmanr", left, right),
    )


def drift_of(reference: Values, values: Values) -> Drift:
    """Compare two populations; null is a class of its own in the index."""
    shares = _shares(reference, values)
    psi = None if shares is None else float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
    if not (is_numeric(reference) and is_numeric(values)):
        return Drift(reference_rows=len(reference), rows=len(values), psi=psi)
    from scipy.stats import ks_2samp

    left, right = (series[~np.isnan(series)] for series in (numbers_of(reference), numbers_of(values)))
    tested = ks_2samp(left, right, method="asymp") if min(len(left), len(right)) > 1 else None
    return Drift(
        reference_rows=len(reference),
        rows=len(values),
        psi=psi,
        ks=None if tested is None else float(tested.statistic),
        ks_p_value=None if tested is None else float(tested.pvalue),
    )


def calibration_of(probability: Values, label: Values) -> Calibration | None:
    """Hold probabilities against labels (0 and 1, or bool) where both are known; None where no row has both."""
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    predicted, came = numbers_of(probability), numbers_of(label)
    known = ~np.isnan(predicted) & ~np.isnan(came)
    predicted, came = predicted[known], came[known]
    if not len(predicted):
        return None
    base = float(came.mean())
    curve = _curve(predicted, came)
    return Calibration(
        rows=len(predicted),
        positives=base,
        brier=float(brier_score_loss(came, predicted)),
        brier_of_base_rate=float(brier_score_loss(came, np.full(len(came), base))),
        log_loss=float(log_loss(came, predicted, labels=[0, 1])),
        auc=float(roc_auc_score(came, predicted)) if 0 < base < 1 else None,
        error=float(sum(rows * abs(mean - share) for mean, share, rows in curve) / len(predicted)),
        curve=curve,
    )


def _curve(predicted: np.ndarray[Any, Any], came: np.ndarray[Any, Any]) -> tuple[tuple[float, float, int], ...]:
    """Cut the rows into tenths by what was predicted, as scikit-learn's calibration_curve does, with their sizes."""
    from sklearn.calibration import calibration_curve

    shares, means = calibration_curve(came, predicted, n_bins=_BINS, strategy="quantile")
    edges = np.quantile(predicted, np.linspace(0, 1, _BINS + 1))
    places = np.searchsorted(edges[1:-1], predicted)
    sizes = np.bincount(places, minlength=_BINS)
    sizes = sizes[sizes > 0]
    return tuple(zip(means.tolist(), shares.tolist(), sizes.tolist(), strict=True))


def _correlation(name: str, left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> float | None:
    if len(left) < 2 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return None
    from scipy import stats

    return float(getattr(stats, name)(left, right).statistic)


def _shares(reference: Values, values: Values) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    """Give the share of each class in both populations; an empty class counts as half a row."""
    if not len(reference) or not len(values):
        return None
    if is_numeric(reference) and is_numeric(values):
        left, right = numbers_of(reference), numbers_of(values)
        present = left[~np.isnan(left)]
        edges: Any = np.unique(np.quantile(present, np.linspace(0, 1, _BINS + 1)))[1:-1] if len(present) else []
        counts = [_binned(series, edges) for series in (left, right)]
    else:
        items = [[str(item) for item in series.to_pylist()] for series in (reference, values)]
        counts = [_counted(series, sorted({*items[0], *items[1]})) for series in items]
    shares = [np.maximum(count, 0.5) / count.sum() for count in counts if count.sum()]
    occupied = (counts[0] > 0) | (counts[1] > 0)
    return shares[0][occupied], shares[1][occupied]


def _binned(series: np.ndarray[Any, Any], edges: Sequence[float]) -> np.ndarray[Any, Any]:
    missing = np.isnan(series)
    places = np.searchsorted(np.asarray(edges), series[~missing], side="right")
    return np.append(np.bincount(places, minlength=len(edges) + 1), missing.sum()).astype(np.float64)


def _counted(series: Sequence[str], classes: Sequence[str]) -> np.ndarray[Any, Any]:
    place = {name: number for number, name in enumerate(classes)}
    return np.bincount([place[item] for item in series], minlength=len(classes)).astype(np.float64)
