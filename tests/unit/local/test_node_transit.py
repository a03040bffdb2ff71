import pytest

from local.node.transit import Moment, decode, encode, plain


@pytest.mark.parametrize(
    "value",
    [
        "~f7.7000",
        "~f-0.10",
        "~t2015-12-31",
        "~t2015-01-02T03:04:05Z",
        "~t2015-01-02T03:04:05.1Z",
        "~t2015-01-02T03:04:05.123456789Z",
        "~t0001-01-01T00:00:00Z",
        "~t9999-12-31T23:59:59.999999999Z",
        "~t1969-12-31T23:59:59.999999999Z",
        "~:crm-customer:100",
        "~:bar",
        "~rtel:+47-22-22-22-22",
        "~u531a379e-31bb-4ce1-8690-158dceb64be6",
        "~bAAECAwQF",
        "~~x",
        "~",
        "Øyvind",
        10**30,
        1.5,
        True,
        None,
        [1, ["~f1.0"], {"~fkey": "~f1.50"}],
    ],
)
def test_what_is_read_is_written_again_as_it_was(value: object) -> None:
    assert encode(decode(value)) == value


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        ("~f1234.5000", "1234.5000"),
        ("~t2015-12-31", "2015-12-31"),
        ("~t2015-01-02T03:04:05.123456789Z", "2015-01-02T03:04:05.123456789Z"),
        ("~:crm-customer:100", "crm-customer:100"),
        ("~rhttp://www.bouvet.no/", "http://www.bouvet.no/"),
        (1, "1"),
        (124.4, "124.4"),
        (True, "true"),
        (None, ""),
        ({"b": [2, "~f1.0"]}, '{"b": [2, "1.0"]}'),
    ],
)
def test_as_plain_text_a_value_has_no_tag(wire: object, text: str) -> None:
    assert plain(decode(wire)) == text


def test_a_moment_between_two_microseconds_is_rounded_down() -> None:
    assert Moment(1_999).rounded_down.microsecond == 1
