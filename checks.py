"""One check of `GET /api/health/ready` and of `make doctor`: what was looked at and what was found. Pure."""

from collections.abc import Callable

import msgspec

from errors import Failure


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at; `detail` says what is, or what is wrong and what to do."""

    check: str
    ok: bool
    detail: str


def checked(name: str, look: Callable[[], str]) -> Check:
    """Look, and tell: `look` says what is right, or fails with what to do."""
    try:
        return Check(name, True, look())
    except Failure as failure:
        return Check(name, False, failure.detail)
