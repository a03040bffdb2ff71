"""JSON documents that were damaged in storage, or sent by anyone: told as such, and nothing else."""

import msgspec
import pytest

from contract.documents import Adoption, Golden, Latest, Manifest, decode, encode

LATEST = Latest(version="20261123T020000Z-00000001", pinned=True)


def test_a_document_comes_back_as_it_was_written() -> None:
    assert decode(encode(LATEST), Latest) == LATEST


@pytest.mark.fault(25)
@pytest.mark.parametrize("kind", [Latest, Adoption, Golden, Manifest])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xef\xbb\xbf{}",
        b'{"version": "\xff\xfe"}',
        b'{"\xff": 1}',
        b'{"version": "\\ud800"}',
        b'{"version": 7}',
        b'{"version": "a", "entities": [{"a": NaN}], "scores": []}',
        b'{"version": ' + b"9" * 5000 + b"}",
        b'{"version": "a", "entities": [{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b'}], "scores": []}',
    ],
    ids=[
        "empty", "cut", "a list", "null", "BOM", "no UTF-8", "a name that is none", "half a surrogate pair",
        "wrong type", "NaN", "endless integer", "endless list",
    ],
)  # fmt: skip
def test_what_is_no_document_is_a_decode_error(kind: type[msgspec.Struct], data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(data, kind)
