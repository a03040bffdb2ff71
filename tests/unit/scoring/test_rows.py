"""Rows in, one result per row out: batches, splitting, and finding the rows that are to blame."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from errors import BadAnswer, CredentialsRefused, Failure, Fault, ServiceDown, Silence, Throttled
from scoring.breaker import Breaker
from scoring.deadline import Deadline
from scoring.dialects import Results, Row, SentColumn
from scoring.evidence import REFUSED_ALONE_ENOUGH
from scoring.retries import Sender
from scoring.rows import BAD_ROWS_SOUGHT, Payload, RowRefused, RowScorer, Scores
from scoring.verdicts import Outcome, Reply, Trouble
from sections import ModelSettings
from tests.unit.scoring.wires import Answer, Clock, ScriptedWire, X, behind, payload, refusing, rows, scores

pytestmark = pytest.mark.usefixtures("either_road")

INFINITE = 10**9

type Scorers = Callable[..., RowScorer]


@pytest.fixture
def scorer_of() -> Iterator[Scorers]:
    """Make scorers over a wire, on a clock that stands still."""
    made: list[RowScorer] = []

    def make(wire: ScriptedWire, clock: Clock | None = None, **given: Any) -> RowScorer:
        made.append(scorer(wire, clock or Clock(), **given))
        return made[-1]

    yield make
    for one in made:
        one.close()


def scorer(wire: ScriptedWire, clock: Clock, **given: Any) -> RowScorer:
    attempts = given.setdefault("attempts", 4)
    sender = Sender(wire, Breaker(clock), attempts=attempts, rest=clock.rest, chance=lambda: 0.0)
    chosen = {"in_flight": 8, "parallel": 1, "batch_rows": 1000, "batch_bytes": INFINITE}
    model = ModelSettings.model_validate({"url": "https://ml.example/", "key": "k", "features": ["x"]})
    return RowScorer(sender, model.model_copy(update=chosen | given))


def score(scorer: RowScorer, count: int | list[Row], seconds: float = 60.0) -> list[Scores | RowRefused]:
    sent = rows(count) if isinstance(count, int) else count
    return scorer.score(sent, payload(), Deadline.after(seconds))


def right(number: int) -> Scores:
    return {"prediction": f"score of {number}"}


def sizes(wire: ScriptedWire) -> list[int]:
    return [len(body) for body in wire.bodies]


# ---- batches


@pytest.mark.statement("azureml-12")
@pytest.mark.fault(4)
def test_no_rows_are_no_request(scorer_of: Scorers) -> None:
    wire = ScriptedWire(scores)
    assert score(scorer_of(wire), 0) == []
    assert wire.bodies == []


@pytest.mark.statement("azureml-13")
def test_rows_are_sent_in_batches_and_come_back_in_order(scorer_of: Scorers) -> None:
    wire = ScriptedWire(scores)
    found = score(scorer_of(wire, batch_rows=40, parallel=3), 100)
    assert found == [right(number) for number in range(100)]
    assert sorted(sizes(wire)) == [20, 40, 40]


@pytest.mark.statement("azureml-13")
@pytest.mark.fault(5)
def test_no_body_is_larger_than_batch_bytes_and_a_row_too_large_alone_is_that_rows_error(
    scorer_of: Scorers,
) -> None:
    sent: list[Row] = [[f"{n:03}" + "x" * (n * n % 700)] for n in range(200)]
    sent[77] = ["y" * 1001]
    bodies: list[int] = []

    class Weighing(ScriptedWire):
        def post(self, body: bytes, *args: Any, **options: Any) -> Outcome:
            bodies.append(len(body))
            return super().post(body, *args, **options)

    found = score(scorer_of(Weighing(scores), batch_bytes=1000, parallel=2), sent)
    assert max(bodies) <= 1000
    assert sum(bodies) / len(bodies) > 500
    refused = found.pop(77)
    assert isinstance(refused, RowRefused)
    assert refused.status == 413
    assert "over 1000 (batch_bytes)" in refused.message
    del sent[77]
    assert [tuple(result.values()) for result in found if isinstance(result, dict)] == [
        (f"score of {row[0]}",) for row in sent
    ]


@given(
    count=st.integers(1, 120),
    batch_rows=st.integers(1, 50),
    batch_bytes=st.integers(20, 400),
    parallel=st.integers(1, 4),
)
@trying(deadline=None, max_examples=50)
def test_however_rows_are_cut_each_is_sent_once_and_scored_by_its_own_result(
    count: int, batch_rows: int, batch_bytes: int, parallel: int
) -> None:
    wire = ScriptedWire(scores)
    one = scorer(wire, Clock(), batch_rows=batch_rows, batch_bytes=batch_bytes, parallel=parallel)
    assert score(one, count) == [right(number) for number in range(count)]
    one.close()
    assert sorted(row[0] for body in wire.bodies for row in body) == list(range(count))  # type: ignore[type-var]  # they are integers
    assert max(sizes(wire)) <= batch_rows


@pytest.mark.fault(24)
def test_what_has_scored_is_not_sent_again_when_another_batch_is_retried(scorer_of: Scorers) -> None:
    failed = threading.Event()

    def third_fails_once(sent: list[list[object]]) -> Outcome:
        if sent[0][0] == 20 and not failed.is_set():
            failed.set()
            return Reply(503)
        return scores(sent)

    wire = ScriptedWire(third_fails_once)
    found = score(scorer_of(wire, batch_rows=10, parallel=2), 50)
    assert found == [right(number) for number in range(50)]
    assert sorted(body[0][0] for body in wire.bodies) == [0, 10, 20, 20, 30, 40]  # type: ignore[type-var]  # they are integers


@pytest.mark.fault(24)
@pytest.mark.statement("azureml-41")
def test_a_batch_that_cannot_be_scored_fails_the_call_whole(scorer_of: Scorers) -> None:
    wire = ScriptedWire(refusing({25}, Reply(403)))
    with pytest.raises(CredentialsRefused):
        score(scorer_of(wire, batch_rows=10), 50)


@pytest.mark.fault(16)
def test_a_batch_with_a_result_too_few_fails_the_call(scorer_of: Scorers) -> None:
    short: Answer = lambda sent: Reply(200, {}, json.dumps([1] * (len(sent) - 1)).encode())  # noqa: E731  # one line says it
    with pytest.raises(BadAnswer, match="10 rows were sent and 9 results came back"):
        score(scorer_of(ScriptedWire(short), batch_rows=10), 50)


# ---- too large, too slow


@pytest.mark.statement("azureml-33", "azureml-32")
@pytest.mark.parametrize("status", [413, 408, 504])
def test_what_is_too_large_or_too_slow_is_sent_in_halves_until_it_fits(
    scorer_of: Scorers, status: int
) -> None:
    def at_most_30(sent: list[list[object]]) -> Outcome:
        return scores(sent) if len(sent) <= 30 else Reply(status)

    wire = ScriptedWire(at_most_30)
    assert score(scorer_of(wire), 100) == [right(number) for number in range(100)]
    halves = [50, 25, 25, 50, 25, 25] if status == 413 else [50, 50, 25, 25, 25, 25]
    # Too slow is tried twice before it is halved, once only: its halves are halved at once.
    assert sorted(sizes(wire)) == sorted([100, *halves] if status == 413 else [100, 100, *halves])


def test_a_row_that_is_too_large_for_the_service_alone_is_that_rows_error(scorer_of: Scorers) -> None:
    found = score(scorer_of(ScriptedWire(refusing({5}, Reply(413)))), 10)
    refused = found.pop(5)
    assert isinstance(refused, RowRefused)
    assert refused.status == 413
    assert found == [right(number) for number in range(10) if number != 5]


def test_a_row_that_is_too_slow_alone_fails_the_call_after_its_attempts(scorer_of: Scorers) -> None:
    wire = ScriptedWire(Reply(504))
    with pytest.raises(Silence):
        score(scorer_of(wire, attempts=3), 1)
    assert len(wire.bodies) == 3


# ---- blame


def log2(count: int) -> int:
    return (count - 1).bit_length()


@pytest.mark.statement("azureml-34", "azureml-35", "P6")
@pytest.mark.fault(10)
def test_one_bad_row_of_a_thousand_costs_21_requests_and_the_others_are_scored(scorer_of: Scorers) -> None:
    wire = ScriptedWire(refusing({617}, Reply(400)))
    found = score(scorer_of(wire, parallel=2), 1000)
    assert found.pop(617) == RowRefused(400, "the model refuses the rows (status 400)")
    assert found == [right(number) for number in range(1000) if number != 617]
    assert len(wire.bodies) <= 1 + 2 * log2(1000)


@pytest.mark.statement("azureml-34", "azureml-35", "P6")
@pytest.mark.fault(10)
@given(data=st.data(), count=st.integers(2, 300), parallel=st.integers(1, 3))
@trying(deadline=None, max_examples=150)
def test_whichever_few_rows_are_bad_the_others_are_scored_within_the_bound(
    data: st.DataObject, count: int, parallel: int
) -> None:
    most = min(count - 1, REFUSED_ALONE_ENOUGH - 1)
    bad = data.draw(st.sets(st.integers(0, count - 1), max_size=most))
    wire = ScriptedWire(refusing(bad, Reply(400)))
    one = scorer(wire, Clock(), parallel=parallel)
    found = score(one, count)
    one.close()
    refused = RowRefused(400, "the model refuses the rows (status 400)")
    assert found == [refused if number in bad else right(number) for number in range(count)]
    assert len(wire.bodies) <= 1 + 2 * len(bad) * log2(count)


@pytest.mark.statement("azureml-35")
@given(
    data=st.data(), count=st.integers(2, 120), outcome=st.sampled_from([Reply(422), behind(500), Reply(502)])
)
@trying(deadline=None, max_examples=150)
def test_whichever_rows_are_bad_no_good_row_is_refused_or_the_call_fails_whole(
    data: st.DataObject, count: int, outcome: Reply
) -> None:
    bad = data.draw(st.sets(st.integers(0, count - 1)))
    wire = ScriptedWire(refusing(bad, outcome))
    one = scorer(wire, Clock())
    try:
        found = score(one, count)
    except (BadAnswer, ServiceDown) as error:
        # Only where nothing had scored when so many rows had been refused alone; 502 explains nothing.
        assert len(bad) >= min(count, REFUSED_ALONE_ENOUGH)
        assert isinstance(error, ServiceDown) == (outcome.status == 502)
    else:
        assert [isinstance(result, RowRefused) for result in found] == [n in bad for n in range(count)]
        assert [r for r in found if isinstance(r, dict)] == [right(n) for n in range(count) if n not in bad]
    finally:
        one.close()
    retries = 2 if outcome.status == 502 else 1 if outcome.status == 424 else 0
    confirmed = 1  # a known good row, after 502
    assert len(wire.bodies) <= 1 + retries + 2 * len(bad) * log2(count) + confirmed


@pytest.mark.statement("azureml-35")
@pytest.mark.parametrize("count", [2, 10, 100, 1000])
@pytest.mark.parametrize("outcome", [Reply(400), behind(500)])
def test_an_all_bad_batch_stops_early_and_is_the_services_fault(
    scorer_of: Scorers, count: int, outcome: Reply
) -> None:
    wire = ScriptedWire(outcome)
    with pytest.raises(BadAnswer, match=r"whichever entity is sent\. No entity was marked"):
        score(scorer_of(wire), count)
    assert len(wire.bodies) <= 2 + 4 * REFUSED_ALONE_ENOUGH + log2(count)


@pytest.mark.statement("azureml-35")
@pytest.mark.parametrize("bad", [set(range(40)), set(range(60, 100)), set(range(1, 97, 3))])
def test_many_bad_rows_on_one_side_do_not_hide_good_ones(scorer_of: Scorers, bad: set[int]) -> None:
    wire = ScriptedWire(refusing(bad, Reply(400)))
    found = score(scorer_of(wire), 100)
    assert [n for n, result in enumerate(found) if isinstance(result, RowRefused)] == sorted(bad)


def test_a_service_that_breaks_down_while_rows_are_searched_for_fails_the_call(scorer_of: Scorers) -> None:
    # The first batch scores; then every answer is a 502, which explains nothing.
    wire = ScriptedWire(scores, Reply(502))
    with pytest.raises(ServiceDown):
        score(scorer_of(wire, batch_rows=2), 4)


def test_a_502_blames_a_row_only_if_the_service_scores_afterwards(scorer_of: Scorers) -> None:
    wire = ScriptedWire(refusing({3}, Reply(502)))
    found = score(scorer_of(wire, batch_rows=2), 4)
    assert [isinstance(result, RowRefused) for result in found] == [False, False, False, True]
    assert wire.bodies[-1] == [[2]] or wire.bodies[-1] == [[0]]


@pytest.mark.statement("azureml-35")
def test_more_bad_rows_than_are_sought_are_reported_in_groups(scorer_of: Scorers) -> None:
    bad = set(range(0, 1000, 3))
    wire = ScriptedWire(refusing(bad, Reply(400)))
    found = score(scorer_of(wire), 1000)
    assert len(wire.bodies) <= 1 + 4 + 2 * BAD_ROWS_SOUGHT * log2(1000)
    assert all(isinstance(found[number], RowRefused) for number in bad)
    assert all(result == right(n) for n, result in enumerate(found) if isinstance(result, dict))
    told = [r.message for r in found if isinstance(r, RowRefused) and "not told apart" in r.message]
    assert told


@pytest.mark.statement("azureml-37")
def test_rows_that_fail_only_together_are_scored_alone(scorer_of: Scorers) -> None:
    def all_null(sent: list[list[object]]) -> Outcome:
        """Designer: a column that is null in every row of a request."""
        return Reply(400) if {row[0] for row in sent} == {6, 7} else scores(sent)

    wire = ScriptedWire(all_null)
    assert score(scorer_of(wire, batch_rows=2), 10) == [right(number) for number in range(10)]


@pytest.mark.statement("azureml-21", "azureml-34")
@pytest.mark.fault(10)
def test_an_error_inside_a_200_is_searched_for_its_row_and_shows_no_value(scorer_of: Scorers) -> None:
    error = json.dumps({"error": "could not convert string to float: 'Kari' in row 4711"}).encode()
    sent: list[Row] = [[number] for number in range(10)]
    sent[4] = ["Kari"]
    wire = ScriptedWire(
        lambda got: Reply(200, {}, error) if any(row[0] == "Kari" for row in got) else scores(got)
    )
    refused = score(scorer_of(wire), sent).pop(4)
    assert isinstance(refused, RowRefused)
    assert refused.status == 422
    assert "could not convert string to float" in refused.message
    assert "Kari" not in refused.message
    assert "4711" not in refused.message


# ---- one row alone: a known good row decides


@pytest.mark.parametrize("outcome", [Reply(400), behind(500), Reply(413)])
def test_a_single_row_is_refused_only_beside_a_row_that_scores(scorer_of: Scorers, outcome: Reply) -> None:
    wire = ScriptedWire(refusing({1}, outcome))
    one = scorer_of(wire)
    with pytest.raises(BadAnswer, match="no entity has scored yet"):
        score(one, [[1]])
    score(one, [[7]])
    (refused,) = score(one, [[1]])
    assert isinstance(refused, RowRefused)
    assert wire.bodies[-1] == [[7]]


def test_a_single_row_is_not_refused_by_a_service_that_refuses_the_known_good_row_too(
    scorer_of: Scorers,
) -> None:
    wire = ScriptedWire(scores, Reply(400))
    one = scorer_of(wire)
    score(one, [[7]])
    with pytest.raises(BadAnswer, match="whichever entity is sent"):
        score(one, [[1]])


def test_a_service_that_is_away_when_the_known_good_row_is_tried_refuses_nothing(scorer_of: Scorers) -> None:
    one = scorer_of(ScriptedWire(scores, Reply(400), Reply(503)))
    score(one, [[7]])
    with pytest.raises(ServiceDown):
        score(one, [[1]])


def test_a_known_good_row_of_other_columns_is_none(scorer_of: Scorers) -> None:
    one = scorer_of(ScriptedWire(refusing({1}, Reply(400))))
    one.remember((SentColumn("y"),), [7])
    with pytest.raises(BadAnswer, match="no entity has scored yet"):
        score(one, [[1]])
    one.remember(X, [7])
    assert isinstance(score(one, [[1]])[0], RowRefused)


# ---- time


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Holds back answers until it is set, whatever the deadline: so no kept connection does."""
    monkeypatch.setattr(ScriptedWire, "kept", False)
    gate = threading.Event()
    yield gate
    gate.set()


