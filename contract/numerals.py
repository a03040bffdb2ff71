"""Numbers in texts, many at once: by JSON's own grammar and its C parser. Pure.

One call per text would cost ten times as much. The readers of cells and of answers have further rules of
their own beside.
"""

from collections.abc import Sequence

import msgspec

_read_integers = msgspec.json.Decoder(list[int]).decode
_read_floats = msgspec.json.Decoder(list[float]).decode


def integers(texts: Sequence[str]) -> list[int] | None:
    """Read all as whole numbers of any size; None where one is not written as JSON writes it."""
    joined = ",".join(texts).encode()
    if joined.translate(None, b"0123456789-,"):
        return None
    try:
        values = _read_integers(b"[" + joined + b"]")
    except (msgspec.DecodeError, ValueError):
        return None
    return values if len(values) == len(texts) else None


def numbers(texts: Sequence[str]) -> list[float] | None:
    """Read all as the nearest doubles; None where one is not written as JSON writes it.

    To JSON `-0` is a whole number: it loses its sign.
    """
    joined = ",".join(texts).encode()
    if joined.translate(None, b"0123456789-+.eE,"):
        return None
    try:
        values = _read_floats(b"[" + joined + b"]")
    except (msgspec.DecodeError, ValueError):
        return None
    return values if len(values) == len(texts) else None
