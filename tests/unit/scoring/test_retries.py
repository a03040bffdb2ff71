"""How long one body is sent again: as the verdicts say, in the time and the attempts there are."""

import re
import threading
from itertools import count
from typing import Any

import pytest

from errors import BadAnswer, Failure, Fault, ServiceDown, Silence, Throttled
from scoring import measured
from scoring.breaker import FIRST_PAUSE_S, STRIKES, Breaker, Permit
from scoring.cases import Action
from scoring.retries import Allowance, Call, Parcel, Sender, Sent
from scoring.verdicts import Outcome, Reply, Trouble
from tests.unit.scoring.wires import Clock, ScriptedWire, behind, payload, scores

pytestmark = pytest.mark.usefixtures("either_road")

ROWS = [[1], [2]]
OK = scores(ROWS)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def send(wire: ScriptedWire, clock: Clock, *, seconds: float = 200.0, **given: Any) -> Sent:
    """Send two rows once, as a call does that has no others."""
    sender = given.pop("sender", None) or sender_of(wire, clock, **given)
    plan = payload()
    parcel = Parcel(plan.write(ROWS), 2, lambda answer: plan.read(answer, ROWS), (), Allowance(100))
    call = Call(clock.deadline(seconds), "call")
    once = sender.send_once(parcel, call)
    return once if once is not None and once.final else sender.send(parcel, call, once)


def sender_of(wire: ScriptedWire, clock: Clock, **given: Any) -> Sender:
    given.setdefault("breaker", Breaker(clock))
    return Sender(wire, rest=clock.rest, chance=lambda: 0.0, **given)


def failure(sent: Sent) -> Failure:
    return sent.verdict.failure("x")


def test_a_good_answer_needs_one_request(clock: Clock) -> None:
    wire = ScriptedWire(OK)
    sent = send(wire, clock)
    assert sent.results is not None
    assert sent.results.rows == [("score of 1",), ("score of 2",)]
    assert (len(wire.bodies), clock.waited) == (1, [])


def test_what_is_too_late_is_not_sent_and_says_nothing_of_the_service(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedWire, "kept", True)
    wire = ScriptedWire(OK)
    parcel = Parcel(payload().write(ROWS), 2, lambda _: payload().read([], ROWS), (), Allowance(100))
    assert sender_of(wire, clock).send_once(parcel, Call(clock.deadline(0), "call")) is None
    assert wire.bodies == []
    breaker = Breaker(clock)
    for _ in range(STRIKES):
        send(ScriptedWire(Trouble(Fault.SILENT)), clock, breaker=breaker, seconds=0)
    assert not breaker.open_for


def test_what_a_parcel_has_met_is_told_with_its_verdict(clock: Clock) -> None:
    refused = send(ScriptedWire(Reply(413)), clock)
    assert refused.met == (refused.verdict.case,)
    crashed = send(ScriptedWire(Reply(503), Reply(413)), clock)
    assert [case.said for case in crashed.met] == ["it is away", refused.verdict.case.said]


@pytest.mark.statement("azureml-29")
@pytest.mark.fault(13)
@pytest.mark.parametrize(
    "trouble",
    [
        Reply(408),
        Reply(429),
        Reply(503),
        Reply(504),
        Trouble(Fault.BROKEN),
        Trouble(Fault.UNREACHABLE),
        Trouble(Fault.SILENT),
        behind(503),
        behind(429),
    ],
)
def test_what_may_pass_is_sent_again_after_a_wait(clock: Clock, trouble: Outcome) -> None:
    wire = ScriptedWire(trouble, OK)
    assert send(wire, clock).results is not None
    assert (len(wire.bodies), clock.waited) == (2, [0.5])


@pytest.mark.statement("azureml-29")
@pytest.mark.fault(13)
def test_503_twice_then_a_good_answer_is_a_good_answer_with_growing_waits(clock: Clock) -> None:
    wire = ScriptedWire(Reply(503), Reply(503), OK)
    assert send(wire, clock).results is not None
    assert clock.waited == [0.5, 1.0]


def test_what_is_sent_again_is_told_as_a_retry(clock: Clock) -> None:
    with measured.batch("churn") as told:
        send(ScriptedWire(Reply(503), Reply(503), OK), clock)
    assert (told.requests, told.retries) == (3, 2)