def held(gate: threading.Event) -> Answer:
    def answer(sent: list[list[object]]) -> Outcome:
        gate.wait(10)
        return scores(sent)

    return answer


@pytest.mark.statement("azureml-40")
def test_a_call_ends_at_its_deadline_whatever_its_lanes_do(scorer_of: Scorers, gate: threading.Event) -> None:
    with pytest.raises(Silence, match="no answer before the deadline"):
        score(scorer_of(ScriptedWire(held(gate))), 10, seconds=0.1)


def call_that_has_the_lane(one: RowScorer, wire: ScriptedWire) -> threading.Thread:
    """Start a call and wait until it is at the service."""
    first = threading.Thread(target=score, args=(one, 1))
    first.start()
    while not wire.bodies:
        pass
    return first


@pytest.mark.statement("azureml-39")
def test_a_call_that_gets_no_lane_before_its_deadline_is_throttled(
    scorer_of: Scorers, gate: threading.Event
) -> None:
    wire = ScriptedWire(held(gate))
    one = scorer_of(wire, in_flight=1)
    first = call_that_has_the_lane(one, wire)
    with pytest.raises(Throttled, match="all 1 requests that in_flight allows"):
        score(one, 10, seconds=0.1)
    gate.set()
    first.join()
    assert len(wire.bodies) == 1


