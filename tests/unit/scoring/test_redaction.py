"""What a service says of an error is shown without anything that was sent."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.values import Value
from scoring.dialects import Row, SentColumn
from scoring.redaction import LONGEST_LINE_READ, LONGEST_TEXT_SHOWN, redacted

NOTE = "Kari Nordmann, diagnosed with diabetes"


def shown(text: str, *sent: Value) -> str:
    return redacted(text, [SentColumn("Age"), SentColumn("Note")], [[1, cell] for cell in sent])


@pytest.mark.statement("azureml-25", "azureml-42")
def test_a_service_s_own_error_text_is_shown_without_any_value_that_was_sent() -> None:
    columns = [SentColumn("Age"), SentColumn("City")]
    rows: list[Row] = [[30, "Bodø"], [41, "a"]]
    text = "City 'Bodø' near Bodø: could not convert 'x y' in column 'Age' at 41.5: Bodø\nTraceback: secret"
    assert redacted(text, columns, rows) == ("City '…' near …: could not convert '…' in column 'Age' at #: …")
    assert len(redacted("x" * 1_000, columns, rows)) == 300
    assert redacted("a\x00b\x1b[31m", columns, rows) == "… b [#m"
    assert redacted("", columns, rows) == redacted(" \n ", columns, rows) == ""


@pytest.mark.statement("azureml-25", "azureml-42")
@pytest.mark.parametrize("break_", ["\n", "\r\n", "\r", "\x85", "\u2028", "\v"])
def test_a_text_of_several_lines_is_blotted_out_line_by_line(break_: str) -> None:
    sent = f"  {NOTE}{break_}{break_}lives in Storgata"
    assert shown(f"Unknown note {sent}", sent) == "Unknown note   …"
    for written in (sent, repr(sent), json.dumps(sent), json.dumps(sent)[1:-1], repr(repr(sent))):
        told = shown(f"Unknown note {written}", sent)
        assert "Kari" not in told
        assert "Storgata" not in told


@pytest.mark.statement("azureml-25", "azureml-42")
def test_a_text_that_is_longer_than_what_is_shown_is_blotted_out_as_a_whole() -> None:
    sent = f"{NOTE}, {'x' * 1_500}"
    assert shown(f"Unknown note {sent} in column Note", sent) == "Unknown note … in column Note"
    assert len(shown(f"Unknown {'y ' * 500}{sent}", sent)) <= LONGEST_TEXT_SHOWN
    assert shown(f"Unknown note {sent * 5}", sent * 5) == "", "too long to be searched: nothing of it"
    assert "Kari" not in shown(f"note {NOTE}{'x' * LONGEST_LINE_READ}", f"{NOTE}{'x' * LONGEST_LINE_READ}")
    assert shown("y" * 2_000, sent).startswith("yyy")
    assert shown("y" * 2_001, sent) == ""


@pytest.mark.statement("azureml-25", "azureml-42")
@pytest.mark.parametrize(
    ("text", "sent", "told"),
    [
        ("Unknown category M of Sex", "M", "Unknown category … of Sex"),
        ("Mind: M, (M) [M] M", "M", "Mind: …, (…) […] …"),
        ("no - or -5", "-", "no … or -#"),
        ("unknown 男性", "男", "unknown …性"),
        ("got True, want true", True, "got …, want …"),
        ("got False, want true", False, "got …, want true"),
        ("got 41.5 and 7, -1e-05", 41.5, "got # and #, -#e-#"),
        ("got 41.25 in row 7.", 41.25, "got # in row #."),
        ("column Age is missing", "Age", "column Age is missing"),
        ("Oslo, Oslo-Bergen", " Oslo ", "…, …-Bergen"),
    ],
)
def test_one_letter_is_blotted_out_where_it_stands_alone_a_boolean_as_its_word_a_number_by_its_digits(
    text: str, sent: Value, told: str
) -> None:
    assert shown(text, sent) == told


@pytest.mark.statement("azureml-25", "azureml-42")
def test_cells_that_overlap_leave_nothing_of_one_another() -> None:
    assert shown(f"bad {NOTE}", "Kari Nordmann", "Nordmann, diagnosed with diabetes") == "bad …"
    assert shown("bad ababa, ababab", "aba", "abab") == "bad …, …"
    assert shown("ababa is bad", "aba") == "… is bad"


@pytest.mark.statement("azureml-25", "azureml-42")
@pytest.mark.parametrize(
    "sent",
    [
        "Bodø",
        'it\'s "Kari"',
        r"C:\new\Kari",
        "Kari\tNordmann",
        "Kari 😀 Nordmann",
        "Kari\xa0N\x00",
        "\\Kari\\",
    ],
)
def test_what_repr_and_json_make_of_a_text_is_blotted_out_too(sent: str) -> None:
    forms = [sent, repr(sent), ascii(sent), json.dumps(sent), json.dumps(sent, ensure_ascii=False)]
    forms += [json.dumps(json.dumps([sent]))[2:-2], repr(json.dumps([sent]))[2:-2]]
    for written in forms + [form[1:-1] for form in forms[1:5]]:
        told = shown(f"unknown {written} in Age", sent)
        assert not any(word in told for word in ("Kari", "Bod", "Nordmann", "new"))
        assert told.startswith("unknown ")


ANY = st.characters(exclude_categories=["Nd"], exclude_characters="…#;'`\"")


@given(
    cells=st.lists(st.text(ANY, min_size=2), min_size=1, max_size=3),
    write=st.sampled_from([str, repr, ascii, json.dumps]),
)
def test_no_text_that_was_sent_is_in_what_is_shown(cells: list[str], write: type[str]) -> None:
    told = shown("; ".join(map(write, cells)), *cells)
    assert told.isprintable()
    for cell in cells:
        assert len(cell.strip()) < 2 or not cell.isprintable() or "\\" in cell or cell.strip() not in told
