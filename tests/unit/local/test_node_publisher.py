import pytest

from local.node.configuration import CSV_DEFAULTS
from local.node.publisher import csv_chunks, without_namespaces
from local.node.transit import Entity, decode_entity

ENTITIES: list[Entity] = [
    {"_id": "test1", "name": "test1"},
    {"_id": "gone", "name": "x", "_deleted": True},
    {"_id": "test2", "name": 'Storgata 5 "B"\nOslo, Ø'},
    {"_id": "test3", "name": None},
]


def _csv(entities: list[Entity], **options: object) -> bytes:
    return b"".join(csv_chunks(entities, {**CSV_DEFAULTS, "columns": ["_id", "name"], **options}))


def test_a_csv_is_the_bytes_that_a_real_node_was_seen_to_publish() -> None:
    entities: list[Entity] = [{"_id": "test1", "name": "test1"}, {"name": "test2", "_id": "test2"}]
    assert _csv(entities) == b"_id,name\r\ntest1,test1\r\ntest2,test2\r\n"


def test_quoting_is_minimal_null_and_absent_are_empty_and_deleted_entities_are_left_out() -> None:
    assert _csv([*ENTITIES, {"_id": "test4"}]) == (
        '_id,name\r\ntest1,test1\r\ntest2,"Storgata 5 ""B""\nOslo, Ø"\r\ntest3,\r\ntest4,\r\n'.encode()
    )


@pytest.mark.parametrize(
    ("options", "begins"),
    [
        ({"include_header": False}, b"test1,test1\r\n"),
        ({"delimiter": ";"}, b"_id;name\r\ntest1;test1\r\n"),
        ({"quoting": "all"}, b'"_id","name"\r\n'),
        ({"quoting": "non-numeric"}, b'"_id","name"\r\n'),
        ({"quoting": "none", "escapechar": "\\"}, b"_id,name\r\n"),
        ({"quotechar": "'", "quoting": "all"}, b"'_id','name'\r\n"),
        ({"lineterminator": "\n"}, b"_id,name\ntest1,"),
        ({"byte_order_mark": True}, b"\xef\xbb\xbf_id,name\r\n"),
        ({"encoding": "utf-16-le"}, b"_\0i\0d\0"),
        ({"columns": ["name"]}, b"name\r\ntest1\r\n"),
        ({"skip-deleted-entities": False}, b"_id,name\r\ntest1,test1\r\ngone,x\r\n"),
    ],
)
def test_the_sinks_options_are_honoured(options: dict[str, object], begins: bytes) -> None:
    assert _csv(ENTITIES, **options).startswith(begins)


def test_what_the_encoding_cannot_write_is_escaped() -> None:
    assert b"Oslo, \\xd8" in _csv(ENTITIES, encoding="ascii")
    assert b"Oslo, \xd8" in _csv(ENTITIES, encoding="latin-1")
    assert b"Oslo, ?" in _csv(ENTITIES, encoding="ascii", encode_error_strategy="replace")


def test_with_doublequote_off_quotes_are_escaped() -> None:
    assert b'"Storgata 5 \\"B\\"\n' in _csv(ENTITIES, doublequote=False, escapechar="\\")


def test_much_comes_in_pieces_none_of_them_empty() -> None:
    options = {**CSV_DEFAULTS, "columns": ["_id"]}
    pieces = list(csv_chunks(({"_id": "x" * 1000} for _ in range(200)), options))
    assert len(pieces) > 2
    assert all(pieces)
    assert b"".join(pieces) == b"_id\r\n" + (b"x" * 1000 + b"\r\n") * 200


def test_no_entities_and_no_header_is_an_empty_body() -> None:
    assert _csv([], include_header=False) == b""


def test_namespaces_go_from_names_identifiers_and_the_id() -> None:
    entity = decode_entity(
        {
            "_id": "crm-customer:100",
            "crm-customer:Manager": "~:crm-employee:KN-07",
            "crm-customer:Text": "a:b",
            "$ids": ["~:crm-customer:100"],
            "web:Preferences": {"web:language": "nb"},
        }
    )
    assert without_namespaces(entity) == decode_entity(
        {
            "_id": "100",
            "Manager": "~:KN-07",
            "Text": "a:b",
            "$ids": ["~:100"],
            "Preferences": {"language": "nb"},
        }
    )
