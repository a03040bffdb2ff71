"""The breaker: a service that is down is left alone, one that is busy never is."""

import threading
from collections.abc import Callable

import pytest

from scoring.breaker import FIRST_PAUSE_S, LONGEST_PAUSE_S, STRIKES, Breaker, Permit, Signal


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def send(breaker: Breaker, sign: Signal) -> None:
    leave = breaker.admit()
    assert isinstance(leave, Permit)
    breaker.report(leave, sign)


def strike_out(breaker: Breaker) -> None:
    for _ in range(STRIKES):
        send(breaker, Signal.BAD)


def test_failures_in_a_row_close_the_way_for_some_seconds(breaker: Breaker, clock: Clock) -> None:
    for _ in range(STRIKES - 1):
        send(breaker, Signal.BAD)
        assert breaker.open_for == 0
    send(breaker, Signal.BAD)
    clock.now += 1
    assert breaker.admit() == FIRST_PAUSE_S - 1
    assert breaker.open_for == FIRST_PAUSE_S - 1


def test_a_success_between_forgets_earlier_failures(breaker: Breaker) -> None:
    for _ in range(3 * STRIKES):
        for _ in range(STRIKES - 1):
            send(breaker, Signal.BAD)
        send(breaker, Signal.GOOD)
    assert breaker.open_for == 0


@pytest.mark.parametrize("sign", [Signal.ALIVE, Signal.NONE])
def test_throttling_and_refusals_never_count(breaker: Breaker, sign: Signal) -> None:
    for _ in range(10 * STRIKES):
        send(breaker, sign)
    assert breaker.open_for == 0


def test_nor_are_they_a_success(breaker: Breaker) -> None:
    for _ in range(STRIKES):
        send(breaker, Signal.BAD)
        if breaker.open_for == 0:
            send(breaker, Signal.ALIVE)
    assert breaker.open_for == FIRST_PAUSE_S


@pytest.mark.fault(28)
def test_after_the_pause_one_request_probes_and_the_others_wait(breaker: Breaker, clock: Clock) -> None:
    strike_out(breaker)
    clock.now += FIRST_PAUSE_S
    assert breaker.open_for == 0
    probe = breaker.admit()
    assert probe == Permit(probe=True)
    assert [breaker.admit() for _ in range(49)] == [1.0] * 49


@pytest.mark.parametrize("sign", [Signal.GOOD, Signal.ALIVE])
def test_a_probe_that_is_answered_opens_the_way(breaker: Breaker, clock: Clock, sign: Signal) -> None:
    strike_out(breaker)
    clock.now += FIRST_PAUSE_S
    send(breaker, sign)
    assert breaker.admit() == Permit()
    for _ in range(STRIKES - 1):
        send(breaker, Signal.BAD)
    assert breaker.open_for == 0


def test_pauses_grow_with_every_failed_probe_up_to_a_cap_and_start_anew_after_a_success(
    breaker: Breaker, clock: Clock
) -> None:
    strike_out(breaker)
    pauses = []
    for _ in range(6):
        pauses.append(breaker.open_for)
        clock.now += breaker.open_for
        send(breaker, Signal.BAD)
    assert pauses == [5, 10, 20, 40, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    clock.now += breaker.open_for
    send(breaker, Signal.GOOD)
    strike_out(breaker)
    assert breaker.open_for == FIRST_PAUSE_S


def test_a_probe_that_was_never_sent_leaves_the_place_to_the_next(breaker: Breaker, clock: Clock) -> None:
    strike_out(breaker)
    clock.now += FIRST_PAUSE_S
    send(breaker, Signal.NONE)
    assert breaker.admit() == Permit(probe=True)


def test_requests_that_were_under_way_when_it_opened_do_not_prolong_the_pause(
    breaker: Breaker, clock: Clock
) -> None:
    late = [breaker.admit() for _ in range(50)]
    strike_out(breaker)
    clock.now += 4
    for leave in late:
        assert isinstance(leave, Permit)
        breaker.report(leave, Signal.BAD)
    assert breaker.open_for == FIRST_PAUSE_S - 4


def test_a_late_success_opens_the_way_at_once(breaker: Breaker) -> None:
    late = breaker.admit()
    assert isinstance(late, Permit)
    strike_out(breaker)
    breaker.report(late, Signal.GOOD)
    assert breaker.open_for == 0


@pytest.mark.fault(28)
def test_of_many_threads_exactly_one_probes(breaker: Breaker, clock: Clock) -> None:
    strike_out(breaker)
    clock.now += FIRST_PAUSE_S
    barrier = threading.Barrier(32)
    leaves: list[Permit | float] = []

    def ask(admit: Callable[[], Permit | float]) -> None:
        barrier.wait()
        leaves.append(admit())

    threads = [threading.Thread(target=ask, args=(breaker.admit,)) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert leaves.count(Permit(probe=True)) == 1
    assert leaves.count(1.0) == 31
