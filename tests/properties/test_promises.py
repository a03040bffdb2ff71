"""Promises that hold for any input there is: hypothesis looks for one that breaks them."""

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import settings as trying
from hypothesis import strategies as st

from contract.contract import Column, Contract
from contract.features import DoesNotFit, Encoder, Row
from errors import Failure
from scoring.batch import Model, score
from scoring.contracts import Adopted
from scoring.deadline import Deadline
from scoring.models import payload_of
from scoring.rows import RowRefused, Scores
from sections import Dialect, LimitSettings, ModelSettings
from storage import data_blob, manifests_prefix
from tests.exports import HEADER, Bench, FakeNode, whole_version
from tests.fakes import MemoryContainer

PREFIX = "churn:"
CONTRACT = Contract(
    schema_version=1,
    label="Churn",
    columns=(
        Column(name="_id", type="string"),
        Column(name="Age", type="integer", minimum=18, maximum=90),
        Column(name="City", type="string", nullable=True, categories=("Bergen", "Oslo")),
        Column(name="Income", type="number", nullable=True),
        Column(name="Member", type="boolean", nullable=True),
        Column(name="Since", type="datetime", nullable=True),
        Column(name="Churn", type="boolean"),
    ),
)


# ---- what may come in

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
TAGGED = st.sampled_from(
    ["~f1.50", "~t2026-01-01T00:00:00Z", "~:crm:x", "~rhttp://x", "~u", "~b", "~d1", "~"]
)
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | TAGGED
)
VALUE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)
KEY = TEXT | st.sampled_from(
    [
        "Age",
        "City",
        "Income",
        "Member",
        "Since",
        "crm:Age",
        "a:b:City",
        "_deleted",
        "_filtered",
        "churn:label",
    ]
)
ANYTHING = st.dictionaries(KEY, VALUE, max_size=6)
FITTING = st.fixed_dictionaries(
    {"Age": st.integers(18, 90) | st.sampled_from(["42", "~f42", [42]])},
    optional={
        "City": st.sampled_from(["Oslo", "Bergen", "Hamar", "", None]),
        "crm:Income": st.floats(-1e6, 1e6) | st.just("~f10.250"),
        "Member": st.sampled_from([True, False, "true", None]),
        "Since": st.sampled_from(["~t2026-01-02T03:04:05.678Z", None]),
        "_deleted": st.booleans(),
        "churn:label": st.just("of an earlier round"),
    },
)