@pytest.mark.statement("azureml-29", "P5")
@pytest.mark.fault(13)
@pytest.mark.parametrize(
    ("trouble", "kind"),
    [(Reply(429), Throttled), (Reply(503), ServiceDown), (Trouble(Fault.BROKEN), ServiceDown)],
)
def test_attempts_are_bounded_and_the_last_verdict_decides(
    clock: Clock, trouble: Outcome, kind: type[Failure]
) -> None:
    wire = ScriptedWire(trouble)
    assert isinstance(failure(send(wire, clock, attempts=4)), kind)
    assert len(wire.bodies) == 4


@pytest.mark.statement("azureml-30")
@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        ("7", 7.0),
        ("86400", 30.0),
        ("Tue, 24 Nov 2026 10:00:09 GMT", 9.0),
        ("", 0.5),
    ],
)
def test_retry_after_is_waited_for(clock: Clock, asked: str, waited: float) -> None:
    headers = {"retry-after": asked, "date": "Tue, 24 Nov 2026 10:00:00 GMT"}
    wire = ScriptedWire(Reply(429, headers), OK)
    assert send(wire, clock).results is not None
    assert clock.waited == [waited]


@pytest.mark.statement("azureml-29", "azureml-40")
def test_no_wait_reaches_beyond_the_deadline(clock: Clock) -> None:
    wire = ScriptedWire(Reply(429, {"retry-after": "20"}))
    sent = send(wire, clock, seconds=45, attempts=10)
    assert isinstance(failure(sent), Throttled)
    assert failure(sent).retry_after == 20
    assert clock.waited == [20, 20]


@pytest.mark.parametrize(
    ("seconds", "attempts", "final"), [(0.4, 4, True), (0.6, 4, False), (0.6, 1, True), (0.6, 2, False)]
)
def test_what_is_sent_once_ends_where_there_is_no_time_or_no_attempt_for_another(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, seconds: float, attempts: int, final: bool
) -> None:
    monkeypatch.setattr(ScriptedWire, "kept", True)
    parcel = Parcel(payload().write(ROWS), 2, lambda _: payload().read([], ROWS), (), Allowance(100))
    sender = sender_of(ScriptedWire(Reply(503)), clock, attempts=attempts)
    sent = sender.send_once(parcel, Call(clock.deadline(seconds), "call"))
    assert sent is not None
    assert (sent.final, sent.verdict.action is Action.STOP) == (final, final)


def test_between_attempts_as_long_is_waited_as_was_asked_for(clock: Clock) -> None:
    class Noted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout)
            return False

    waited: list[float | None] = []
    plan = payload()
    parcel = Parcel(plan.write(ROWS), 2, lambda answer: plan.read(answer, ROWS), (), Allowance(100))
    wire = ScriptedWire(Reply(429, {"retry-after": "7"}), OK)
    Sender(wire, chance=lambda: 0.0).send(parcel, Call(clock.deadline(200), "call", over=Noted()))
    assert waited == [7.0]


def test_an_attempt_that_our_own_deadline_cut_short_does_not_hide_what_the_service_said(
    clock: Clock,
) -> None:
    def cut(_: object) -> Outcome:
        clock.now += 1000
        return Trouble(Fault.SILENT)

    assert isinstance(failure(send(ScriptedWire(Reply(429), cut), clock)), Throttled)
    assert isinstance(failure(send(ScriptedWire(cut), clock)), Silence)


def test_a_refusal_of_rows_is_not_what_stands_when_our_deadline_cuts_the_next_attempt(clock: Clock) -> None:
    call = Call(clock.deadline(200), "call")
    plan = payload()
    parcel = Parcel(plan.write(ROWS), 2, lambda answer: plan.read(answer, ROWS), (), Allowance(100))

    def cut(_: object) -> Outcome:
        clock.now += 1000
        return Trouble(Fault.SILENT)

    sender = sender_of(ScriptedWire(Reply(400), cut), clock)
    assert sender.send(parcel, call).verdict.action is Action.BLAME
    assert isinstance(failure(sender.send(parcel, call)), Silence)


