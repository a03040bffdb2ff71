"""How far features have moved, in numbers that know chance and in words a person can act on."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.drift import drift_of
from contract.facts import ColumnFacts
from contract.moved import Moved, index_by_chance, moved
from contract.seen import SeenColumn, Tally
from training_export.cells import Cells
from training_export.column_facts import ColumnScan


def facts_of(cells: Sequence[str]) -> ColumnFacts:
    column = ColumnScan("Income")
    column.add(Cells.of(list(cells)))
    return column.facts()


def told(taught: ColumnFacts, values: Sequence[Any], rows: int = 0) -> Moved:
    tally = Tally([taught])
    tally.add([[value] for value in values], 0)
    found = moved(taught, rows, tally.columns()[0])
    assert found
    return found


def normal(mean: float, count: int, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(mean, 10) for _ in range(count)]


TAUGHT = facts_of([repr(value) for value in normal(50, 4000, 1)])
PLACES = facts_of(["Oslo"] * 600 + ["Bergen"] * 300 + ["Bodø"] * 100)


def test_the_same_distribution_has_not_moved() -> None:
    same = told(TAUGHT, normal(50, 4000, 2))
    assert same.moved == "little"
    assert same.told == ()
    assert same.population_stability_index < same.by_chance < 0.01
    assert same.seen == 4000


@pytest.mark.parametrize(("mean", "how"), [(50.5, "little"), (54, "somewhat"), (60, "much")])
def test_a_shift_is_told_by_its_size(mean: float, how: str) -> None:
    found = told(TAUGHT, normal(mean, 4000, 3))
    assert found.moved == how
    assert bool(found.told) is (how != "little")
    assert all(each.startswith(f"Income has moved {how}: ") for each in found.told[:1])


@pytest.mark.parametrize("count", [5, 20, 100])
def test_what_chance_alone_does_to_a_small_sample_is_not_called_moved(count: int) -> None:
    found = [told(TAUGHT, normal(50, count, seed)) for seed in range(40)]
    assert max(each.population_stability_index for each in found) > 0.1
    assert sum(each.moved != "little" for each in found) <= 5
    assert told(TAUGHT, normal(90, count, 1)).moved == "much"


@pytest.mark.parametrize(("freedom", "percentile"), [(1, 3.84), (2, 5.99), (9, 16.92), (30, 43.77)])
def test_the_index_by_chance_is_chi_squareds_95th_percentile(freedom: int, percentile: float) -> None:
    assert index_by_chance(freedom + 1, 2, 2) == pytest.approx(percentile, rel=0.03)
    assert index_by_chance(1, 2, 2) == 0


def test_values_beyond_the_version_are_told_with_its_end() -> None:
    taught = facts_of([str(n) for n in range(18, 91)])
    found = told(taught, [*range(18, 91), *[95] * 30])
    assert found.told[0] == "Income has moved much: 29.1% lie above 90, in training 0.0%"
    lower = told(taught, [*range(18, 91), 17])
    assert lower.told == ("Income: 1 of 74 lie below 18, in training none",)


def test_new_categories_and_nulls_are_told() -> None:
    found = told(PLACES, ["Oslo"] * 600 + ["Bergen"] * 300 + ["Narvik"] * 10 + ["Bodø"] * 89 + [None])
    assert found.moved == "little"
    assert found.told == (
        "Income: 10 of 1000 are new categories, in training none",
        "Income: 1 of 1000 are null, in training none",
    )
    many = told(PLACES, ["Oslo"] * 600 + ["Bergen"] * 300 + ["Narvik"] * 100)
    assert many.told == ("Income has moved much: 10.0% are new categories, in training 0.0%",)
    few = told(PLACES, ["Oslo"] * 600 + ["Bergen"] * 300 + ["Bodø"] * 95 + ["Narvik"] * 5)
    assert few.told == ()


def test_a_category_that_took_over_is_named_with_both_shares() -> None:
    found = told(PLACES, ["Bodø"] * 900 + ["Oslo"] * 100)
    assert found.told == ("Income has moved much: 90.0% are Bodø, in training 10.0%",)
    assert found.jensen_shannon_distance > 0.5


def test_rare_values_of_training_are_not_called_new() -> None:
    taught = facts_of(["Oslo"] * 600 + ["Bergen"] * 300 + ["Narvik"] * 3)
    found = told(taught, ["Oslo"] * 60 + ["Narvik"] * 40)
    assert found.told[0].startswith(
        "Income has moved much: 40.0% are of rare or new categories, in training 0.3%"
    )


def test_text_is_told_by_its_length_and_a_column_without_facts_by_its_nulls() -> None:
    texts = facts_of(["x" * n for n in range(1, 400)])
    assert "are longer than 399 characters" in told(texts, ["x" * 500] * 50).told[0]
    assert "characters long" in told(texts, ["x" * 2] * 50).told[0]
    unknown = ColumnFacts(name="Income", type="string", empties=10)
    assert told(unknown, [None] * 90 + ["a"] * 10, rows=100).told == (
        "Income has moved much: 90.0% are null, in training 10.0%",
    )


def test_dates_are_told_as_dates() -> None:
    taught = facts_of([f"2020-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 28)])
    assert told(taught, ["2026-01-01"] * 50).told[0] == (
        "Income has moved much: 100.0% lie above 2020-12-27, in training 0.0%"
    )
    assert "lie from 2020-" in told(taught, ["2020-06-15"] * 50).told[0]


def test_of_nothing_nothing_is_said() -> None:
    nothing = SeenColumn(name="Income", counts=(0, 0, 0))
    assert moved(PLACES, 1000, nothing) is None


@given(st.lists(st.none() | st.floats(-100, 200), min_size=1, max_size=80))
def test_whatever_is_seen_the_numbers_keep_their_bounds(values: list[float | None]) -> None:
    found = told(TAUGHT, values)
    assert 0 <= found.jensen_shannon_distance <= 1
    assert found.population_stability_index >= 0
    assert found.seen == len(values)


def test_the_numbers_are_those_of_the_manifests_when_the_bins_are_the_same() -> None:
    again = facts_of(["Oslo"] * 300 + ["Bergen"] * 300 + ["Bodø"] * 400)
    drift = drift_of(PLACES, again)
    found = told(PLACES, ["Oslo"] * 300 + ["Bergen"] * 300 + ["Bodø"] * 400)
    assert drift
    assert drift.population_stability_index == found.population_stability_index
    assert drift.jensen_shannon_distance == found.jensen_shannon_distance