def test_a_call_that_was_answered_too_late_is_silence_though_others_have_all_lanes_by_then(
    scorer_of: Scorers, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, told = threading.Event(), threading.Event()

    def late(_: object) -> Outcome:
        if other.is_set():
            told.wait(5)
            return scores([[1]])
        other.set()
        second.start()
        while not one.lanes.waiting:
            pass
        while deadline.left():
            pass
        return Trouble(Fault.SILENT)

    monkeypatch.setattr(ScriptedWire, "kept", True)
    one, deadline = scorer_of(ScriptedWire(late), in_flight=1), Deadline.after(0.1)
    second = threading.Thread(target=score, args=(one, [[1]]))
    with pytest.raises(Silence, match="no answer before the deadline"):
        one.score(rows(1), payload(), deadline)
    told.set()
    second.join()


def test_a_call_that_still_waits_for_a_lane_when_the_app_ends_is_told_so(
    scorer_of: Scorers, gate: threading.Event
) -> None:
    wire = ScriptedWire(held(gate))
    one = scorer_of(wire, in_flight=1)
    first = call_that_has_the_lane(one, wire)
    told: list[Failure] = []

    def second() -> None:
        try:
            score(one, 10)
        except Failure as failure:
            told.append(failure)

    waiting = threading.Thread(target=second)
    waiting.start()
    while not one.lanes.waiting:
        pass
    one.close()
    waiting.join()
    gate.set()
    first.join()
    assert [type(failure) for failure in told] == [ServiceDown]


@pytest.mark.fault(12, 13)
@pytest.mark.parametrize(
    ("said", "kind"),
    [(Reply(429, {"retry-after": "0"}), Throttled), (Reply(503, {"retry-after": "0"}), ServiceDown)],
)
def test_at_the_deadline_the_last_verdict_decides(
    scorer_of: Scorers, gate: threading.Event, said: Outcome, kind: type[Failure]
) -> None:
    with pytest.raises(kind):
        score(scorer_of(ScriptedWire(said, held(gate))), 10, seconds=0.1)


@pytest.mark.statement("azureml-40")
@pytest.mark.parametrize("said", [Reply(400), Reply(413)], ids=["400", "413"])
def test_a_search_for_bad_rows_that_the_deadline_ends_blames_nobody(
    scorer_of: Scorers, gate: threading.Event, said: Outcome
) -> None:
    def first_refused_then_held(sent: list[list[object]]) -> Outcome:
        return said if len(sent) == 10 else held(gate)(sent)  # type: ignore[operator]  # it is a function

    with pytest.raises(Silence, match="no answer before the deadline"):
        score(scorer_of(ScriptedWire(first_refused_then_held)), 10, seconds=0.1)


def test_a_known_good_row_that_gets_no_answer_in_time_blames_nobody(
    scorer_of: Scorers, gate: threading.Event
) -> None:
    one = scorer_of(ScriptedWire(scores, Reply(400), held(gate)))
    score(one, [[7]])
    with pytest.raises(Silence, match="no answer before the deadline"):
        score(one, [[1]], seconds=0.1)


def test_a_call_that_fails_leaves_no_lane_waiting_to_try_again() -> None:
    model = ModelSettings.model_validate({"url": "https://ml.example/", "key": "k", "features": ["x"]})
    asked = threading.Event()

    def answer(sent: list[list[object]]) -> Outcome:
        if sent[0][0] == 0:
            asked.set()
            return Reply(429, {"retry-after": "30"})
        asked.wait(5)
        return Reply(403)

    one = RowScorer(Sender(ScriptedWire(answer)), model.model_copy(update={"batch_rows": 1}))
    with pytest.raises(CredentialsRefused):
        score(one, 2)
    began = time.monotonic()
    one.lanes.close(wait=True)
    assert time.monotonic() - began < 5


# ---- many at once


@pytest.mark.statement("azureml-39")
def test_no_more_than_in_flight_of_a_model_and_parallel_of_a_call_are_sent_at_once(
    scorer_of: Scorers,
) -> None:
    lock = threading.Lock()
    under_way: list[object] = []
    most = {"model": 0, "call": 0}

    def counted(sent: list[list[object]]) -> Outcome:
        call = sent[0][0]
        with lock:
            under_way.append(call)
            most["model"] = max(most["model"], len(under_way))
            most["call"] = max(most["call"], under_way.count(call))
        threading.Event().wait(0.002)
        with lock:
            under_way.remove(call)
        return scores(sent)

    one = scorer_of(ScriptedWire(counted), in_flight=6, parallel=2, batch_rows=5)
    calls = [threading.Thread(target=score, args=(one, [[number]] * 50)) for number in range(12)]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert most == {"model": 6, "call": 2}


def test_a_large_call_does_not_starve_small_ones(scorer_of: Scorers) -> None:
    order: list[object] = []
    started = threading.Event()

    def slowly(sent: list[list[object]]) -> Outcome:
        started.set()
        order.append(sent[0][0])
        threading.Event().wait(0.002)
        return scores(sent)

    one = scorer_of(ScriptedWire(slowly), in_flight=1, parallel=2, batch_rows=1)
    large = threading.Thread(target=score, args=(one, [["large"]] * 100))
    large.start()
    started.wait(5)
    score(one, [["small"]])
    large.join()
    assert order.index("small") < 20


def test_columns_and_rows_of_the_payload_reach_its_reader(scorer_of: Scorers) -> None:
    def read(answer: object, sent: Any) -> Results:
        assert isinstance(answer, list)
        return Results(("twice",), [(row[0] * 2,) for row in sent])

    plan = Payload(X, payload().write, read)
    found = scorer_of(ScriptedWire(scores)).score([[3], [4]], plan, Deadline.after(5))
    assert found == [{"twice": 6}, {"twice": 8}]


@pytest.mark.parametrize("request_id", ["", "Kari Nordmann", "a" * 41, "b" * 40, "0f6a-call"])
@pytest.mark.statement("azureml-14")
def test_request_ids_are_harmless_whatever_the_caller_sends(scorer_of: Scorers, request_id: str) -> None:
    wire = ScriptedWire(scores)
    scorer_of(wire, batch_rows=1).score(rows(3), payload(), Deadline.after(5), request_id)
    assert len(set(wire.ids)) == 3
    assert all(len(i) <= 40 and i.replace("-", "").replace("_", "").isalnum() for i in wire.ids)
    if request_id == "0f6a-call":
        assert all(id_.startswith("0f6a-call-") for id_ in wire.ids)
