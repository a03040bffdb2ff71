"""What accumulates of numbers, of times, or of the lengths of texts: range, histogram, moments. Pure."""

import math
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from contract.facts import ColumnType, Histogram
from contract.values import LARGEST_EXACT, moment
from training_export.cells import Cells, Places
from training_export.column_values import Values

MOST_BINS = 64
LARGEST = sys.float_info.max

type Weights = NDArray[np.int64]


class Spread:
    """Lowest, highest, and a histogram whose bins double their width as the range grows."""

    def __init__(self, smallest_step: float = 0) -> None:
        self.low: float | None = None
        self.high: float | None = None
        self._step: float = smallest_step
        self._bins: Counter[int] = Counter()

    def add(self, values: Values, weights: Weights | None = None) -> None:
        """Take values in any order, each once or so many times."""
        if not len(values):
            return
        if values.dtype == np.float64:
            # Of integers that were followed by numbers: as an integer it would grow beyond the doubles.
            self._step = float(self._step)
        low, high = values.min().item() + 0, values.max().item() + 0  # -0.0 is 0.0
        self._reach(low, high)
        bins = _bins(values, self._step, low)
        first = int(bins.min())
        bins -= first
        for bin_, count in enumerate(np.bincount(bins, weights).tolist(), first):
            if count:
                self._bins[bin_] += int(count)

    def histogram(self) -> Histogram:
        """Give the bins, empty ones between them included."""
        if self.low is None or self.high is None or self.low == self.high:
            edge = float(self.low or 0)
            return Histogram(edges=(edge, edge), counts=(self._bins.total(),))
        first, last = min(self._bins), max(self._bins)
        edges = [float(bin_ * self._step) for bin_ in range(first, last + 2)]
        # The outermost edges can lie beyond what a double holds.
        edges[0], edges[-1] = max(edges[0], -LARGEST), min(edges[-1], LARGEST)
        return Histogram(
            edges=tuple(edges), counts=tuple(self._bins[bin_] for bin_ in range(first, last + 1))
        )

    def _reach(self, low: float, high: float) -> None:
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)
        if not self._step:
            self._step = _power_of_two(self.low, self.high)
        while _too_fine(self._step, self.low, self.high):
            self._step *= 2
            halved: Counter[int] = Counter()
            for bin_, count in self._bins.items():
                halved[bin_ >> 1] += count
            self._bins = halved


def _bins(values: Values, step: float, low: float) -> NDArray[np.int64]:
    """Give the bin of each value: itself over the step, a power of two, rounded down. The lowest is `low`."""
    if values.dtype == np.int64:
        return values.astype(np.int64, copy=False) >> (int(step).bit_length() - 1)
    bins = values / step
    if low >= 0:
        return bins.astype(np.int64)
    np.floor(bins, out=bins)
    # What is so small that the quotient is nothing still lies below 0.
    bins -= (values < 0) & (bins == 0)
    return bins.astype(np.int64)


def _too_fine(step: float, low: float, high: float) -> bool:
    """Say whether bins so narrow are too many, or more than a double can count."""
    first, last = low // step, high // step
    return math.isinf(first) or math.isinf(last) or last - first >= MOST_BINS


def _power_of_two(low: float, high: float) -> float:
    """Give the first width of a bin: fine enough for the range, never finer than a double can tell."""
    span = high / MOST_BINS - low / MOST_BINS
    finest = max(abs(low), abs(high)) * 2.0**-50
    return 2.0 ** max(math.frexp(max(span, finest))[1], -1000)


class Series:
    """A column of numbers or times: its range, histogram, and for numbers mean and deviation."""

    def __init__(self, kind: ColumnType) -> None:
        self.kind = kind
        self._spread = Spread(smallest_step=1 if kind == "integer" else 0)
        self._moments = _Moments()
        self._first = ""
        self._last = ""

    def add(self, cells: Cells, values: Values, weights: Weights | None = None) -> None:
        """Take cells together with their values, each once or so many times."""
        if self.kind in ("date", "datetime"):
            self._note_times(cells, values)
        else:
            self._moments.add(values.astype(np.float64, copy=False), weights)
        self._spread.add(values, weights)

    def widened(self) -> Self | None:
        """Give the series as numbers, where its integers all are such; None where it can only be text."""
        low, high = self._spread.low, self._spread.high
        if self.kind != "integer" or low is None or high is None or max(-low, high) > LARGEST_EXACT:
            return None
        self.kind = "number"
        return self

    def facts(self) -> dict[str, Any]:
        """Give what a manifest tells of it."""
        told: dict[str, Any] = {"histogram": self._spread.histogram()}
        if self.kind in ("date", "datetime"):
            return told | {"minimum": self._first, "maximum": self._last}
        low, high = self._spread.low, self._spread.high
        if self.kind == "number" and low is not None and high is not None:
            low, high = float(low), float(high)
        return told | {"minimum": low, "maximum": high} | self._moments.facts()

    def _note_times(self, cells: Cells, values: Values) -> None:
        # A double of seconds blurs the ninth digit: among equals the text decides.
        low, high = values.min(), values.max()
        if self._spread.low is None or low <= self._spread.low:
            near = self._canonical(cells, np.flatnonzero(values == low))
            self._first = min([*filter(None, [self._first]), *near], key=_as_order)
        if self._spread.high is None or high >= self._spread.high:
            near = self._canonical(cells, np.flatnonzero(values == high))
            self._last = max([*filter(None, [self._last]), *near], key=_as_order)

    def _canonical(self, cells: Cells, which: Places) -> Iterable[str]:
        texts = set(cells.some(which).texts())
        return texts if self.kind == "date" else [moment(text) or text for text in texts]


def _as_order(canonical: str) -> str:
    return canonical.removesuffix("Z")


class _Moments:
    """Mean and deviation, merged batch by batch so that nothing cancels (Chan, Golub and LeVeque)."""

    def __init__(self) -> None:
        self._n = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, values: NDArray[np.float64], weights: Weights | None) -> None:
        n = len(values) if weights is None else int(weights.sum())
        if not n:
            return
        # Values near the end of the doubles have sums and squares beyond it.
        with np.errstate(over="ignore", invalid="ignore"):
            mean = _mean(values, weights, n)
            about_mean = (values - mean) ** 2
            squares = float((about_mean if weights is None else about_mean * weights).sum())
        self._merge(n, mean, squares)

    def facts(self) -> dict[str, Any]:
        if not self._n:
            return {}
        deviation = math.sqrt(self._squares / (self._n - 1)) if self._n > 1 else math.inf
        return {"mean": self._mean} | ({"deviation": deviation} if math.isfinite(deviation) else {})

    def _merge(self, n: int, mean: float, squares: float) -> None:
        total = self._n + n
        delta = mean - self._mean if self._n else mean
        self._squares += squares + (delta * delta * self._n * n / total if self._n else 0.0)
        if math.isfinite(delta):
            self._mean += delta * (n / total)
        else:  # the ends of the doubles, of both signs
            self._mean = self._mean * (self._n / total) + mean * (n / total)
        self._n = total


def _mean(values: NDArray[np.float64], weights: Weights | None, n: int) -> float:
    mean = float(values.sum() if weights is None else (values * weights).sum()) / n
    if math.isfinite(mean):
        return mean
    shares = values / n
    mean = float(shares.sum() if weights is None else (shares * weights).sum())
    # Rounded shares can sum up to a little more than there is.
    return min(max(mean, float(values.min())), float(values.max()))