def named(entities: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give each its own `_id`."""
    return [{"_id": f"crm:{number}", **entity} for number, entity in enumerate(entities)]


ENTITIES = st.lists(FITTING | ANYTHING, max_size=8).map(named)


# ---- a model whose score of a row tells every cell of it


def service(encoder: Encoder, rows: Sequence[Row], deadline: Deadline) -> list[Scores | RowRefused]:
    del encoder, deadline
    return [_told(row) for row in rows]


def _told(row: Row) -> Scores | RowRefused:
    if row[0] == 66:
        return RowRefused(400, "the model refuses the row")
    return {f"{PREFIX}label": hashlib.sha256(repr(row).encode()).hexdigest()}


def model_settings(**given: object) -> ModelSettings:
    fixed = {"url": "http://127.0.0.1/x", "auth": "none", "contract": "customers", "features": ()}
    return ModelSettings.model_validate(fixed | given)


def scored(entities: Sequence[Mapping[str, Any]], policy: str = "mark") -> list[dict[str, Any]]:
    encoder = Encoder(CONTRACT, prefix=PREFIX)
    adopted = Adopted("20261123T020000Z-0", "abc", CONTRACT, "")
    model = Model(
        name="churn",
        settings=model_settings(on_bad_entity=policy),
        prefix=PREFIX,
        limits=LimitSettings(),
        adopted=lambda _: adopted,
        encoder=lambda _: encoder,
        send=service,
        left_alone_for=lambda: 0.0,
        threads=ThreadPoolExecutor(1),
    )
    answer = score(json.dumps(entities).encode(), model, Deadline.after(5))
    decoded: list[dict[str, Any]] = json.loads(answer.body)
    return decoded


@pytest.mark.statement("P1", "P2")
@pytest.mark.fault(3, 6, 7, 8)
@pytest.mark.parametrize("policy", ["mark", "fail"])
@given(entities=ENTITIES)
@example(entities=named([{"Age": 30}, {"Age": 66}, {"Age": []}, {"Age": {"a": 1}}, {"Age": "~:a"}]))
def test_every_entity_comes_back_once_in_its_place_or_the_call_fails(
    entities: list[dict[str, Any]], policy: str
) -> None:
    try:
        back = scored(entities, policy)
    except Failure as failure:
        assert 400 <= failure.status < 500
        assert failure.problem("r")["detail"]
        return
    assert [entity["_id"] for entity in back] == [entity["_id"] for entity in entities]
    for before, after in zip(entities, back, strict=True):
        added = {key for key in after if key.startswith(PREFIX)}
        passed = before.get("_deleted") is True or before.get("_filtered") is True
        assert passed or len(added & {f"{PREFIX}label", f"{PREFIX}error"}) == 1
        for key, value in before.items():
            if not key.startswith(PREFIX):
                assert after[key] == value


@pytest.mark.statement("P1")
@pytest.mark.fault(2, 3)
@given(st.lists(VALUE, min_size=1, max_size=5))
def test_an_array_with_an_element_that_is_no_entity_is_refused_whole(elements: list[Any]) -> None:
    body = [*named([{"Age": 30}]), *elements]
    with pytest.raises(Failure) as failure:
        scored(body)
    assert failure.value.status in (400, 413)
    assert re.match(r"Element [1-9]", failure.value.detail)


@pytest.mark.statement("P3")
@pytest.mark.fault(6)
@given(st.lists(FITTING, max_size=8).map(named), st.integers())
def test_neither_the_order_of_keys_nor_that_of_entities_changes_a_score(
    entities: list[dict[str, Any]], seed: int
) -> None:
    chance = random.Random(seed)
    mixed = [dict(chance.sample(list(entity.items()), len(entity))) for entity in entities]
    chance.shuffle(mixed)
    try:
        plain = {entity["_id"]: entity for entity in scored(entities)}
    except Failure:
        with pytest.raises(Failure):
            scored(mixed)
        return
    assert {entity["_id"]: entity for entity in scored(mixed)} == plain


@pytest.mark.statement("P14")
@pytest.mark.parametrize("dialect", get_args(Dialect))
@trying(max_examples=25)
@given(st.lists(FITTING, min_size=1, max_size=5).map(named), st.integers())
def test_a_stored_batch_and_a_stored_contract_make_the_same_request_byte_for_byte(
    dialect: str, entities: list[dict[str, Any]], seed: int
) -> None:
    chance = random.Random(seed)
    stored = Contract.from_json(CONTRACT.to_json(), CONTRACT.id)
    mixed = [dict(chance.sample(list(entity.items()), len(entity))) for entity in entities]
    assert request(dialect, stored, mixed) == request(dialect, CONTRACT, entities)


def request(dialect: str, contract: Contract, entities: Sequence[Mapping[str, Any]]) -> bytes:
    encoder = Encoder(contract, prefix=PREFIX)
    rows = []
    for entity in msgspec.json.decode(msgspec.json.encode(entities)):
        try:
            rows.append(encoder.encode(entity).row)
        except DoesNotFit:
            continue
    return payload_of(model_settings(dialect=dialect), PREFIX, encoder).write(rows)


# ---- any bytes as CSV

CELL = st.text(st.sampled_from('ab,"\r\n;0 \0é'), max_size=4)
LINES = st.lists(st.lists(CELL, min_size=1, max_size=5), max_size=5)
ALMOST = LINES.map(lambda rows: HEADER + b"".join(",".join(row).encode() + b"\r\n" for row in rows))
QUOTED = st.lists(
    st.tuples(*[st.text(st.sampled_from('a,"\r\n'), max_size=4)] * 4), min_size=1, max_size=5
).map(
    lambda rows: (
        HEADER
        + b"".join(
            ",".join('"' + cell.replace('"', '""') + '"' for cell in row).encode() + b"\r\n" for row in rows
        )
    )
)


@pytest.mark.statement("P9")
@pytest.mark.fault(31, 34)
@given(st.binary(max_size=80) | st.binary(max_size=30).map(lambda tail: HEADER + tail) | ALMOST | QUOTED)
@example(HEADER + b"1,a,2,true\r\n")
@example(HEADER + b"1,a,2,true")
def test_any_bytes_become_a_version_that_reads_back_as_those_bytes_or_none(body: bytes) -> None:
    memory = MemoryContainer()
    bench = Bench(container=memory, node=FakeNode(body))
    done = bench.run()
    if not bench.names(manifests_prefix("customers")):
        assert done.outcome == "failed"
        assert done.detail
        assert bench.versions.latest() is None
        return
    assert done.outcome in ("published", "held")
    assert done.version
    whole_version(memory, done.version)
    assert b"".join(memory.download(data_blob("customers", done.version))) == body