@pytest.mark.statement("azureml-33")
@pytest.mark.parametrize("slow", [Reply(408), Reply(504), Trouble(Fault.SILENT), behind(504)])
def test_too_slow_twice_asks_for_halves(clock: Clock, slow: Outcome) -> None:
    wire = ScriptedWire(slow)
    assert send(wire, clock).verdict.action is Action.SPLIT
    assert len(wire.bodies) == 2


@pytest.mark.statement("azureml-31")
@pytest.mark.fault(11)
def test_424_of_500_is_sent_once_more_then_the_rows_are_at_fault(clock: Clock) -> None:
    wire = ScriptedWire(behind(500))
    assert send(wire, clock).verdict.action is Action.BLAME
    assert len(wire.bodies) == 2
    assert send(ScriptedWire(behind(500), OK), clock).results is not None


def test_without_an_allowance_nothing_is_sent_again(clock: Clock) -> None:
    wire = ScriptedWire(Reply(503))
    plan = payload()
    parcel = Parcel(plan.write(ROWS), 2, lambda answer: plan.read(answer, ROWS), (), Allowance(2))
    sender_of(wire, clock, attempts=10).send(parcel, Call(clock.deadline(200), "call"))
    assert len(wire.bodies) == 3


def test_when_nobody_waits_any_more_nothing_is_sent_again(clock: Clock) -> None:
    call = Call(clock.deadline(200), "call")

    def and_gone(_: object) -> Outcome:
        call.over.set()
        return Reply(503)

    wire = ScriptedWire(and_gone)
    plan = payload()
    parcel = Parcel(plan.write(ROWS), 2, lambda answer: plan.read(answer, ROWS), (), Allowance(100))
    sender_of(wire, clock).send(parcel, call)
    assert len(wire.bodies) == 1


def test_a_waiting_lane_is_woken_when_the_call_is_over() -> None:
    call = Call(Clock().deadline(200), "call")
    wire = ScriptedWire(Reply(429, {"retry-after": "30"}))
    plan = payload()
    parcel = Parcel(plan.write(ROWS), 2, lambda answer: plan.read(answer, ROWS), (), Allowance(100))
    thread = threading.Thread(target=Sender(wire).send, args=(parcel, call))
    thread.start()
    call.over.set()
    thread.join(5)
    assert not thread.is_alive()


# ---- 401


@pytest.mark.statement("azureml-16")
@pytest.mark.fault(14)
def test_401_with_a_token_gets_a_fresh_one_once(clock: Clock) -> None:
    wire = ScriptedWire(Reply(401), OK, renewable=True)
    assert send(wire, clock).results is not None
    assert (wire.fresh, clock.waited) == ([False, True], [])
    wire = ScriptedWire(Reply(401), renewable=True)
    assert send(wire, clock).verdict.action is Action.STOP
    assert wire.fresh == [False, True]


def test_a_probe_that_needs_a_fresh_token_is_judged_by_what_that_brings(clock: Clock) -> None:
    for outcome, pause in ((Reply(503), 2 * FIRST_PAUSE_S), (OK, 0.0)):
        breaker = Breaker(clock)
        for _ in range(STRIKES):
            send(ScriptedWire(Reply(503)), clock, breaker=breaker, attempts=1)
        clock.now += FIRST_PAUSE_S
        send(ScriptedWire(Reply(401), outcome, renewable=True), clock, breaker=breaker, attempts=1)
        assert breaker.open_for == pause


@pytest.mark.statement("azureml-16")
@pytest.mark.fault(14)
@pytest.mark.parametrize("status", [401, 403])
def test_401_and_403_with_a_key_fail_at_once(clock: Clock, status: int) -> None:
    wire = ScriptedWire(Reply(status))
    sent = send(wire, clock)
    assert sent.verdict.action is Action.STOP
    assert failure(sent).status == 502
    assert len(wire.bodies) == 1


# ---- reading a 200


@pytest.mark.fault(15)
@pytest.mark.statement("azureml-25")
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Sign in, Kari</html>", b"Request processing time exceeded", b"\xef\xbb\xbf[1,2]", b"[1,"],
)
def test_a_200_that_is_no_json_is_a_bad_answer_at_once_and_not_quoted(clock: Clock, body: bytes) -> None:
    wire = ScriptedWire(Reply(200, {}, body))
    with pytest.raises(BadAnswer) as error:
        send(wire, clock)
    assert "Kari" not in error.value.detail
    assert len(wire.bodies) == 1


