"""Numbers in texts, many at once, read and written: by JSON's own grammar and its C parser. Pure.

One call per text would cost ten times as much. The readers of cells and of answers have further rules of
their own beside.
"""

from collections.abc import Callable, Sequence

import msgspec

_decode_integers = msgspec.json.Decoder(list[int]).decode
_decode_floats = msgspec.json.Decoder(list[float]).decode


def integers(texts: Sequence[str]) -> list[int] | None:
    """Read all as whole numbers of any size; None where one is not written as JSON writes it."""
    # Half a surrogate pair, which an answer may hold, becomes a sign that no number has.
    joined = ",".join(texts).encode(errors="replace")
    return None if joined.translate(None, b"0123456789-,") else read_integers(joined, len(texts))


def written(values: Sequence[int]) -> list[str]:
    """Write whole numbers of any size."""
    return msgspec.json.encode(values)[1:-1].decode().split(",") if values else []


def numbers(texts: Sequence[str]) -> list[float] | None:
    """Read all as the nearest doubles; None where one is not written as JSON writes it.

    To JSON `-0` is a whole number: it loses its sign.
    """
    # Half a surrogate pair, which an answer may hold, becomes a sign that no number has.
    joined = ",".join(texts).encode(errors="replace")
    return None if joined.translate(None, b"0123456789-+.eE,") else read_numbers(joined, len(texts))


def read_integers(joined: bytes, count: int) -> list[int] | None:
    """Read so many, with commas between and blanks around; the caller knows that no blank lies within one."""
    return _read(_decode_integers, joined, count)


def read_numbers(joined: bytes, count: int) -> list[float] | None:
    """Likewise the nearest doubles."""
    return _read(_decode_floats, joined, count)


def _read[T](decode: Callable[[bytes], list[T]], joined: bytes, count: int) -> list[T] | None:
    try:
        values = decode(b"[" + joined + b"]")
    except (msgspec.DecodeError, ValueError):
        return None
    return values if len(values) == count else None
