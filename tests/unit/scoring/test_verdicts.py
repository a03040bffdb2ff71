"""The table of verdicts, line by line: what an answer or a fault means for the rows that were sent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import (
    BadAnswer,
    CredentialsRefused,
    Failure,
    Fault,
    ServiceDown,
    Silence,
    Throttled,
    TooLarge,
)
from scoring.cases import ANSWERED, MODEL_REASON, MODEL_STATUS, RULES, RUN_FAILED, Action
from scoring.verdicts import (
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    InnerError,
    Outcome,
    Reply,
    Trouble,
    Verdict,
    _codes,
    judge,
    rule_of,
    wait_s,
)

DONE, RETRY, SPLIT, BLAME, REFRESH, STOP = Action


def classic(kind: str, reason: str) -> bytes:
    details = [{"code": reason, "message": "for Kari Nordmann"}]
    return json.dumps({"error": {"code": kind, "message": "m", "details": details}}).encode()


def behind(status: int, reason: str = "model_error") -> dict[str, str]:
    """The headers that Azure's front adds to a 424."""
    return {MODEL_STATUS: str(status), MODEL_REASON: reason}


@dataclass
class Row:
    """What comes back, each time it comes back, and what the call fails with where it ends there."""

    what: str
    outcome: Outcome
    actions: Sequence[Action]
    failure: type[Failure] = BadAnswer
    alone: Sequence[Action] = field(default_factory=tuple)


ROWS = [
    Row("a 200", Reply(200, {}, b"[]"), [DONE]),
    Row("an error inside a 200", InnerError("no such column"), [BLAME]),
    Row("silence", Trouble(Fault.SILENT), [RETRY, SPLIT, SPLIT], Silence, [RETRY, RETRY, RETRY]),
    Row("no connection", Trouble(Fault.UNREACHABLE), [RETRY] * 3, ServiceDown),
    Row("a broken answer", Trouble(Fault.BROKEN), [RETRY] * 3, ServiceDown),
    Row("an untrusted certificate", Trouble(Fault.UNTRUSTED), [STOP], ServiceDown),
    Row("no HTTP", Trouble(Fault.GARBLED), [STOP]),
    Row("a fault nobody foresaw", Trouble(Fault.BUG), [STOP]),
    Row("a redirect", Reply(302), [STOP]),
    Row("not modified", Reply(304), [STOP]),
    Row("400", Reply(400), [BLAME]),
    Row("400 of Designer", Reply(400, {}, b'{"error":{"code":400,"message":"x","details":""}}'), [BLAME]),
    Row("400 classic: data", Reply(400, {}, classic("BadArgument", "InputParseError")), [BLAME]),
    Row("400 classic: script", Reply(400, {}, classic("LibraryExecutionError", "X")), [BLAME]),
    Row("400 classic: input name", Reply(400, {}, classic("BadArgument", "InvalidInputNames")), [STOP]),
    Row("400 classic: parameter", Reply(400, {}, classic("BadArgument", "UnexpectedParameter")), [STOP]),
    Row("401", Reply(401), [REFRESH, STOP], CredentialsRefused),
    Row("403", Reply(403), [STOP], CredentialsRefused),
    Row("404", Reply(404), [STOP], ServiceDown),
    Row("408", Reply(408), [RETRY, SPLIT], Silence, [RETRY, RETRY]),
    Row("409 of Kubernetes", Reply(409), [RETRY, RETRY], ServiceDown),
    Row("409 classic", Reply(409, {}, classic("Conflict", "ModelOutputMetadataMismatch")), [STOP]),
    Row("413", Reply(413), [SPLIT], TooLarge, [BLAME]),
    Row(
        "413 classic", Reply(413, {}, classic("MemoryQuotaViolation", "OutOfMemoryLimit")), [SPLIT], TooLarge
    ),
    Row("415", Reply(415), [STOP]),
    Row("422", Reply(422), [BLAME]),
    Row("424 without headers", Reply(424), [STOP]),
    Row("424 busy", Reply(424, behind(0, "too_many_pending_request")), [RETRY] * 3, Throttled),
    Row("424 not ready", Reply(424, behind(0, "model_not_ready")), [RETRY] * 3, ServiceDown),
    Row("424 too few", Reply(424, behind(0, "too_few_model_instance")), [RETRY] * 3, ServiceDown),
    Row("424 of 429", Reply(424, behind(429)), [RETRY] * 3, Throttled),
    Row("424 of 503", Reply(424, behind(503)), [RETRY] * 3, ServiceDown),
    Row("424 of 408", Reply(424, behind(408)), [RETRY, SPLIT], Silence, [RETRY, RETRY]),
    Row("424 of 504", Reply(424, behind(504)), [RETRY, SPLIT], Silence, [RETRY, RETRY]),
    Row("424 of 413", Reply(424, behind(413)), [SPLIT], TooLarge, [BLAME]),
    Row("424 of 400", Reply(424, behind(400)), [BLAME]),
    Row("424 of 422", Reply(424, behind(422)), [BLAME]),
    Row("424 of 500", Reply(424, behind(500)), [RETRY, BLAME, BLAME]),
    Row("424 of 404", Reply(424, behind(404)), [STOP]),
    Row("424 of 415", Reply(424, behind(415)), [STOP]),
    Row("424 of 431", Reply(424, behind(431)), [STOP]),
    Row("424 of 502", Reply(424, behind(502)), [STOP]),
    Row("429", Reply(429), [RETRY] * 3, Throttled),
    Row("500 of azmlinfsrv", Reply(500, {RUN_FAILED: "True"}), [RETRY, BLAME]),
    Row("500", Reply(500), [RETRY, RETRY, STOP], ServiceDown),
    Row("500 classic", Reply(500, {}, classic("InternalError", "X")), [RETRY, RETRY, STOP], ServiceDown),
    Row("502", Reply(502), [RETRY, RETRY, BLAME], ServiceDown),
    Row("503", Reply(503), [RETRY] * 3, ServiceDown),
    Row(
        "503 classic throttled",
        Reply(503, {}, classic("ServiceUnavailable", "RequestThrottled")),
        [RETRY] * 3,
        Throttled,
    ),
    Row(
        "503 classic starting",
        Reply(503, {}, classic("InitializingContainers", "TooManyHostsBeingInitialized")),
        [RETRY] * 3,
        ServiceDown,
    ),
    Row("504", Reply(504), [RETRY, SPLIT], Silence, [RETRY, RETRY]),
    Row("501", Reply(501), [STOP]),
]


