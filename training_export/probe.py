"""What a look at the Sesam node tells: is it there, is the token good, does each pipe publish its columns."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from checks import Check, checked
from contract.documents import Manifest
from errors import DataRefused, NodeRefused, NodeUnavailable
from sections import ExportSettings
from settings import Settings, host_storage
from storage import probe_export_queue
from training_export import exports
from training_export.csv_dialect import csv_dialect, expected_columns
from training_export.csv_scan import Reading, header_difference
from training_export.publisher import SesamNode, expiry, is_token

# A token that ends sooner is told of while there is time.
SOON_DAYS = 14


def checks(given: Settings) -> Iterator[Check]:
    """Ask the queue and the node; of each publisher the header is read and one row asked for."""
    yield checked("queue", _queue)
    node = exports.node()
    alive = checked("node", lambda: _alive(node))
    yield alive
    yield checked("token", lambda: token(given.sesam.jwt.get_secret_value(), datetime.now(UTC)))
    for name, export in given.exports.items():
        if alive.ok:
            yield checked(f"pipe of {name}", partial(_pipe, name, export, node))
        else:
            yield Check(f"pipe of {name}", False, "not asked: first see to the node")


def token(jwt: str, now: datetime) -> str:
    """Say until when a token is valid.

    Raises:
        NodeRefused: it is no longer, or is none.
    """
    renew = "Make a new one in the Sesam portal and set it as the app setting SESAM__JWT."
    if not is_token(jwt):
        raise NodeRefused(f"SESAM__JWT is no JSON Web Token. {renew}")
    ends = expiry(jwt)
    if ends is None:
        return "it tells no end"
    if ends <= now:
        raise NodeRefused(f"It ended on {ends:%Y-%m-%d %H:%M} UTC. {renew}")
    days = (ends - now).days
    return f"valid until {ends:%Y-%m-%d %H:%M} UTC, {_days(days)}" + (
        f". {renew}" if days < SOON_DAYS else ""
    )


def _days(days: int) -> str:
    return "less than a day" if not days else f"{days} day{'s' if days > 1 else ''}"


def _queue() -> str:
    probe_export_queue(host_storage())
    return "a message was written and taken back"


def _alive(node: SesamNode) -> str:
    try:
        node.health()
    except NodeUnavailable as failure:
        raise NodeUnavailable(
            f"{failure.detail} See that sesam.url is right, the node runs, and no firewall stands between."
        ) from None
    return f"{node.host} is well"


def _pipe(name: str, export: ExportSettings, node: SesamNode) -> str:
    facts = node.pipe(export.pipe)
    if facts.trouble:
        raise DataRefused(f"{'; '.join(facts.trouble)}: put {export.pipe} right in the node.")
    dialect = csv_dialect(export, facts.sink)
    expected = expected_columns(export, facts.sink, dialect)
    with node.published(export.pipe, allow_unframed=True, limit=1) as published:
        names = Reading(published.chunks, dialect, expected).names
    if export.label and export.label not in names:
        raise DataRefused(
            f"{export.pipe} does not publish the label {export.label}: add it to the pipe's columns, or "
            f"change exports.{name}.label."
        )
    return f"{export.pipe} publishes {len(names)} columns, {_compared(names, exports.latest(name))}" + (
        f" ({facts.note})" if facts.note else ""
    )


def _compared(names: tuple[str, ...], latest: Manifest | None) -> str:
    if latest is None:
        return "no version yet to compare them with"
    before = [column.name for column in latest.columns]
    if list(names) != before:
        raise DataRefused(
            f"It publishes other columns than {latest.version}: {header_difference(before, names)}. The next "
            "export would be held. Put the pipe back, or take the change on: publish the held version, train "
            "on it, adopt it."
        )
    return f"those of {latest.version}"
