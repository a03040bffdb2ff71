"""One meaning for a CSV cell: which cells are of which type, and what they mean."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import values


@pytest.mark.fault(35)
@pytest.mark.parametrize(
    "cell",
    ["007", "0150", "1_000", " 12", "12 ", "+1", "٣", "1e5", "NA", "NaN", "", "-0", "1.0", "0x1f", "²"],
)
def test_what_is_no_integer_stays_text(cell: str) -> None:
    assert values.integer(cell) is None


@pytest.mark.parametrize("cell", ["0", "7", "-12", "9223372036854775807", "-9223372036854775808"])
def test_an_integer_cell_keeps_every_digit(cell: str) -> None:
    assert str(values.integer(cell)) == cell


@pytest.mark.parametrize("cell", ["9223372036854775808", "-9223372036854775809", "1" * 5000])
def test_an_integer_beyond_64_bits_is_no_integer(cell: str) -> None:
    assert values.integer(cell) is None


@pytest.mark.parametrize(
    "cell", ["007.5", "1_0.5", " 1.5", ".5", "5.", "+1.5", "NaN", "nan", "inf", "Infinity", "1e400", "1,5"]
)
def test_what_is_no_number_stays_text(cell: str) -> None:
    assert values.number(cell) is None


def test_a_whole_number_that_a_double_would_change_is_no_number() -> None:
    assert values.number("9007199254740992") == 9007199254740992.0
    assert values.number("9007199254740993") is None
    assert values.number("-9007199254740993") is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_comes_back_from_its_shortest_text(value: float) -> None:
    text = repr(value)
    whole = text.removesuffix(".0") if abs(value) <= values.LARGEST_EXACT else text
    for spelling in (text, whole):
        read = values.number(spelling)
        assert read is not None
        assert math.copysign(1, read) == math.copysign(1, value)
        assert read == value


@pytest.mark.parametrize("cell", ["TRUE", "yes", "1", "0", "t", " true", "True "])
def test_only_the_two_spellings_of_sesam_are_booleans(cell: str) -> None:
    assert values.boolean(cell) is None


@pytest.mark.parametrize(
    "cell", ["2015-02-30", "2015-13-01", "15-01-01", "2015-1-1", "20150101", "2015-01-01 "]
)
def test_a_day_that_does_not_exist_is_no_date(cell: str) -> None:
    assert values.day(cell) is None


@pytest.mark.parametrize("cell", ["2015-12-31", "2016-02-29", "0001-01-01", "9999-12-31"])
def test_a_date_cell_keeps_its_text(cell: str) -> None:
    assert values.day(cell) == cell


@pytest.mark.parametrize(
    ("cell", "canonical"),
    [
        ("2015-01-02T03:04:05Z", "2015-01-02T03:04:05Z"),
        ("2015-01-02 03:04:05", "2015-01-02T03:04:05Z"),
        ("2015-01-02T03:04:05.123456789Z", "2015-01-02T03:04:05.123456789Z"),
        ("2015-01-02T03:04:05.120000000Z", "2015-01-02T03:04:05.12Z"),
        ("2015-01-02T03:04:05.000Z", "2015-01-02T03:04:05Z"),
        ("2015-01-02 03:04:05+00:00", "2015-01-02T03:04:05Z"),
        ("2015-01-01T00:30:00+01:00", "2014-12-31T23:30:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_every_spelling_of_a_moment_has_one_canonical_text(cell: str, canonical: str) -> None:
    assert values.moment(cell) == canonical


@pytest.mark.parametrize(
    "cell",
    ["2015-01-02", "2015-01-02T25:00:00Z", "2015-01-02T03:04Z", "2015-01-02T03:04:05.1234567890Z",
     "0001-01-01T00:00:00+01:00", "1420167845"],
)  # fmt: skip
def test_what_is_no_moment_stays_text(cell: str) -> None:
    assert values.moment(cell) is None


@given(st.datetimes(), st.integers(0, 999_999_999))
def test_moments_order_as_their_seconds_do(when: object, nanoseconds: int) -> None:
    earlier = values.moment(f"{str(when)[:19].ljust(19)}.{nanoseconds:09d}Z")
    assert earlier is not None
    assert values.moment(earlier) == earlier
    assert values.seconds(earlier) == pytest.approx(values.seconds(earlier[:19]) + nanoseconds / 1e9)


@pytest.mark.parametrize(
    ("canonical", "seconds"),
    [
        ("1970-01-01", 0.0),
        ("1970-01-01T00:00:00Z", 0.0),
        ("1969-12-31T23:59:59Z", -1.0),
        ("1969-12-31T23:59:59.25Z", -0.75),
        ("2018-01-01T00:00:00.5Z", 1514764800.5),
    ],
)
def test_seconds_are_counted_from_1970(canonical: str, seconds: float) -> None:
    assert values.seconds(canonical) == seconds


@given(st.text())
def test_no_text_is_of_a_type_without_keeping_its_meaning(cell: str) -> None:
    for kind, read in values.READERS.items():
        value = read(cell)
        if kind == "integer" and value is not None:
            assert str(value) == cell
        if kind in ("date", "string") and value is not None:
            assert value == cell


@pytest.mark.parametrize(
    ("cell", "spelling"),
    [("~:crm-customer:100", "tagged"), ("~f1.5", "tagged"), ("crm-customer:100", "full"),
     ("100", "bare"), ("~x", "bare"), ("12:30", "bare"), ("Oslo", "bare")],
)  # fmt: skip
def test_the_spelling_of_a_text_cell(cell: str, spelling: str) -> None:
    assert values.text_spelling(cell) == spelling


@pytest.mark.parametrize(
    "begin", ["~f", "~f.", "~f1e", "~f-", "~b", "~r", "~r.", "~:", "~t2020-01-01", "~u", "~d"]
)
@pytest.mark.parametrize("filler", ["1", ".", "a", "/", "-", "=", "e1", "é"])
def test_a_text_as_long_as_a_body_is_judged_in_one_pass(begin: str, filler: str) -> None:
    # By an expression that goes back and forth this would take hours.
    for end in (" ", "!", "\n", ""):
        assert values.text_spelling(begin + filler * 200_000 + end) in ("tagged", "bare")


@pytest.mark.parametrize(
    ("tagged", "text"),
    [
        ("~:a\nb", "~: a"),
        ("~f1E+2", "~f"),
        ("~d-1.5", "~dog"),
        ("~t2015-12-31T00:00:00Z", "~t2015"),
        ("~u531a379e-31bb-4ce1-8690-158dceb64be6", "~u531a379e-31bb"),
        ("~rhttp://www.sesam.io/", "~red"),
        ("~bAAECAwQF", "~banana"),
        ("~bAAE=", "~bAA"),
        ("~bAA==", "~bA==="),
        ("~rwww.sesam.io", "~r"),
        ("~u531a379e31bb4ce18690158dceb64be6", "~u531a379e31bb4ce18690158dceb64bex"),
        ("~dNaN", "~dNaNa"),
        ("~b", "~"),
    ],
)
def test_a_tag_counts_only_with_what_may_stand_behind_it(tagged: str, text: str) -> None:
    assert values.text_spelling(tagged) == "tagged"
    assert values.text_spelling(text) == "bare"