def verdicts(outcome: Outcome, times: int, rows: int) -> list[Verdict]:
    """What the same outcome means, time after time."""
    found: list[Verdict] = []
    for _ in range(times):
        found.append(judge(outcome, [earlier.case for earlier in found], rows=rows))
    return found


@pytest.mark.statement("azureml-16", "azureml-29", "azureml-31", "azureml-32", "azureml-33", "azureml-34")
@pytest.mark.fault(10, 11, 13, 14)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_the_table(row: Row) -> None:
    many = verdicts(row.outcome, len(row.actions), rows=100)
    assert [verdict.action for verdict in many] == list(row.actions)
    assert many[-1].case.failure is row.failure
    one = verdicts(row.outcome, len(row.alone), rows=1)
    assert [verdict.action for verdict in one] == list(row.alone)


def test_every_row_of_the_table_is_tried_here() -> None:
    tried = {id(rule_of(row.outcome, _codes(row.outcome))) for row in ROWS}
    assert [rule for rule in RULES if id(rule) not in tried] == []


def test_every_row_of_the_table_names_its_source() -> None:
    assert all(rule.source for rule in RULES)


KNOWN = {200, 400, 401, 403, 404, 408, 409, 413, 415, 422, 424, 429, 500, 502, 503, 504}


def test_an_unknown_status_stops_the_call() -> None:
    unknown = set(range(100, 600)) - KNOWN
    assert {judge(Reply(status)).action for status in unknown} == {STOP}


@pytest.mark.statement("azureml-38")
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "No deployment has traffic, or the model's url or deployment is wrong"),
        (401, "https://ml.azure.com/.default"),
        (403, "AzureML Data Scientist"),
        (415, "content type application/json"),
        (302, "Set the model's url to the final address"),
        (429, "in_flight"),
        (408, "request_timeout_ms"),
    ],
)
def test_a_failure_says_what_to_do(status: int, words: str) -> None:
    failure = judge(Reply(status)).failure("The web service of churn (host)")
    assert words in failure.detail
    assert failure.detail.startswith("The web service of churn (host): ")
    assert f"status {status}" in failure.detail


