"""Churn customers for the stand-in node, made from a seed: the same ones every time.

They come as a hub gets them, from two systems, in JSON with transit values: `crm-customer` has all of them,
`webshop-customer` six in seven; the sample pipe `customers-global` merges the two. With what real hubs have:
decimals with trailing zeros, datetimes of 0 to 9 digits, dates, namespaced identifiers, URIs, UUIDs, bytes,
integers beyond 64 bits, nested properties; properties that are absent here and null there, a scalar here and
a list of one there, in another order from entity to entity; Norwegian names, postcodes with leading zeros,
addresses with quotes and newlines; customers that were deleted.

Whether a customer has left (`ChurnFlag`) follows from tenure, complaints, status, segment, spend and luck.
"""

import math
import uuid
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random

type Entity = dict[str, object]

COUNT = 5000
SEED = 2026

FIRST_NUMBER = 100
DELETED = 0.02
IN_WEBSHOP = 6 / 7
LIST_OF_ONE = 0.03
NULL_RATHER_THAN_ABSENT = 0.5

TODAY = datetime(2026, 11, 1, tzinfo=UTC)

FIRST_NAMES = (
    "Øyvind", "Åse", "Bjørn", "Sølvi", "Håkon", "Ragnhild", "Torbjørn", "Kåre", "Gunhild", "Ingrid",
    "Lars", "Kari", "Ole", "Astrid", "Jørgen", "Tuva", "Nils", "Märta", "Per-Åge", "Anne", "Siv", "Odd",
    "Solveig", "Tor", "Berit", "Einar", "Liv", "Mohammed", "Zoë", "Ahmed"
)  # fmt: skip
LAST_NAMES = (
    "Hansen", "Johansen", "Ødegård", "Sæther", "Bråten", "Nygård", "Lie", "Løken", "Aas", "Strøm",
    "Ruud", "Dahl", "Å", "Bøe", "Hågensen", "Kjærstad", "Moe", "Sørlie", "Tønnesen", "Haugen", "Bakken",
    "Eide", "O'Brien", "Nguyen"
)  # fmt: skip
STREETS = ("Storgata", "Kirkeveien", "Åsveien", "Sjøgata", "Ringveien", "Øvre Torggate", "Fjellveien")
PLACES = {
    "Oslo": ("0150", "0252", "0459", "0575", "0855"),
    "Bergen": ("5003", "5019", "5147"),
    "Trondheim": ("7010", "7030"),
    "Stavanger": ("4005", "4021"),
    "Tromsø": ("9008", "9010"),
    "Bodø": ("8003",),
    "Ålesund": ("6002",),
}
EMPLOYEES = ("KN-07", "TR-11", "ØB-02", "SL-19")

# How each inclines a customer to leave, in logits.
OF_STATUS = {"Active": -1.2, "New": 0.2, "Passive": 1.4, "OnHold": 2.2}
OF_SEGMENT = {"Private": 0.0, "Student": 1.1, "Senior": -0.9, "Business": -1.6}
OF_A_COMPLAINT = 1.1
OF_A_MONTH = -0.035
OF_A_KRONE = -0.0012
AT_REST = 1.4
DETERMINATION = 1.8


@dataclass(frozen=True, slots=True)
class _Customer:
    """What is true of a customer, before two systems write it down."""

    number: int
    name: str
    place: str | None
    postcode: str
    address: str
    status: str
    segment: str
    born: date | None
    since: date
    tenure: int
    complaints: int | None
    newsletter: bool
    spend: Decimal
    manager: str | None
    churned: bool
    deleted: bool


def datasets(count: int = COUNT, seed: int = SEED) -> dict[str, list[Entity]]:
    """Make the datasets `crm-customer` and `webshop-customer`; fewer customers are the first of more."""
    crm, webshop = [], []
    for number in range(FIRST_NUMBER, FIRST_NUMBER + count):
        random = Random(f"{seed}/{number}")
        customer = _customer(number, random)
        crm.append(_in_crm(customer, random))
        if random.random() < IN_WEBSHOP:
            webshop.append(_in_webshop(customer, random))
    return {"crm-customer": crm, "webshop-customer": webshop}


