"""Two numbers for how far a column has moved, checked by hand, by NumPy's own counting and by their laws."""

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.drift import (
    Drift,
    _by_range,
    drift_of,
    drifts,
    jensen_shannon_distance,
    population_stability_index,
)
from contract.facts import Category, ColumnFacts, Histogram
from training_export.column_series import Spread

COUNTS = st.lists(st.integers(0, 1000), min_size=3, max_size=3).filter(any)


def categorical(counts: dict[str, int], **facts: Any) -> ColumnFacts:
    seen = tuple(Category(value=value, count=count) for value, count in counts.items())
    return ColumnFacts(name="City", type="string", categories=seen, **({"empties": 0} | facts))


def numeric(values: Sequence[float], **facts: Any) -> ColumnFacts:
    spread = Spread()
    spread.add(np.array(values))
    return ColumnFacts(name="Age", type="number", histogram=spread.histogram(), **({"empties": 0} | facts))


def normal(mean: float, deviation: float, count: int = 5000, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(mean, deviation) for _ in range(count)]


def test_both_numbers_are_what_they_are_by_hand() -> None:
    # (0.8-0.2)·ln(0.8/0.2) twice over, with half a row on 20 and on 80 of 100.
    before, after = 20.5 / 101, 80.5 / 101
    assert population_stability_index([20, 80], [80, 20]) == pytest.approx(
        2 * (after - before) * math.log(after / before)
    )
    # Half of one sample lies where the other has nothing: 1 - ¾·log₂3 + ½ … of two halves.
    divergence = 0.5 * (0.5 * math.log2(0.5 / 0.75) + 0.5 * 1) + 0.5 * math.log2(1 / 0.75)
    assert jensen_shannon_distance([1, 1], [2, 0]) == pytest.approx(math.sqrt(divergence))
    assert jensen_shannon_distance([5, 0], [0, 9]) == 1


@given(COUNTS, COUNTS)
def test_the_same_shares_are_no_drift_and_both_numbers_are_symmetric(old: list[int], new: list[int]) -> None:
    assert jensen_shannon_distance(old, [7 * count for count in old]) == pytest.approx(0, abs=1e-6)
    assert population_stability_index(old, old) == 0
    assert population_stability_index(old, new) >= 0
    assert population_stability_index(old, new) == pytest.approx(population_stability_index(new, old))
    assert 0 <= jensen_shannon_distance(old, new) <= 1 + 1e-12
    assert jensen_shannon_distance(old, new) == pytest.approx(jensen_shannon_distance(new, old))


def test_categories_come_gone_rare_and_empty_all_count() -> None:
    before = categorical({"Oslo": 60, "Bergen": 40})
    for after in (
        categorical({"Oslo": 60, "Narvik": 40}),
        categorical({"Oslo": 60}, rare=40),
        categorical({"Oslo": 60}, empties=40),
    ):
        drift = drift_of(before, after)
        assert drift
        assert drift.population_stability_index > 1
        assert drift.jensen_shannon_distance == pytest.approx(math.sqrt(0.4), abs=1e-4)


def test_samples_of_one_distribution_hardly_drift_though_their_bins_differ_in_width() -> None:
    old, new = numeric(normal(50, 10)), numeric([*normal(50, 10, seed=2), 5000.0])
    assert old.histogram
    assert new.histogram
    widths = {h.edges[1] - h.edges[0] for h in (old.histogram, new.histogram)}
    assert len(widths) == 2
    drift = drift_of(old, new)
    assert drift
    assert drift.population_stability_index < 0.01


def test_the_farther_a_distribution_moves_the_larger_both_numbers() -> None:
    old = numeric(normal(50, 10))
    moved = [drift_of(old, numeric(normal(50 + by, 10, seed=3))) for by in (0, 3, 8, 200)]
    indices = [drift.population_stability_index for drift in moved if drift]
    distances = [drift.jensen_shannon_distance for drift in moved if drift]
    assert indices == sorted(indices)
    assert distances == sorted(distances)
    assert indices[0] < 0.02 < 0.05 < indices[1] < 0.25 < indices[2]
    assert distances[3] == pytest.approx(1)


def test_one_value_alone_and_values_beyond_all_that_was_seen_are_told_apart() -> None:
    one = numeric([5.0] * 100)
    same, other = drift_of(one, one), drift_of(one, numeric([7.0] * 100))
    assert same
    assert other
    assert same == Drift("Age", 0, 0)
    assert other.jensen_shannon_distance == 1


@given(st.lists(st.integers(-50, 50), min_size=1), st.lists(st.integers(-50, 50), min_size=1))
def test_no_row_is_lost_or_invented_between_two_histograms(old: list[int], new: list[int]) -> None:
    before, after = numeric(old), numeric(new)
    assert before.histogram
    assert after.histogram
    bins = _by_range(before.histogram, after.histogram)
    assert [sum(counts) for counts in zip(*bins, strict=True)] == [len(old), len(new)]
    same = drift_of(before, before)
    assert same
    assert same == Drift("Age", 0, 0)


def test_what_cannot_be_compared_is_left_out_and_the_farthest_moved_comes_first() -> None:
    city, age = categorical({"Oslo": 60, "Bergen": 40}), numeric(normal(50, 10))
    retyped = ColumnFacts(name="Zip", type="string", empties=0)
    old = [city, age, retyped, ColumnFacts(name="_id", type="string", empties=0)]
    new = [
        numeric(normal(90, 10)),
        categorical({"Oslo": 59, "Bergen": 41}),
        ColumnFacts(name="Zip", type="integer", empties=0),
        ColumnFacts(name="New", type="integer", empties=0),
        ColumnFacts(name="_id", type="string", empties=0),
    ]
    assert [drift.column for drift in drifts(old, new)] == ["Age", "City"]


def test_a_histogram_without_rows_is_nothing_to_compare() -> None:
    nothing = ColumnFacts(
        name="Age", type="number", empties=0, histogram=Histogram(edges=(0.0, 1.0), counts=(0,))
    )
    assert drift_of(nothing, nothing) is None
