"""What a caller can rely on of a batch, whatever the web service does on the socket."""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import formatdate
from typing import Any

import pytest

import cutoff
from errors import BadAnswer, CredentialsRefused, Failure, ServiceDown, Silence, Throttled
from scoring import endpoint as endpoint_module
from scoring.breaker import FIRST_PAUSE_S, STRIKES
from scoring.deadline import Deadline
from scoring.endpoint import Endpoint
from scoring.identity import EntraIdentity
from scoring.rows import RowRefused, RowScorer
from tests.faults.scoring.conftest import (
    KEY,
    Score,
    ask,
    failing_on,
    model_service,
    right,
    rows,
    scorer_of,
)
from tests.rogue import (
    Rogue,
    Scene,
    Visit,
    answer,
    chunked,
    drip,
    head,
    raw,
    reset,
    short,
    silent,
    then_reset,
    unframed,
    zipped,
)

BEHIND_500 = {"ms-azureml-model-error-statuscode": "500", "ms-azureml-model-error-reason": "model_error"}
SCRIPT_FAILED = b'{"message":"An unexpected error occurred in scoring script. Check the logs."}'
ALL = [right(number) for number in range(10)]


def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + 5
    while not holds() and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert holds()


def all_gone(server: Rogue) -> None:
    """Wait until the server has no connection any more."""
    until(lambda: not server.open)


# ---- rows that the model refuses


@pytest.mark.fault(10, 11)
@pytest.mark.statement("azureml-31", "azureml-34", "azureml-35")
@pytest.mark.parametrize(
    "scene",
    [
        answer(400, b"{}"),
        answer(422, b"{}"),
        answer(424, SCRIPT_FAILED, BEHIND_500),
        answer(424, b"{}", {"ms-azureml-model-error-statuscode": "400"}),
        answer(500, SCRIPT_FAILED, {"x-ms-run-function-failed": "True"}),
        answer(502, b"<html>Bad Gateway</html>"),
        answer(200, json.dumps(json.dumps({"error": "no such category"})).encode()),
    ],
    ids=["400", "422", "424/500", "424/400", "500 of azmlinfsrv", "502", "an error inside a 200"],
)
def test_one_bad_row_of_a_hundred_is_refused_and_the_others_are_scored(score: Score, scene: Scene) -> None:
    with Rogue(failing_on({61}, scene)) as server:
        found = score(server, 100)
    assert [n for n, result in enumerate(found) if isinstance(result, RowRefused)] == [61]
    assert [r for r in found if isinstance(r, dict)] == [right(n) for n in range(100) if n != 61]
    assert len(server.received) <= 1 + 2 * 7 + 3  # and the retries that 500 and 502 ask for


@pytest.mark.fault(10)
@pytest.mark.statement("azureml-35")
def test_one_bad_row_of_a_thousand(score: Score) -> None:
    with Rogue(failing_on({617}, answer(424, SCRIPT_FAILED, BEHIND_500))) as server:
        found = score(server, 1000)
    assert sum(isinstance(result, dict) for result in found) == 999
    assert isinstance(found[617], RowRefused)
    assert len(server.received) <= 1 + 2 * 10 + 1


