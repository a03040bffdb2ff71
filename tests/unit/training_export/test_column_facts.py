"""Facts of a column: typed by lossless rules over all its cells, told without telling persons."""

import math
import random
import statistics
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract.documents import decode, encode
from contract.facts import FEWEST_SEEN, MOST_CATEGORIES, Category, ColumnFacts, ColumnType
from contract.values import READERS, seconds, text_spelling
from training_export.cells import Cells
from training_export.column_facts import FEW, FEWEST, ColumnScan, few_of
from training_export.column_series import MOST_BINS, Spread
from training_export.column_values import VALUES


def facts(cells: Iterable[str], name: str = "x", batch: int = 512, few: int = FEW) -> ColumnFacts:
    column, cells = ColumnScan(name, few), list(cells)
    for at in range(0, len(cells), batch):
        column.add(Cells.of(cells[at : at + batch]))
    return column.facts()


# ---- types


@pytest.mark.fault(35)
@pytest.mark.statement("azureml-46")
@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "-5", "0", ""], "integer"),
        (["1", "2.5", "1e5"], "number"),
        (["0150", "0252"], "string"),
        (["1_000"], "string"),
        ([" 12"], "string"),
        (["12 "], "string"),
        (["٣"], "string"),
        (["NA", "1"], "string"),
        (["NaN", "1.5"], "string"),
        (["+1"], "string"),
        (["1,5", "2,5"], "string"),
        (["[1", "2]"], "string"),
        (["1", "2,3"], "string"),
        (["-0", "1"], "number"),
        (["1e400"], "string"),
        (["9223372036854775807"], "integer"),
        (
            ["-9223372036854775808", "12345678", "-123456789", "1234567890123456", "-12345678901234567"],
            "integer",
        ),
        (["1.5", "0." + "1" * 80], "number"),
        (["1", "9" * 80], "string"),
        (["1.25", "2." + "1" * 80 + " "], "string"),
        (["123456789012345", "0.12345678901234567", "-1.5e-7"], "number"),
        (["9223372036854775808"], "string"),
        (["9007199254740993", "0.5"], "string"),
        (["true", "false", ""], "boolean"),
        (["True", "False"], "boolean"),
        (["true", "True"], "string"),
        (["TRUE"], "string"),
        (["true", "1"], "string"),
        (["2026-02-28"], "date"),
        (["2026-02-29"], "string"),
        (["2026-02-28", "2026-02-28T10:00:00Z"], "string"),
        (["2026-02-28T10:00:00Z", "2026-02-28 10:00:00.123456789+01:00"], "datetime"),
        (["2026-02-28T25:00:00Z"], "string"),
        (["2026-02-28T10:00:00.Z"], "string"),
        (["0000-01-01"], "string"),
        (["-0", "12345678901234567"], "string"),
        (["", ""], "string"),
        ([], "string"),
    ],
)
def test_a_column_has_the_narrowest_type_that_loses_nothing(cells: list[str], kind: ColumnType) -> None:
    assert facts(cells).type == kind


def many(kind: str) -> list[str]:
    source = random.Random(7)
    make: dict[str, Callable[[], str]] = {
        "integer": lambda: str(source.randrange(-(10**9), 10**9)),
        "number": lambda: repr(source.gauss(0, 1)),
        "date": lambda: f"{source.randrange(1000, 9999)}-{source.randrange(1, 13):02}-01",
        "datetime": lambda: f"2026-01-{source.randrange(1, 29):02}T10:00:00.{source.randrange(10**9):09}Z",
        "string": lambda: f"n{source.random()}",
    }
    return [make[kind]() for _ in range(3 * FEW)]


@pytest.mark.fault(36)
@pytest.mark.parametrize(
    ("kind", "last", "wanted"),
    [
        ("integer", "12", "integer"),
        ("integer", "1.5", "number"),
        ("integer", "0150", "string"),
        ("integer", "2026-01-01", "string"),
        ("number", "x", "string"),
        ("number", "9007199254740993", "string"),
        ("date", "2026-02-30", "string"),
        ("date", "2026-02-01T10:00:00Z", "string"),
        ("datetime", "2026-01-01T10:00:005.Z", "string"),
        ("datetime", "2026-01-01T10:00:00+01:00", "datetime"),
        ("string", "1", "string"),
    ],
)
def test_the_very_last_cell_can_change_the_type(kind: str, last: str, wanted: str) -> None:
    cells = many(kind)
    assert facts(cells).type == kind
    assert facts([*cells, last]).type == wanted


