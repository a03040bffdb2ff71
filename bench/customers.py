"""The entities of the benchmark: 20 properties of every type, as a Sesam pipe sends them, and their contract.

Values are drawn from a seed, so that every run meets the same. Some are null or absent, as in any hub; the
contract is that of a CSV of the same population, read by the export's own scan.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import msgspec

from contract.contract import Contract, contract_of
from training_export.csv_dialect import Dialect
from training_export.csv_scan import scan

NAMESPACE = "crm-customer"
TRAINING_ROWS = 20_000

type Drawn = tuple[object, str]
"""A value in an entity's JSON, and the same value as a cell of the CSV."""


def _plain(value: object) -> Drawn:
    return value, str(value)


def _tagged(tag: str, text: str) -> Drawn:
    return tag + text, text


def _category(*texts: str) -> Callable[[random.Random], Drawn]:
    return lambda source: _plain(source.choice(texts))


def _flag(source: random.Random) -> Drawn:
    flag = source.random() < 0.4
    return flag, str(flag).lower()


def _day(source: random.Random, first: int, last: int) -> str:
    return f"{source.randrange(first, last)}-{source.randrange(1, 13):02}-{source.randrange(1, 29):02}"


def _clock(source: random.Random) -> str:
    return f"T{source.randrange(24):02}:{source.randrange(60):02}:{source.randrange(60):02}"


PROPERTIES: dict[str, Callable[[random.Random], Drawn]] = {
    "Tenure": lambda source: _plain(source.randrange(120)),
    "Complaints": lambda source: _plain(source.randrange(5)),
    "Orders": lambda source: _plain(source.randrange(10_000)),
    "MonthlySpend": lambda source: _tagged("~f", f"{source.uniform(50, 7000):.4f}"),
    "Income": lambda source: _tagged("~f", f"{source.randrange(150, 2500) * 1000}.00"),
    "Satisfaction": lambda source: _plain(round(source.uniform(1, 5), 1)),
    "Discount": lambda source: _plain(source.random()),
    "CustStatus": _category("Active", "New", "Passive"),
    "CustSegment": _category("Private", "Student", "Business"),
    "Location": _category("Oslo", "Bergen", "Tromsø", "Ålesund", "Bodø", "Hamar"),
    "Channel": _category("web", "shop", "phone"),
    "PostCode": lambda source: _plain(f"0{source.randrange(100, 1000)}"),
    "Name": lambda source: _plain(f"Kari Nordmann {source.randrange(100_000)}"),
    "Address": lambda source: _plain(f"Storgata {source.randrange(200)}, {source.randrange(9)}. etg."),
    "AccountManager": lambda source: ("~:crm-employee:" + (code := f"KN-{source.randrange(9)}"), code),
    "Newsletter": _flag,
    "Member": _flag,
    "BirthDate": lambda source: _tagged("~t", _day(source, 1940, 2006)),
    "LastOrder": lambda source: _tagged("~t", f"{_day(source, 2024, 2026)}{_clock(source)}Z"),
    "LastLogin": lambda source: _tagged(
        "~t", f"{_day(source, 2024, 2026)}{_clock(source)}.{source.randrange(1, 1000):03}Z"
    ),
}
# Absent or null in one entity of ten.
OFTEN_EMPTY = ("Discount", "AccountManager", "LastOrder")


def entities(count: int, seed: int = 2026) -> bytes:
    """Give a request's body of so many entities."""
    return msgspec.json.encode(list(_entities(count, random.Random(seed))))


def _entities(count: int, source: random.Random) -> Iterator[dict[str, object]]:
    for number in range(count):
        entity: dict[str, object] = {
            "_id": f"{NAMESPACE}:{number}",
            "_updated": 1000 + number,
            "_previous": None,
            "_hash": f"{source.getrandbits(128):032x}",
            "_deleted": False,
        }
        for name, draw in PROPERTIES.items():
            value, _ = draw(source)
            if name in OFTEN_EMPTY and source.random() < 0.1:
                if source.random() < 0.5:
                    continue
                value = None
            entity[f"{NAMESPACE}:{name}"] = value
        yield entity


@cache
def contract() -> Contract:
    """Give the contract of a version of the same population."""
    return contract_of(scan(_csv(TRAINING_ROWS), Dialect()).columns, "ChurnFlag")


def _csv(count: int) -> Iterable[bytes]:
    source = random.Random(1)
    yield (",".join(["_id", *PROPERTIES, "ChurnFlag"]) + "\r\n").encode()
    for number in range(count):
        cells = [f'"{draw(source)[1]}"' for draw in PROPERTIES.values()]
        for name in OFTEN_EMPTY:
            if source.random() < 0.1:
                cells[list(PROPERTIES).index(name)] = ""
        yield (",".join([str(number), *cells, "true"]) + "\r\n").encode()