@pytest.mark.fault(10)
@pytest.mark.statement("azureml-42")
def test_nothing_of_an_error_body_is_told(score: Score, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    body = {"error_code": "BAD", "message": "Failed to predict 'Kari Nordmann'", "stack_trace": "File x.py"}
    scene = answer(400, json.dumps(body).encode())
    with Rogue(failing_on({3}, scene)) as server:
        (refused,) = [r for r in score(server, 10) if isinstance(r, RowRefused)]
    assert refused == RowRefused(400, "the model refuses the rows (status 400)")
    with Rogue(scene) as server, pytest.raises(BadAnswer) as error:
        score(server, 10)
    for told in (error.value.detail, caplog.text):
        assert "Kari" not in told
        assert "x.py" not in told
        assert KEY not in told


@pytest.mark.fault(10)
@pytest.mark.parametrize("count", [1, 2, 100])
def test_a_service_that_refuses_everything_is_broken_and_no_row_is_blamed(score: Score, count: int) -> None:
    with Rogue(answer(424, SCRIPT_FAILED, BEHIND_500)) as server, pytest.raises(BadAnswer):
        score(server, count)
    assert len(server.received) < 60


# ---- faults that pass

PASSING: dict[str, Scene] = {
    "429": answer(429),
    "429 with seconds": answer(429, b"", {"Retry-After": "1"}),
    "429 with a date": answer(429, b"", {"Retry-After": formatdate(time.time() + 5, usegmt=True)}),
    "429 with a day": answer(429, b"", {"Retry-After": "86400"}),
    "503": answer(503, b"<html>upstream</html>"),
    "503 classic": answer(
        503, b'{"error":{"code":"ServiceUnavailable","details":[{"code":"RequestThrottled"}]}}'
    ),
    "424 busy": answer(424, b"", {"ms-azureml-model-error-reason": "too_many_pending_request"}),
    "424/503": answer(424, b"", {"ms-azureml-model-error-statuscode": "503"}),
    "424/500": answer(424, SCRIPT_FAILED, BEHIND_500),
    "500": answer(500),
    "502": answer(502),
    "504": answer(504, b"<html>504 Gateway Time-out</html>"),
    "409": answer(409),
    "a reset before the answer": reset(),
    "a reset in the answer": reset(head(200, {"Content-Length": "100"}) + b"["),
    "a body shorter than its length": short(b"[1, 2]"),
    "a chunk missing": chunked(b"[1, 2, 3, 4]", whole=False),
    "a gzip cut": zipped(b"[1, 2, 3, 4]", cut=3),
    "an unframed answer cut": unframed(b"[1, 2"),
    "an empty unframed answer": unframed(b""),
    "silence": silent,
    "a drip": drip(head(200, {"x-long": "a" * 1000})),
}


@pytest.mark.fault(11, 12, 13, 18, 19, 20, 23)
@pytest.mark.statement("azureml-29", "azureml-30", "azureml-31", "azureml-32", "azureml-36")
@pytest.mark.parametrize("scene", PASSING.values(), ids=PASSING)
def test_a_fault_that_passes_costs_one_more_request_and_each_row_is_scored_once(
    score: Score, scene: Scene
) -> None:
    with Rogue(scene, model_service) as server:
        assert score(server, 10, timeout_s=0.2, seconds=60) == ALL
    first, second = (received.body for received in server.received)
    assert first == second  # so the model may score a row twice


@pytest.mark.fault(24)
def test_only_the_batch_that_failed_is_sent_again(score: Score) -> None:
    with Rogue(model_service, model_service, answer(503), model_service) as server:
        assert score(server, 50, batch_rows=10) == [right(number) for number in range(50)]
    first = [json.loads(received.body)["data"][0][0] for received in server.received]
    assert len(first) == 6
    assert set(first) == {0, 10, 20, 30, 40}


# ---- faults that stay

STAYING: dict[str, tuple[Scene, type[Failure]]] = {
    "429": (answer(429), Throttled),
    "503": (answer(503), ServiceDown),
    "500": (answer(500), ServiceDown),
    "resets": (reset(), ServiceDown),
    "cut answers": (short(b"[1]"), ServiceDown),
    "silence": (silent, Silence),
    "a drip in the head": (drip(head(200, {"x-long": "a" * 1000})), Silence),
    "a drip in the body": (drip(head(200, {"Content-Length": "9999"}) + b"[" + b" " * 999), Silence),
    "504": (answer(504), Silence),
    "401": (answer(401), CredentialsRefused),
    "403": (answer(403), CredentialsRefused),
    "404": (answer(404), ServiceDown),
    "a redirect": (answer(302, b"", {"Location": "http://localhost:1/"}), BadAnswer),
    "415": (answer(415), BadAnswer),
    "a login page": (answer(200, b"<html>Sign in</html>", {"Content-Type": "text/html"}), BadAnswer),
    "text that says it is JSON": (answer(200, b"Request processing time exceeded limit"), BadAnswer),
    "an empty 200": (answer(200), BadAnswer),
    "a result too few": (answer(200, b"[1, 2, 3, 4, 5, 6, 7, 8, 9]"), BadAnswer),
    "a result too many": (answer(200, b"[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]"), BadAnswer),
    "no HTTP": (raw(b"220 smtp.example ESMTP\r\n"), BadAnswer),
    "a 204": (raw(head(204)), BadAnswer),
}


@pytest.mark.fault(12, 13, 14, 15, 16, 18, 19, 20, 22)
@pytest.mark.statement(
    "azureml-16", "azureml-22", "azureml-25", "azureml-29", "azureml-38", "azureml-40", "P4", "P5"
)
@pytest.mark.parametrize(("scene", "kind"), STAYING.values(), ids=STAYING)
def test_a_fault_that_stays_fails_the_call_in_time_and_within_its_attempts(
    score: Score, scene: Scene, kind: type[Failure]
) -> None:
    began = time.monotonic()
    with Rogue(scene) as server, pytest.raises(kind) as error:
        score(server, 10, timeout_s=0.3, seconds=0.8)
    assert time.monotonic() - began < 1.2
    assert len(server.received) <= 12
    assert error.value.detail.startswith("The web service of churn (localhost)")
    assert KEY not in error.value.detail
    assert (error.value.retry_after is not None) == kind.transient


@pytest.mark.fault(17)
@pytest.mark.statement("azureml-24")
def test_bare_nan_is_null(score: Score) -> None:
    with Rogue(answer(200, b"[NaN, Infinity, 0.5]")) as server:
        assert [tuple(r.values()) for r in score(server, 3) if isinstance(r, dict)] == [
            (None,),
            (None,),
            (0.5,),
        ]


@pytest.mark.statement("azureml-28")
def test_large_integers_and_floats_survive(score: Score) -> None:
    with Rogue(answer(200, b"[9007199254740993, 18446744073709551616, 0.1]")) as server:
        found = [tuple(r.values()) for r in score(server, 3) if isinstance(r, dict)]
    assert found == [(9007199254740993,), (2**64,), (0.1,)]


# ---- identity


@pytest.mark.fault(14)
@pytest.mark.statement("azureml-16", "azureml-17")
def test_a_refused_token_is_replaced_once_and_the_batch_goes_on() -> None:
    class Credential:
        given = 0

        def get_token(self, *scopes: str) -> object:
            Credential.given += 1
            return type("Token", (), {"token": f"token-{Credential.given}", "expires_on": 2_000_000_000})

    now = [1_900_000_000.0]

    def only_second(visit: Visit) -> None:
        fresh = visit.received.headers["authorization"] == "Bearer token-2"
        (model_service if fresh else answer(401))(visit)

    with Rogue(only_second) as server:
        identity = EntraIdentity(Credential, lambda: now[0])
        scorer = scorer_of(server, identity, auth="entra", key="")
        identity.authorization(Deadline.after(5))
        now[0] += 3600
        assert ask(scorer, rows(10)) == ALL
        assert ask(scorer, rows(10)) == ALL
        scorer.close()
    assert [r.headers["authorization"][-1] for r in server.received] == ["1", "2", "2"]


# ---- many at once


def at_once[T](count: int, work: Callable[[int], T]) -> list[T]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


@pytest.mark.statement("azureml-39")
def test_64_calls_of_100_rows_at_a_service_that_takes_100_ms_and_allows_4_in_flight() -> None:
    lock = threading.Lock()
    under_way = 0

    def service(visit: Visit) -> None:
        nonlocal under_way
        with lock:
            under_way += 1
            allowed = under_way <= 4
        if allowed:
            visit.stopped.wait(0.1)
        with lock:
            under_way -= 1
        (model_service if allowed else answer(429))(visit)

    with Rogue(service) as server:
        scorer = scorer_of(server, in_flight=4)
        sent = [[[1000 * call + n] for n in range(100)] for call in range(64)]
        found = at_once(64, lambda call: ask(scorer, list(sent[call]), 30.0))
        scorer.close()
    assert found == [[right(1000 * call + n) for n in range(100)] for call in range(64)]
    assert server.most_in_flight == 4
    assert len(server.received) == 64
    assert server.connections == 4


@pytest.mark.fault(28)
def test_50_calls_at_a_service_that_is_down_open_the_breaker_once_and_one_probe_closes_it() -> None:
    with Rogue(answer(503)) as server:
        scorer = scorer_of(server, in_flight=10, attempts=1)

        def fails(_: int) -> object:
            with pytest.raises(ServiceDown) as error:
                ask(scorer, rows(10))
            return error.value.retry_after

        at_once(50, fails)
        # Those ten that were under way when it opened are all that came.
        assert STRIKES <= len(server.received) <= STRIKES + 10
        before = len(server.received)
        began = time.monotonic()
        assert all(0 < float(str(after)) <= FIRST_PAUSE_S for after in at_once(101, fails))
        assert time.monotonic() - began < 2
        assert len(server.received) == before

        server.play(model_service)
        scorer.sender.breaker._until = 0.0  # the pause is over: no test waits for 5 s
        found = ask(scorer, rows(10))
        assert found == ALL
        assert at_once(50, lambda _: ask(scorer, rows(10))) == [ALL] * 50
        scorer.close()
        all_gone(server)


@pytest.mark.fault(27)
def test_closing_amid_a_call_leaves_neither_threads_nor_connections() -> None:
    before = threading.active_count()
    with Rogue(silent) as server:
        scorer = scorer_of(server, timeout_s=0.3)
        with pytest.raises(Silence):
            ask(scorer, rows(10), seconds=0.2)
        scorer.close()
        scorer.lanes.close(wait=True)
    deadline = time.monotonic() + 5
    while threading.active_count() > before + 1 and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert threading.active_count() <= before + 1  # the watchdog stays


@pytest.mark.fault(19)
def test_a_name_server_that_hangs_holds_a_lane_until_it_answers_and_no_call_beyond_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answering = threading.Event(), threading.Event()
    resolve = socket.getaddrinfo

    def hanging(*given: Any, **options: Any) -> Any:
        asked.set()
        answering.wait(10)
        return resolve(*given, **options)

    # Not even the watchdog reaches into the resolver: there is no socket yet to be shut down.
    with Rogue(model_service) as server:
        scorer = scorer_of(server, in_flight=1, timeout_s=5.0)
        monkeypatch.setattr(socket, "getaddrinfo", hanging)
        for error in (Silence, Throttled):
            began = time.monotonic()
            with pytest.raises(error):
                ask(scorer, rows(10), seconds=0.2)
            assert time.monotonic() - began < 0.5
        assert asked.is_set()
        answering.set()
        assert ask(scorer, rows(10)) == ALL
        scorer.close()


def test_a_connection_is_kept_from_its_first_answer_on_but_not_while_it_is_in_use() -> None:
    kept: list[bool] = []

    def looked_at(visit: Visit) -> None:
        kept.append(scorer.sender._wire.kept)
        model_service(visit)

    with Rogue(looked_at) as server:
        scorer = scorer_of(server, in_flight=1)
        for _ in range(2):
            assert ask(scorer, rows(10)) == ALL
            kept.append(scorer.sender._wire.kept)
        scorer.close()
    assert kept == [False, True, False, True]


@pytest.fixture
def name_server_hangs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Lets no name be resolved from its call on, until the test is over."""
    over = threading.Event()

    def hanging(*_: Any, **__: Any) -> Any:
        over.wait(10)
        raise socket.gaierror

    yield lambda: monkeypatch.setattr(socket, "getaddrinfo", hanging)
    over.set()


@pytest.mark.fault(19)
@pytest.mark.statement("P4")
def test_a_name_server_that_hangs_when_the_kept_connection_is_gone_holds_no_call_beyond_its_deadline(
    name_server_hangs: Callable[[], None],
) -> None:
    with Rogue(model_service, then_reset(model_service)) as server:
        scorer = scorer_of(server, timeout_s=5.0)
        for _ in range(2):
            assert ask(scorer, rows(10)) == ALL
        all_gone(server)
        name_server_hangs()
        began = time.monotonic()
        with pytest.raises(Silence):
            ask(scorer, rows(10), seconds=0.2)
        assert time.monotonic() - began < 0.5
        scorer.close()


@pytest.mark.fault(19)
@pytest.mark.statement("P4")
def test_of_many_calls_at_one_kept_connection_none_waits_for_a_name_server(
    name_server_hangs: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def timed(_: int) -> float:
        began = time.monotonic()
        with suppress(Silence):
            ask(scorer, rows(10), seconds=0.2)
        return time.monotonic() - began

    with Rogue(model_service) as server:
        scorer = scorer_of(server, timeout_s=5.0)
        assert ask(scorer, rows(10)) == ALL
        name_server_hangs()
        monkeypatch.setattr(Endpoint, "kept", True)  # as each sees it before the first has taken it
        assert max(at_once(8, timed)) < 1
        scorer.close()


@pytest.mark.fault(14)
@pytest.mark.statement("P4")
def test_an_identity_that_hangs_when_the_token_is_old_holds_no_call_beyond_its_deadline() -> None:
    answering = threading.Event()

    class Credential:
        given = 0

        def get_token(self, *_: str) -> object:
            Credential.given += 1
            if Credential.given > 1:
                answering.wait(10)
            return type("Token", (), {"token": "token", "expires_on": 2_000_000_000})

    now = [1_900_000_000.0]
    with Rogue(model_service) as server:
        scorer = scorer_of(server, EntraIdentity(Credential, lambda: now[0]), auth="entra", key="")
        assert ask(scorer, rows(10)) == ALL
        now[0] = 1_999_999_999.0
        began = time.monotonic()
        with pytest.raises(Silence):
            ask(scorer, rows(10), seconds=0.2)
        assert time.monotonic() - began < 0.5
        answering.set()
        scorer.close()


@pytest.mark.fault(23)
def test_work_that_the_service_finishes_too_late_is_not_counted() -> None:
    late = threading.Event()

    def first_is_late(visit: Visit) -> None:
        late.wait(5)
        answer(200, json.dumps(["late"] * 10).encode())(visit)

    def second(visit: Visit) -> None:
        late.set()
        model_service(visit)

    with Rogue(first_is_late, second) as server:
        scorer = scorer_of(server, timeout_s=0.3)
        assert ask(scorer, rows(10)) == ALL
        assert ask(scorer, rows(10)) == ALL
        scorer.close()


# ---- calls that meet on one connection, or wait for one lane


@pytest.mark.fault(19)
@pytest.mark.parametrize("status", [100, 102, 103])
def test_an_interim_answer_shifts_no_answer_to_another_call(status: int) -> None:
    def first_an_interim_one(visit: Visit) -> None:
        visit.send(head(status, {"Link": "</style.css>"}))
        model_service(visit)

    with Rogue(first_an_interim_one) as server:
        scorer = scorer_of(server, in_flight=1)
        for number in range(4):
            assert ask(scorer, [[number]]) == [right(number)]
        assert server.connections == 1
        scorer.close()


@pytest.mark.fault(17)
def test_a_call_at_its_deadline_cuts_no_connection_that_another_call_has_taken_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has_answer, late = threading.Event(), threading.Event()
    keep = endpoint_module._without

    def slow_to_read(secrets: Any, reply: Any) -> Any:
        if threading.current_thread().name == "slow":
            has_answer.set()
            late.wait(5)
        return keep(secrets, reply)

    def service(visit: Visit) -> None:
        if json.loads(visit.received.body)["data"] == [[2]]:
            threading.Event().wait(0.4)  # beyond the other call's deadline
        model_service(visit)

    monkeypatch.setattr(endpoint_module, "_without", slow_to_read)
    with Rogue(service) as server:
        scorer = scorer_of(server, in_flight=2)
        assert ask(scorer, [[0]]) == [right(0)]
        slow = threading.Thread(target=suppressed, args=(scorer, [[1]], 0.2), name="slow")
        slow.start()
        assert has_answer.wait(5)
        assert ask(scorer, [[2]]) == [right(2)]
        late.set()
        slow.join()
        assert len(server.received) == 3
        scorer.close()


def suppressed(scorer: RowScorer, sent: list[Any], seconds: float) -> None:
    with suppress(Failure):
        ask(scorer, sent, seconds)


def one_lane_taken(server: Rogue, scorer: RowScorer, then: Scene, seconds: float) -> tuple[Failure, float]:
    """Play a scene for a call's first try, another waiting for the only lane by then; give its failure."""
    taken, over = threading.Event(), threading.Event()

    def service(visit: Visit) -> None:
        rows_sent = json.loads(visit.received.body)["data"]
        if rows_sent == [[1]]:
            other.start()
            until(lambda: scorer.lanes.waiting > 0)
            then(visit)
        elif rows_sent == [[2]]:
            taken.set()
            over.wait(5)
            model_service(visit)
        else:
            model_service(visit)

    other = threading.Thread(target=suppressed, args=(scorer, [[2]], 5.0))
    assert ask(scorer, [[0]]) == [right(0)]
    server.play(service)
    began = time.monotonic()
    with pytest.raises(Failure) as raised:
        ask(scorer, [[1]], seconds)
    spent = time.monotonic() - began
    over.set()
    other.join()
    scorer.close()
    return raised.value, spent


@pytest.mark.fault(16)
def test_a_verdict_that_no_second_try_can_mend_waits_for_no_lane() -> None:
    with Rogue(model_service) as server:
        failure, spent = one_lane_taken(server, scorer_of(server, in_flight=1, attempts=1), answer(503), 5.0)
    assert isinstance(failure, ServiceDown)
    assert "503" in failure.detail
    assert spent < 2


@pytest.mark.fault(16)
def test_a_call_that_was_refused_and_then_gets_no_lane_is_told_the_refusal() -> None:
    refused = answer(500, SCRIPT_FAILED, {"x-ms-run-function-failed": "True"})
    with Rogue(model_service) as server:
        failure, spent = one_lane_taken(server, scorer_of(server, in_flight=1), refused, 2.0)
    assert isinstance(failure, BadAnswer)
    assert spent > 1.5


@pytest.mark.fault(14, 16)
def test_a_token_that_was_refused_is_no_last_word_where_no_lane_was_left_to_try_a_fresh_one() -> None:
    class Credential:
        def get_token(self, *_: str) -> object:
            return type("Token", (), {"token": "token", "expires_on": 2_000_000_000})

    identity = EntraIdentity(Credential, lambda: 1_900_000_000.0)
    with Rogue(model_service) as server:
        scorer = scorer_of(server, identity, auth="entra", key="", in_flight=1)
        failure, _ = one_lane_taken(server, scorer, answer(401), 0.5)
    assert isinstance(failure, Throttled)


@pytest.mark.fault(16, 25)
def test_calls_that_waited_too_long_for_their_turn_do_not_open_the_breaker() -> None:
    def slow(visit: Visit) -> None:
        threading.Event().wait(0.35)
        model_service(visit)

    with Rogue(slow) as server:
        scorer = scorer_of(server, in_flight=8, timeout_s=1.0, deadline_s=1.0)
        at_once(64, lambda _: suppressed(scorer, rows(10), 1.0))
        assert ask(scorer, rows(10)) == ALL
        scorer.close()


@pytest.mark.fault(19)
def test_a_connection_is_idle_from_its_answer_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(visit: Visit) -> None:
        threading.Event().wait(0.4)
        model_service(visit)

    monkeypatch.setattr(cutoff, "LONGEST_IDLE_S", 0.3)
    with Rogue(slow) as server:
        scorer = scorer_of(server, in_flight=1)
        for _ in range(3):
            assert ask(scorer, rows(10)) == ALL
        assert server.connections == 1
        scorer.close()


@pytest.mark.fault(19)
def test_a_connection_that_the_service_closed_is_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    post = Endpoint.post

    def seen(self: Endpoint, *given: Any, **how: Any) -> Any:
        asked.append(how.get("kept", False))
        return post(self, *given, **how)

    monkeypatch.setattr(Endpoint, "post", seen)
    with Rogue(then_reset(model_service)) as server:
        scorer = scorer_of(server, in_flight=1)
        for _ in range(3):
            assert ask(scorer, rows(10)) == ALL
            all_gone(server)
        assert asked == [False] * 3
        scorer.close()