def test_integers_beyond_a_doubles_digits_never_become_numbers() -> None:
    cells = [str(2**53 + n) for n in range(3 * FEW)]
    assert facts(cells).type == "integer"
    assert facts([*cells, "0.5"]).type == "string"


CELLS = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.floats(allow_nan=True).map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda x: f"{x:.3e}"),
    st.dates().map(str),
    st.datetimes().map(lambda t: t.isoformat() + "Z"),
    st.datetimes().map(lambda t: t.isoformat(" ")),
    st.from_regex(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{0,10})?(Z|\+0[0-9]:30)?",
        fullmatch=True,
    ),
    st.from_regex(r"-?0?[0-9]{1,20}(\.[0-9]{0,3})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.text(alphabet="0123456789.,-+eE_ []tTruefalsZ:٣\t", min_size=1, max_size=12),
)


@pytest.mark.fault(35)
@given(st.lists(CELLS, min_size=1, max_size=5), st.sampled_from(sorted(VALUES)))
@example(["2015-01-01T00:00:005.Z", "2015-01-01T00:00:00.Z5"], "datetime")
@example(["0001-01-01T00:00:00+05:00"], "datetime")
@example(["9999-12-31T23:59:59-05:00"], "datetime")
@example(["2020-02-29T23:30:00-05:30", "2020-03-01 00:00:00.25+01:00", "2020-03-01T00:00:00Z"], "datetime")
@example(["1", "2,3"], "integer")
@example(["1,2", "12345678901234567"], "integer")
@example(["1\t", "2"], "integer")
def test_a_batch_is_read_exactly_as_its_cells_are(cells: list[str], kind: ColumnType) -> None:
    one_by_one = [READERS[kind](cell) for cell in cells]
    at_once = VALUES[kind](Cells.of(cells))
    assert (at_once is None) == (None in one_by_one)
    if at_once is not None:
        times = kind in ("date", "datetime")
        assert at_once.tolist() == ([seconds(str(time)) for time in one_by_one] if times else one_by_one)


@pytest.mark.parametrize("year", [0, 1, 4, 1900, 1969, 1970, 2000, 2023, 2024, 9999])
def test_every_day_of_a_calendar_is_told_from_what_is_none(year: int) -> None:
    for month in [*range(22), 32, 92, 99]:
        for day in [*range(34), 40, 99]:
            cell = f"{year:04}-{month:02}-{day:02}"
            told = VALUES["date"](Cells.of([cell, "2026-01-01"]))
            assert (told is None) == (READERS["date"](cell) is None), cell
            assert told is None or told[0] == seconds(cell), cell


@pytest.mark.parametrize("hour", [0, 19, 23, 24, 29, 30, 99])
def test_every_time_of_a_day_is_told_from_what_is_none(hour: int) -> None:
    for minute, second in [(0, 0), (59, 59), (60, 0), (0, 60), (9, 9), (10, 10), (99, 0), (0, 99)]:
        cell = f"2026-01-01T{hour:02}:{minute:02}:{second:02}Z"
        told, canonical = VALUES["datetime"](Cells.of([cell])), READERS["datetime"](cell)
        assert (told is None) == (canonical is None), cell
        assert told is None or told[0] == seconds(str(canonical)), cell