@pytest.mark.fault(18)
def test_a_200_that_may_have_been_cut_is_asked_for_again(clock: Clock) -> None:
    wire = ScriptedWire(Reply(200, {}, b'["score of 1", "sco', framed=False), OK)
    assert send(wire, clock).results is not None
    assert len(wire.bodies) == 2
    still = ScriptedWire(Reply(200, {}, b"[1,", framed=False))
    assert isinstance(failure(send(still, clock)), ServiceDown)


@pytest.mark.fault(16)
@pytest.mark.statement("azureml-22")
@pytest.mark.parametrize("body", [b"[1]", b"[1, 2, 3]", b"{}", b"null", b"5"])
def test_another_number_of_results_is_a_bad_answer_and_nothing_is_guessed(clock: Clock, body: bytes) -> None:
    for framed in (True, False):
        wire = ScriptedWire(Reply(200, {}, body, framed=framed))
        with pytest.raises(BadAnswer):
            send(wire, clock)
        assert len(wire.bodies) == 1


@pytest.mark.fault(17)
def test_bare_nan_is_null(clock: Clock) -> None:
    sent = send(ScriptedWire(Reply(200, {}, b"[NaN, Infinity]")), clock)
    assert sent.results is not None
    assert sent.results.rows == [(None,), (None,)]


# ---- ids


@pytest.mark.statement("azureml-14")
def test_every_request_of_a_call_has_its_own_id_of_at_most_40_harmless_characters(clock: Clock) -> None:
    wire = ScriptedWire(Reply(503), Reply(503), OK)
    send(wire, clock)
    assert len(set(wire.ids)) == 3
    assert all(re.fullmatch(r"call-\d{1,7}", id_) for id_ in wire.ids)
    long = Call(clock.deadline(1), "a" * 40, numbers=count(10**8 - 1))
    assert [len(long.next_id()), long.next_id()[32:]] == [40, "-0"]


@pytest.mark.statement("azureml-14")
@pytest.mark.parametrize("id_", ["7", "_-a", "a" * 40])
def test_an_id_that_the_service_takes_is_the_calls(clock: Clock, id_: str) -> None:
    assert Call(clock.deadline(1), id_).request_id == id_


@pytest.mark.statement("azureml-14")
@pytest.mark.parametrize("id_", ["", "a" * 41, "a b", "å"])
def test_an_id_that_the_service_does_not_take_is_made_up(clock: Clock, id_: str) -> None:
    assert re.fullmatch("[0-9a-f]{32}", Call(clock.deadline(1), id_).request_id)


def test_calls_that_come_with_the_same_id_send_requests_with_others(clock: Clock) -> None:
    wire = ScriptedWire(OK)
    send(wire, clock)
    send(wire, clock)
    assert len(set(wire.ids)) == 2


# ---- the breaker


@pytest.mark.fault(28)
def test_a_service_that_is_down_is_left_alone_and_calls_are_told_at_once(clock: Clock) -> None:
    wire = ScriptedWire(Reply(503))
    sender = sender_of(wire, clock, attempts=1)
    for _ in range(STRIKES):
        assert isinstance(failure(send(wire, clock, sender=sender)), ServiceDown)
    for _ in range(101):
        with pytest.raises(ServiceDown) as error:
            send(wire, clock, sender=sender)
        assert error.value.retry_after == FIRST_PAUSE_S
    assert len(wire.bodies) == STRIKES
    clock.now += FIRST_PAUSE_S
    wire._script = [OK]
    assert send(wire, clock, sender=sender).results is not None
    assert send(wire, clock, sender=sender).results is not None


def test_failures_with_a_good_answer_between_them_never_open_the_breaker(clock: Clock) -> None:
    failures = [Reply(503)] * (STRIKES - 1)
    wire = ScriptedWire(*failures, OK, *failures)
    sender = sender_of(wire, clock, attempts=1)
    for _ in range(2 * STRIKES - 1):
        send(wire, clock, sender=sender)
    assert sender.breaker.open_for == 0