@pytest.mark.statement("azureml-42")
def test_nothing_of_a_body_or_a_header_is_shown_but_words_of_the_platform() -> None:
    body = classic("Kari Nordmann, Oslo", "12345")
    told = judge(Reply(503, behind(500, "row 7: Kari"), body)).failure("x").detail
    assert "Kari" not in told
    assert "12345" not in told
    told = judge(Reply(503, {}, classic("ServiceUnavailable", "RequestThrottled"))).failure("x").detail
    assert "RequestThrottled" in told


@pytest.mark.statement("azureml-42")
@given(body=st.binary(max_size=300), status=st.integers(100, 599))
def test_any_body_is_judged_and_none_is_shown(body: bytes, status: int) -> None:
    verdict = judge(Reply(status, {}, b'{"error": "' + body + b'"}'))
    assert verdict.action is judge(Reply(status)).action
    assert verdict.message == judge(Reply(status)).message


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["error", "code", "details"]), inner),
    )
)
def test_any_shape_of_an_error_body_is_survived(answer: object) -> None:
    judge(Reply(503, {}, json.dumps({"error": answer}).encode()))


def test_a_row_is_refused_with_the_status_that_the_model_gave() -> None:
    assert judge(Reply(424, behind(500))).status == 500
    assert judge(Reply(400)).status == 400
    assert judge(InnerError("x")).status == 422


def test_only_what_explains_nothing_speaks_for_a_service_that_is_down() -> None:
    struck = {row.what for row in ROWS if judge(row.outcome).case.strike}
    assert struck == {
        *("silence", "no connection", "a broken answer"),
        *("408", "504", "424 of 408", "424 of 504"),
        *("500", "500 classic", "502", "503", "424 of 503"),
    }


# ---- waiting

NOW = "Tue, 24 Nov 2026 10:00:00 GMT"


@pytest.mark.statement("azureml-30")
@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "86400"}, LONGEST_WAIT_S),
        ({"retry-after": "Tue, 24 Nov 2026 10:00:09 GMT", "date": NOW}, 9.0),
        ({"retry-after": "Tue, 24 Nov 2026 09:00:00 GMT", "date": NOW}, 0.0),
        ({"retry-after": "Wed, 24 Nov 2027 10:00:00 GMT", "date": NOW}, LONGEST_WAIT_S),
        ({"retry-after": "Tue, 24 Nov 2026 10:00:09 GMT"}, None),
        ({"retry-after": "soon", "date": NOW}, None),
        ({"retry-after": "-5", "date": NOW}, None),
        ({"retry-after": "1e400", "date": NOW}, None),
        ({"retry-after": "", "date": NOW}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_seconds_and_as_a_date_and_capped(
    headers: Mapping[str, str], seconds: float | None
) -> None:
    assert judge(Reply(429, headers)).retry_after == seconds


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_retry_after_is_survived(text: str, date: str) -> None:
    asked = judge(Reply(429, {"retry-after": text, "date": date})).retry_after
    assert asked is None or 0 <= asked <= LONGEST_WAIT_S


@pytest.mark.statement("azureml-29", "azureml-30")
@given(
    attempt=st.integers(1, 20), chance=st.floats(0, 1, exclude_max=True), asked=st.none() | st.floats(0, 30)
)
def test_waits_grow_to_a_cap_with_jitter_and_are_never_shorter_than_asked(
    attempt: int, chance: float, asked: float | None
) -> None:
    verdict = Verdict(ANSWERED, RETRY, retry_after=asked)
    wait = wait_s(verdict, attempt, lambda: chance)
    if asked is None:
        whole = min(FIRST_WAIT_S * 2 ** (attempt - 1), LONGEST_WAIT_S)
        assert whole / 2 <= wait <= whole
    else:
        assert asked <= wait <= asked + 1


def test_jitter_spreads_the_waits() -> None:
    verdict = judge(Reply(429))
    assert wait_s(verdict, 3, lambda: 0.0) == 2.0
    assert wait_s(verdict, 3, lambda: 0.5) == 3.0


@pytest.mark.parametrize("row", [r for r in ROWS if r.failure.transient], ids=lambda row: row.what)
def test_what_time_can_mend_says_when_to_come_again(row: Row) -> None:
    assert judge(row.outcome).failure("x").retry_after == LONGEST_WAIT_S


def test_what_time_cannot_mend_does_not() -> None:
    assert judge(Reply(403)).failure("x").retry_after is None