@pytest.mark.parametrize("between", ["T", " ", "T ", "Tt", "T4", "T\0"])
@pytest.mark.parametrize("zone", ["Z", "", "+05:30"])
@pytest.mark.parametrize("digits", range(10))
def test_datetimes_that_are_all_equally_long_are_read_as_each_is(
    between: str, zone: str, digits: int
) -> None:
    source = random.Random(digits)
    cells = [
        f"{source.randrange(1, 10_000):04}-12-31{source.choice(between)}23:59:{source.randrange(60):02}"
        + ("." + "".join(source.choices("0123456789", k=digits)) if digits else "")
        + zone
        for _ in range(40)
    ]
    one_by_one = [READERS["datetime"](cell) for cell in cells]
    told = VALUES["datetime"](Cells.of(cells))
    assert (told is None) == (None in one_by_one)
    assert told is None or told.tolist() == [seconds(str(time)) for time in one_by_one]


@given(
    st.lists(
        st.from_regex(
            r"-?[0-9.]{1,8}|[0-9]{1,7}|-?[0-9]{1,4}\.[0-9]{1,3}|-?[0-9]{1,9}\.[0-9]{1,9}", fullmatch=True
        ),
        min_size=1,
        max_size=4,
    )
)
@example(["5.", "1.5"])
@example([".5", "1.5"])
@example(["-.5"])
@example(["-1234.56"])
@example(["1.2.3"])
@example([".", "-"])
@example(["-0.0"])
def test_numbers_with_a_point_are_read_exactly_as_each_is(cells: list[str]) -> None:
    one_by_one = [READERS["number"](cell) for cell in cells]
    told = VALUES["number"](Cells.of(cells))
    assert (told is None) == (None in one_by_one)
    assert told is None or told.tolist() == one_by_one


# ---- counts, ranges, moments


def test_empties_are_counted_and_are_no_value() -> None:
    told = facts(["a", "", "b", "", ""])
    assert (told.empties, told.distinct) == (3, 2)
    told = facts(["", *many("number"), ""])
    assert (told.type, told.empties) == ("number", 2)


@pytest.mark.parametrize("count", [0, 1, 5, FEW])
def test_few_different_cells_are_counted_exactly(count: int) -> None:
    told = facts([f"v{n}" for n in range(count)] * 3)
    assert (told.distinct, told.distinct_error) == (count, 0.0)


@pytest.mark.parametrize("count", [FEW + 1, 20_000, 100_000])
def test_many_different_cells_are_estimated_within_the_error_that_is_told(count: int) -> None:
    told = facts([f"v{n}" for n in range(count)] + [f"v{n}" for n in range(0, count, 2)])
    assert told.distinct is not None
    assert 0 < told.distinct_error < 0.025
    assert abs(told.distinct - count) <= 5 * told.distinct_error * count


@pytest.mark.parametrize("few", [FEWEST, FEW])
def test_the_error_told_is_the_spread_that_estimates_have(few: int) -> None:
    count = 4 * few
    seen = [facts([f"{seed}-{n}" for n in range(count)] * 2, few=few) for seed in range(30)]
    errors = [(told.distinct or 0) / count - 1 for told in seen]
    assert abs(statistics.fmean(errors)) < seen[0].distinct_error, "no bias"
    assert 0.5 * seen[0].distinct_error < statistics.stdev(errors) < 1.7 * seen[0].distinct_error