@pytest.mark.parametrize(
    "outcome",
    [
        Reply(429),
        Reply(424, {"ms-azureml-model-error-reason": "too_many_pending_request"}),
        Reply(400),
        Reply(403),
    ],
)
def test_throttling_and_refusals_never_open_the_breaker(clock: Clock, outcome: Outcome) -> None:
    wire = ScriptedWire(outcome)
    sender = sender_of(wire, clock, attempts=1)
    for _ in range(10 * STRIKES):
        send(wire, clock, sender=sender)
    assert sender.breaker.open_for == 0


@pytest.mark.parametrize("body", [b"<html>", b"[1]"])
def test_nonsense_never_opens_the_breaker(clock: Clock, body: bytes) -> None:
    wire = ScriptedWire(Reply(200, {}, body))
    sender = sender_of(wire, clock)
    for _ in range(10 * STRIKES):
        with pytest.raises(BadAnswer):
            send(wire, clock, sender=sender)
    assert sender.breaker.open_for == 0


def test_a_probe_that_is_answered_with_nonsense_shows_that_the_service_is_there(clock: Clock) -> None:
    wire = ScriptedWire(*[Reply(503)] * STRIKES, Reply(200, {}, b"<html>"))
    sender = sender_of(wire, clock, attempts=1)
    for _ in range(STRIKES):
        send(wire, clock, sender=sender)
    clock.now += FIRST_PAUSE_S
    with pytest.raises(BadAnswer):
        send(wire, clock, sender=sender)
    assert sender.breaker.admit() == Permit()


def test_a_batch_that_is_merely_too_slow_whole_counts_once_and_not_with_every_half(clock: Clock) -> None:
    wire = ScriptedWire(Reply(504))
    sender = sender_of(wire, clock)
    sent = send(wire, clock, sender=sender)
    plan = payload()
    for _ in range(10 * STRIKES):
        parcel = Parcel(plan.write(ROWS), 2, lambda answer: plan.read(answer, ROWS), sent.met, Allowance(100))
        assert sender.send(parcel, Call(clock.deadline(200), "call")).verdict.action is Action.SPLIT
    assert sender.breaker.open_for == 0


def test_a_call_that_is_under_way_when_the_breaker_opens_waits_for_it(clock: Clock) -> None:
    wire = ScriptedWire(*[Reply(503)] * STRIKES, OK)
    sender = sender_of(wire, clock, attempts=1)
    for _ in range(STRIKES - 1):
        send(wire, clock, sender=sender)
    patient = sender_of(wire, clock, attempts=4, breaker=sender.breaker)
    clock.waited.clear()
    assert send(wire, clock, sender=patient).results is not None
    assert clock.waited == [0.5, FIRST_PAUSE_S - 0.5]


def test_a_token_that_cannot_be_had_says_nothing_about_the_service(clock: Clock) -> None:
    def no_token(_: object) -> Outcome:
        raise ServiceDown("Entra could not be reached")

    wire = ScriptedWire(no_token)
    sender = sender_of(wire, clock)
    for _ in range(10 * STRIKES):
        with pytest.raises(ServiceDown, match="Entra"):
            send(wire, clock, sender=sender)
    assert sender.breaker.open_for == 0


class Late(ScriptedWire):
    """Takes so many seconds for each answer."""

    def __init__(self, clock: Clock, seconds: float, *script: Outcome) -> None:
        super().__init__(*script)
        self._clock, self._seconds = clock, seconds

    def post(self, *given: Any, **how: Any) -> Outcome:
        self._clock.now += self._seconds
        return super().post(*given, **how)


@pytest.mark.parametrize(
    ("given_s", "takes_s", "outcome", "opens"),
    [
        (10.0, 10.0, Trouble(Fault.SILENT), True),
        (4.0, 4.0, Trouble(Fault.SILENT), False),
        (4.0, 1.0, Reply(503), True),
        (4.0, 1.0, Trouble(Fault.SILENT), True),
    ],
    ids=["had time enough", "came too late for it", "was refused in time", "was silent for timeout_s"],
)
@pytest.mark.fault(16, 28)
def test_what_speaks_against_a_service_is_no_answer_in_time_enough(
    clock: Clock, given_s: float, takes_s: float, outcome: Outcome, opens: bool
) -> None:
    wire = Late(clock, takes_s, outcome)
    sender = sender_of(wire, clock, attempts=1, enough_s=5.0)
    for _ in range(STRIKES):
        send(wire, clock, sender=sender, seconds=given_s)
    assert (sender.breaker.open_for > 0) is opens