def _customer(number: int, random: Random) -> _Customer:
    status = random.choices(list(OF_STATUS), (60, 10, 20, 10))[0]
    segment = random.choices(list(OF_SEGMENT), (50, 15, 20, 15))[0]
    tenure = random.randrange(3) if status == "New" else random.randrange(3, 120)
    complaints = random.choices((0, 1, 2, 3), (70, 20, 7, 3))[0]
    spend = Decimal(round(random.lognormvariate(6.5, 0.6) * 2)) / 2  # to half a krone
    inclination = (
        AT_REST
        + OF_STATUS[status]
        + OF_SEGMENT[segment]
        + OF_A_MONTH * tenure
        + OF_A_COMPLAINT * complaints
        + OF_A_KRONE * float(spend)
    )
    place = random.choice(list(PLACES))
    postcode = random.choice(PLACES[place])
    business = segment == "Business"
    return _Customer(
        number=number,
        name=f"{random.choice(FIRST_NAMES)} {random.choice(LAST_NAMES)}",
        place=place if random.random() < 0.96 else None,
        postcode=postcode,
        address=_address(postcode, place, random),
        status=status,
        segment=segment,
        born=None if business else date(1936, 1, 1) + timedelta(days=random.randrange(26_000)),
        since=(TODAY - timedelta(days=30 * tenure + random.randrange(30))).date(),
        tenure=tenure,
        # Nobody writes a nought down: no complaint is most often no value.
        complaints=complaints if complaints or random.random() < 0.5 else None,
        newsletter=random.random() < 0.4,
        spend=spend,
        manager=random.choice(EMPLOYEES) if business or random.random() < 0.1 else None,
        churned=random.random() < 1 / (1 + math.exp(-DETERMINATION * inclination)),
        deleted=random.random() < DELETED,
    )


def _address(postcode: str, place: str, random: Random) -> str:
    street = f"{random.choice(STREETS)} {random.randrange(1, 90)}"
    if random.random() < 0.1:
        street += ' "bakgården"'
    return f"{street}\n{postcode} {place}" if random.random() < 0.6 else f"{street}, {postcode} {place}"


def _in_crm(customer: _Customer, random: Random) -> Entity:
    homepage = f"~rhttps://www.kunde{customer.number}.no/" if customer.segment == "Business" else None
    return _entity(
        "crm-customer",
        str(customer.number),
        customer.deleted,
        {
            "CustomerNo": str(customer.number),
            "Name": customer.name,
            "Location": customer.place,
            "CustStatus": customer.status,
            "CustSegment": customer.segment,
            "PostCode": customer.postcode,
            "Address": customer.address,
            "BirthDate": customer.born and f"~t{customer.born}",
            "CustomerSince": f"~t{customer.since}",
            "Tenure": customer.tenure,
            "Complaints": customer.complaints,
            "Newsletter": customer.newsletter,
            "MonthlySpend": f"~f{customer.spend:.4f}",
            "AccountManager": customer.manager and f"~:crm-employee:{customer.manager}",
            "Homepage": homepage,
            "LegacyKey": 10**29 + customer.number,
            "ChurnFlag": customer.churned,
        },
        random,
    )


def _in_webshop(customer: _Customer, random: Random) -> Entity:
    ordered = random.random() < 0.9
    orders = [f"~:webshop-order:{random.randrange(10**6)}" for _ in range(random.randrange(4))]
    loyalty = uuid.UUID(int=random.getrandbits(128), version=4)
    return _entity(
        "webshop-customer",
        str(7_000_000 + customer.number),
        customer.deleted,
        {
            "CrmNo": str(customer.number),
            "Income": f"~f{random.randrange(150, 2500) * 1000}.00" if random.random() < 0.8 else None,
            "Satisfaction": round(random.uniform(1, 5), 1) if random.random() < 0.5 else None,
            "LastOrder": _moment(random, digits=6) if ordered else None,
            "LastLogin": _moment(random, digits=9),
            "LoyaltyId": f"~u{loyalty}",
            "Orders": orders,
            "Preferences": {
                "webshop-customer:language": "nb",
                "webshop-customer:credit": f"~f{random.randrange(50)}.50",
            },
            "Avatar": f"~b{b64encode(random.randbytes(6)).decode()}",
        },
        random,
    )


# What the merge joins on, and what is a list or a dict in its own right, keeps its form.
KEEP_THEIR_FORM = frozenset({"CustomerNo", "CrmNo", "Orders", "Preferences"})


def _entity(
    namespace: str, identifier: str, deleted: bool, properties: dict[str, object], random: Random
) -> Entity:
    entity: Entity = {"rdf:type": f"~:{namespace}:customer"}
    for name, value in properties.items():
        if value is None and random.random() >= NULL_RATHER_THAN_ABSENT:
            continue
        as_list = value is not None and name not in KEEP_THEIR_FORM and random.random() < LIST_OF_ONE
        entity[f"{namespace}:{name}"] = [value] if as_list else value
    return {"_id": f"{namespace}:{identifier}", **_shuffled(entity.items(), random), "_deleted": deleted}


def _shuffled(items: Iterable[tuple[str, object]], random: Random) -> Entity:
    order = list(items)
    random.shuffle(order)
    return dict(order)


def _moment(random: Random, digits: int) -> str:
    """Make a datetime of 0 to `digits` digits of the second, of the two years before today."""
    moment = TODAY - timedelta(seconds=random.randrange(1, 2 * 365 * 86_400))
    fraction = "".join(random.choices("0123456789", k=random.randrange(digits + 1))).rstrip("0")
    return f"~t{moment:%Y-%m-%dT%H:%M:%S}" + (f".{fraction}" if fraction else "") + "Z"