def test_a_wide_table_keeps_less_of_each_column_and_its_categories_all_the_same() -> None:
    assert [few_of(width) for width in (0, 1, 64, 128, 512, 100_000)] == [FEW, FEW, FEW, FEW // 2, 256, 256]
    cells = [f"v{n}" for n in range(MOST_CATEGORIES)] * FEWEST_SEEN
    assert facts(cells, few=FEWEST) == facts(cells)
    assert facts(map(str, range(1000)), few=FEWEST).distinct_error == pytest.approx(0.0627, abs=1e-4)


@pytest.mark.statement("sesam-29", "P13")
@pytest.mark.fault(47)
@pytest.mark.parametrize("width", [21, 64, 1000])
def test_what_a_table_keeps_is_bounded_though_every_cell_of_every_column_is_another(width: int) -> None:
    measured = 10
    tracemalloc.start()
    scans = [ColumnScan("x", few_of(width)) for _ in range(measured)]
    for at in range(0, 3 * FEW, 512):
        for scan in scans:
            scan.add(Cells.of([f"{n}-{'x' * 50}" for n in range(at, at + 512)]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak / measured * width < 80_000_000


def test_an_estimate_is_never_above_the_rows() -> None:
    told = [facts([f"{seed}-{n}" for n in range(FEW + 10)]).distinct for seed in range(20)]
    assert max(filter(None, told)) <= FEW + 10


@given(st.lists(st.floats(-1e15, 1e15, allow_nan=False), min_size=2, max_size=60))
def test_mean_and_deviation_are_those_of_the_numbers(values: list[float]) -> None:
    told = facts([repr(value) for value in values], batch=7)
    assert told.mean is not None
    assert told.deviation is not None
    scale = max(abs(value) for value in values) or 1.0
    assert math.isclose(told.mean, statistics.fmean(values), rel_tol=1e-9, abs_tol=scale * 1e-9)
    assert math.isclose(told.deviation, statistics.stdev(values), rel_tol=1e-6, abs_tol=scale * 1e-9 + 1e-150)
    assert (told.minimum, told.maximum) == (min(values), max(values))


def test_the_deviation_survives_a_large_offset() -> None:
    source = random.Random(3)
    values = [1e9 + source.random() for _ in range(3 * FEW)]
    told = facts(map(repr, values))
    assert told.deviation == pytest.approx(statistics.stdev(values), rel=1e-6)
    assert told.mean == pytest.approx(statistics.fmean(values), rel=1e-15)


def test_numbers_at_the_end_of_the_doubles_are_told_without_infinities() -> None:
    told = facts(["1e308", "-1e308", "1.7976931348623157e308"] * 3)
    assert told.mean is not None
    assert math.isfinite(told.mean)
    assert told.deviation is None
    assert told.histogram is not None
    assert all(math.isfinite(edge) for edge in told.histogram.edges)


@pytest.mark.parametrize("batch", [1, 3, 512])
@pytest.mark.parametrize(
    "cells",
    [
        ["-1.7976931348623157E+308", "0.5"],
        ["-1.7976931348623157E+308", "1.7976931348623157E+308"],
        ["1.7976931348623157E+308"] * 3,
        ["0.001", "0.002", "0.003", "0.004", "1.7976931348623157E+308"],
        ["-5e-324", "5e-324", "0", "-1.7976931348623157E+308"],
        ["1", "2", "3", "1.7976931348623157E+308"],
        ["1", "-2", "3", "0.5", "-1.7976931348623157E+308", "1.7976931348623157E+308"],
        ["1.7e308", "1.6e308", "1.5e308", "-1.7e308", "-1.6e308", "-1.5e308"],
        ["1.7e308", "-1.7e308", "1.7e308", "1.6e308"],
    ],
)
def test_the_ends_of_the_doubles_come_in_any_batch_and_every_fact_can_be_read_again(
    cells: list[str], batch: int
) -> None:
    told = facts(cells, batch=batch, few=3)
    assert decode(encode(told), ColumnFacts) == told
    values = [float(cell) for cell in cells]
    assert (told.minimum, told.maximum) == (min(values), max(values))
    assert told.histogram is not None
    assert told.histogram.edges[0] <= min(values) <= max(values) <= told.histogram.edges[-1]
    assert sum(told.histogram.counts) == len(values)
    mean = sum(Fraction(value) for value in values) / len(values)
    assert told.mean == pytest.approx(float(mean), rel=1e-12, abs=max(map(abs, values)) * 1e-12)


def test_times_are_told_in_their_canonical_text() -> None:
    told = facts(["2026-01-01 10:00:00+02:00", "2026-01-01T09:00:00.500Z", "2026-01-01T08:00:00.1"])
    assert (told.minimum, told.maximum) == ("2026-01-01T08:00:00Z", "2026-01-01T09:00:00.5Z")
    told = facts(["2026-03-01", "2025-12-31"])
    assert (told.minimum, told.maximum) == ("2025-12-31", "2026-03-01")


def test_the_ninth_digit_of_a_second_decides_the_range() -> None:
    cells = [f"2026-01-01T10:00:00.{n:09}Z" for n in random.Random(1).sample(range(10, 10**6), 3 * FEW)]
    told = facts(["2026-01-01T10:00:00.000000002Z", *cells, "2026-01-01T10:00:00.000000001Z"])
    assert told.minimum == "2026-01-01T10:00:00.000000001Z"


def test_the_most_common_numbers_are_told_and_rare_ones_are_not() -> None:
    told = facts(["0"] * 30 + ["10"] * 7 + ["7"] * 7 + ["3"] * 4 + [""] * 50)
    assert told.common is not None
    assert [(c.value, c.count) for c in told.common] == [("0", 30), ("10", 7), ("7", 7)]
    told = facts([str(n) for n in range(20) for _ in range(20 + n)])
    assert told.common is not None
    assert [c.value for c in told.common] == [str(n) for n in range(19, 9, -1)]
    assert facts(["2026-01-01"] * 5).common == (Category(value="2026-01-01", count=5),)
    assert facts(["a"] * 5).common is None, "of text they are its categories"
    assert facts(map(str, range(100))).common is None


# ---- histograms


@pytest.mark.parametrize(
    "values",
    [
        [1.0, 2.0, 3.0],
        [5.0] * 10,
        [0.0, 1e-300, 1e300],
        [-1e308, 1e308],
        [-1.7976931348623157e308, 1.7976931348623157e308],
        [1e-300, 2e-300, 3e-300, 1.7976931348623157e308],
        [5e-324, 0.0],
        [-5e-324, 1e3],
        [1e15, 1e15 + 0.125],
        [float(n) for n in range(1000)],
        [-3.5, -0.0, 0.0, 2.25],
    ],
)
def test_a_histogram_counts_every_value_between_its_edges(values: list[float]) -> None:
    spread = Spread()
    for at in range(0, len(values), 3):
        spread.add(np.array(values[at : at + 3]))
    told = spread.histogram()
    assert sum(told.counts) == len(values)
    assert len(told.edges) == len(told.counts) + 1 <= MOST_BINS + 1
    assert list(told.edges) == sorted(told.edges)
    assert told.edges[0] <= min(values) <= max(values) <= told.edges[-1]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50, unique=True))
def test_each_bin_holds_what_lies_between_its_edges(values: list[float]) -> None:
    spread = Spread()
    for at in range(0, len(values), 7):
        spread.add(np.array(values[at : at + 7]))
    told = spread.histogram()
    counts = [
        sum(low <= value < high for value in values)
        for low, high in zip(told.edges, told.edges[1:], strict=False)
    ]
    counts[-1] += values.count(told.edges[-1])
    assert list(told.counts) == counts


def test_few_and_many_different_cells_are_told_alike() -> None:
    source = random.Random(5)
    cells = [str(source.randrange(1000)) for _ in range(20_000)]
    few = facts(cells)
    beyond = facts([*cells, *map(str, range(1000, 1000 + 2 * FEW))])
    assert few.histogram is not None
    assert beyond.histogram is not None
    assert sum(few.histogram.counts) == 20_000
    assert sum(beyond.histogram.counts) == 20_000 + 2 * FEW
    assert beyond.maximum == 999 + 2 * FEW


# ---- text


def test_text_that_rows_share_is_told_as_categories_most_common_first() -> None:
    told = facts(["b"] * 30 + ["a"] * 60 + ["c"] * 5 + ["once"] + [""])
    assert told.categories is not None
    assert [(c.value, c.count) for c in told.categories] == [("a", 60), ("b", 30), ("c", 5)]
    assert (told.rare, told.empties, told.distinct) == (1, 1, 4)


@pytest.mark.parametrize(
    ("cells", "categorical"),
    [
        ([f"v{n}" for n in range(MOST_CATEGORIES)] * FEWEST_SEEN, True),
        ([f"v{n}" for n in range(MOST_CATEGORIES + 1)] * FEWEST_SEEN, False),
        (["a"] * 4, False),
        (["a"] * 95 + [f"v{n}" for n in range(5)], True),
        (["a"] * 94 + [f"v{n}" for n in range(6)], False),
        (["true"] * 9 + ["false"] * 9, True),
    ],
)
def test_a_column_is_categorical_when_few_values_make_up_nearly_all_rows(
    cells: list[str], categorical: bool
) -> None:
    assert (facts(cells).categories is not None) == categorical


@pytest.mark.statement("sesam-39")
def test_a_value_that_few_rows_hold_stands_nowhere_in_the_facts() -> None:
    names = [f"Name{n}" for n in range(50)]
    shared = ["Oslo"] * 2000
    for cells in (names, [*shared, *names[:4]], [f"{name}{n}" for n in range(100) for name in names]):
        assert "Name" not in str(facts(cells))


def test_text_tells_its_lengths() -> None:
    told = facts(["a", "bbb", "", "Å" * 10])
    assert (told.shortest, told.longest) == (1, 10)
    assert (told.minimum, told.maximum, told.mean) == (None, None, None)
    told = facts([*many("string"), "x" * 5000])
    assert told.longest == 5000
    assert told.histogram is not None
    assert sum(told.histogram.counts) == 3 * FEW + 1


@pytest.mark.parametrize("repeat", [1, FEW])
@pytest.mark.parametrize(
    ("patterns", "spelling"),
    [
        (["~:crm:{}"], "tagged"),
        (["crm:{}"], "full"),
        (["crm:{}", "web:{}"], "full"),
        (["{}x"], "bare"),
        (["crm:{}", "~:crm:{}"], "tagged"),
        (["crm:{}", "{}x"], "mixed"),
        (["crm:a {}", "{}x"], "mixed"),
        (["ns" * 40 + ":{}", "web:{}"], "full"),
        (["a long note " * 8 + ": {}", "at 12:{}", "~x:{}"], "bare"),
    ],
)
def test_one_tag_says_that_there_are_tags_and_one_namespace_among_others_is_a_mix(
    patterns: Sequence[str], spelling: str, repeat: int
) -> None:
    cells = [pattern.format(n) for n in range(2 * repeat) for pattern in patterns]
    assert facts(cells).spelling == spelling
    for odd, told in [("plain", {"full": "mixed"}), ("crm:odd", {"bare": "mixed"}), ("~rodd:", {})]:
        expected = "tagged" if odd[0] == "~" else told.get(spelling, spelling)
        assert facts([*cells, odd]).spelling == facts([odd, *cells]).spelling == expected


@pytest.mark.parametrize(
    ("odd", "spelling"), [("unknown", "bare"), ("crm:odd", "mixed"), ("~:crm:odd", "tagged")]
)
def test_the_spelling_of_what_is_text_only_after_many_numbers(odd: str, spelling: str) -> None:
    numbers = [str(n) for n in range(2 * FEW)]
    assert facts([*numbers, odd]).spelling == facts([*numbers, "text", *numbers, odd]).spelling == spelling
    assert facts([odd, *numbers]).spelling == spelling


@given(
    st.lists(
        st.text(st.sampled_from("~:ftab_.- é"), min_size=1, max_size=12)
        | st.sampled_from(["crm:7", "~:7", "n" * 70 + ":", "n" * 63 + ":", "é" * 40 + ":", "n n:" * 20]),
        min_size=1,
    ),
    st.integers(1, 5),
)
def test_the_spelling_is_what_the_cells_say_one_by_one(cells: list[str], batch: int) -> None:
    seen = set(map(text_spelling, cells))
    told = "tagged" if "tagged" in seen else "mixed" if len(seen) > 1 else seen.pop()
    assert facts(cells, batch=batch, few=3).spelling == facts(cells).spelling == told


def test_booleans_tell_which_spelling_they_have() -> None:
    assert facts(["true", "false"]).spelling == "true"
    assert facts(["False"]).spelling == "True"


@pytest.mark.statement("sesam-39")
@pytest.mark.parametrize("count", [3, 3 * FEW])
def test_of_the_id_only_counts_are_told(count: int) -> None:
    told = facts([f"crm:{n}" for n in range(count)] * 6, name="_id")
    assert told == ColumnFacts(
        name="_id", type="string", empties=0, distinct=told.distinct, distinct_error=told.distinct_error
    )
    assert facts(map(str, range(count)), name="_id").type == "string"
