"""The node's reader against the table of facts/sesam.md §1.4, row by row."""

from decimal import Decimal
from uuid import UUID

import pytest

from local.node.reader import Reading, UnreadableError, read
from local.node.transit import NI, URI, Moment, Value


def _value(text: str) -> Value:
    """Read one property's value out of a reply."""
    (entity,) = read(f'[{{"_id": "a", "p": {text}}}]'.encode()).entities
    return entity["p"]


def test_an_empty_array_is_no_entities() -> None:
    assert read(b"[]") == Reading([], 0)


@pytest.mark.parametrize("body", [b"", b" \n\t", b"null", b"1", b'"a"', b"true"])
def test_a_body_that_is_no_array_or_object_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        read(body)


def test_one_object_is_one_entity() -> None:
    assert read(b'{"_id": "a"}') == Reading([{"_id": "a"}], 0)


@pytest.mark.parametrize(
    ("body", "entities", "dropped"),
    [
        (b'["x"]', 0, 1),
        (b"[1, 2]", 0, 2),
        (b'[[{"_id": "a"}]]', 0, 1),
        (b'[{"_id": "a"}, null, {"_id": "b"}]', 2, 1),
    ],
)
def test_elements_that_are_no_objects_are_dropped_and_counted(
    body: bytes, entities: int, dropped: int
) -> None:
    reading = read(body)
    assert (len(reading.entities), reading.dropped) == (entities, dropped)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
def test_numbers_that_are_none_are_refused(number: str) -> None:
    with pytest.raises(UnreadableError):
        _value(number)


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf[{"_id": "a"}]',
        b'[{"_id": "a"}] x',
        b'[{"_id": "a"}][]',
        b'[{"_id": "a"}, {"_id": "b"',
        b'[{"_id": "a"},]',
        b"<html>Bad gateway</html>",
        '[{"_id": "a"}]'.encode("utf-16"),
        b"[" * 100_000,
        b'[{"_id": "a", "p": ' + b"9" * 5000 + b"}]",
    ],
    ids=["BOM", "trailing text", "two arrays", "cut", "comma", "HTML", "UTF-16", "depth", "digits"],
)
def test_a_body_that_is_not_exactly_json_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        read(body)


@pytest.mark.parametrize(
    "text",
    [
        "~tnope",
        "~t2020-13-01",
        "~t2015-02-29",
        "~t2015-01-02T03:04:05",
        "~t2015-01-02 03:04:05Z",
        "~t2015-01-02T25:04:05Z",
        "~t2015-01-02T03:04:05.1234567890Z",
        "~fnope",
        "~f",
        "~bxx!",
        "~uzz",
    ],
)
def test_a_tag_that_promises_what_the_text_is_not_fails_the_whole_reply(text: str) -> None:
    with pytest.raises(UnreadableError, match="tag"):
        read(f'[{{"_id": "a"}}, {{"_id": "b", "p": [{{"q": "{text}"}}]}}]'.encode())


def test_a_datetime_with_an_offset_is_refused_where_sesam_takes_it_wrongly() -> None:
    with pytest.raises(UnreadableError):
        _value('"~t2015-01-02T03:04:05+01:00"')


@pytest.mark.parametrize(
    ("text", "value"),
    [("~f1E-7", Decimal("1E-7")), ("~f 1.5", Decimal("1.5")), ("~fInfinity", Decimal("Infinity"))],
)
def test_odd_decimals_that_sesam_takes_are_taken(text: str, value: Decimal) -> None:
    assert _value(f'"{text}"') == value


@pytest.mark.parametrize("text", ["~xfoo", "~dfoo", "~~hello", "~", "tilde ~f1"])
def test_what_carries_no_known_tag_is_text_as_it_stands(text: str) -> None:
    assert _value(f'"{text}"') == text


@pytest.mark.parametrize(
    "body",
    [b'[{"_id": "a", "p": "\\ud800"}]', b'[{"_id": "a", "\\udfff": 1}]', b'[{"_id": "\xff"}]'],
    ids=["lone surrogate", "lone surrogate in a key", "invalid UTF-8"],
)
def test_text_that_is_no_unicode_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        read(body)


def test_a_pair_of_surrogates_is_a_character() -> None:
    assert _value('"\\ud83d\\ude00"') == "😀"


def test_a_text_with_nul_is_refused_where_sesam_cuts_it() -> None:
    with pytest.raises(UnreadableError):
        _value('"a\\u0000b"')


def test_of_a_doubled_key_the_last_wins() -> None:
    assert read(b'[{"_id": "a", "p": 1, "p": 2}]').entities == [{"_id": "a", "p": 2}]


def test_an_integer_of_30_digits_is_exact() -> None:
    assert _value("123456789012345678901234567890") == 123456789012345678901234567890


@pytest.mark.parametrize("number", ["541.2135566326016", "0.10", "1.0", "1e3"])
def test_a_float_becomes_the_decimal_that_was_written(number: str) -> None:
    value = _value(number)
    assert isinstance(value, Decimal)
    assert value == Decimal(number)
    assert str(value) == str(Decimal(number))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("~f7.7000", Decimal("7.7000")),
        ("~:crm-customer:100", NI("crm-customer:100")),
        ("~rhttp://www.sesam.io/", URI("http://www.sesam.io/")),
        ("~bAAEC", b"\0\1\2"),
        ("~u531a379e-31bb-4ce1-8690-158dceb64be6", UUID("531a379e-31bb-4ce1-8690-158dceb64be6")),
        ("~t1970-01-01T00:00:01.000000002Z", Moment(1_000_000_002)),
        ("~t1969-12-31T23:59:59.5Z", Moment(-500_000_000)),
    ],
)
def test_tagged_values_are_decoded(text: str, value: Value) -> None:
    assert _value(f'"{text}"') == value
