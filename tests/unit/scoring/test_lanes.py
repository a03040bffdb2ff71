"""A model's lanes: how many at a time, in which order, and what becomes of what waits."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait

import pytest

from scoring.lanes import Lanes


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    lanes = Lanes(2)
    yield lanes
    lanes.close()


def test_work_done_here_takes_one_of_the_lanes(lanes: Lanes, gate: threading.Event) -> None:
    held = lanes.start(lambda: gate.wait(10))

    def here() -> Future[str]:
        waiting = lanes.start(lambda: "later")
        assert lanes.here(lambda: "never") is None
        assert (lanes.waiting, waiting.running(), waiting.done()) == (1, False, False)
        return waiting

    waiting = lanes.here(here)
    assert waiting is not None
    assert waiting.result(5) == "later"
    assert not held.done()


def test_what_waits_is_begun_in_the_order_it_came(gate: threading.Event) -> None:
    lanes, done = Lanes(1), list[int]()
    lanes.start(lambda: gate.wait(10))
    futures = [lanes.start(lambda number=number: done.append(number)) for number in range(20)]  # type: ignore[misc]  # mypy cannot infer it
    futures[7].cancel()
    gate.set()
    wait(futures, 5)
    assert done == [number for number in range(20) if number != 7]
    lanes.close()


def test_an_error_is_its_futures_and_its_lane_is_free_again(lanes: Lanes) -> None:
    def fail() -> None:
        raise ValueError("broken")

    for _ in range(5):
        with pytest.raises(ValueError, match="broken"):
            lanes.start(fail).result(5)
        with pytest.raises(ValueError, match="broken"):
            lanes.here(fail)
    assert lanes.here(lambda: "free") == "free"


def test_however_much_was_done_there_are_no_more_lanes_than_at_first(
    lanes: Lanes, gate: threading.Event
) -> None:
    for _ in range(5):
        assert lanes.start(lambda: "there").result(5) == "there"
        assert lanes.here(lambda: "here") == "here"
    for _ in range(3):
        lanes.start(lambda: gate.wait(10))
    assert lanes.waiting == 1
    assert lanes.here(lambda: "never") is None


def test_a_thread_that_cannot_be_had_costs_its_work_and_no_lane(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    done: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        lost = [lanes.start(lambda: done.append("lost")) for _ in range(5)]
        assert lanes.here(lambda: "here") == "here"
    for future in lost:
        with pytest.raises(RuntimeError, match="new thread"):
            future.result(5)
    assert [lanes.start(lambda: "later").result(5) for _ in range(5)] == ["later"] * 5
    assert done == []
    assert lanes.here(lambda: lanes.start(lambda: "both").result(5)) == "both"


def test_after_the_end_nothing_is_begun_and_what_waits_is_told_so(gate: threading.Event) -> None:
    lanes = Lanes(1)
    under_way = lanes.start(lambda: gate.wait(10))
    waiting = lanes.start(lambda: "never")
    lanes.close()
    assert waiting.cancelled(), "at once, though nothing comes after it"
    late = lanes.start(lambda: "never")
    assert not wait([waiting, late], 5).not_done
    assert late.cancelled()
    gate.set()
    assert under_way.result(5)
    assert lanes.here(lambda: "never") is None


def test_an_end_that_is_waited_for_leaves_nothing_under_way_and_no_thread(gate: threading.Event) -> None:
    before = set(threading.enumerate())
    lanes = Lanes(1)
    under_way = lanes.start(lambda: gate.wait(10))
    (thread,) = set(threading.enumerate()) - before
    assert thread.name.startswith("lane")
    closing = threading.Thread(target=lanes.close, kwargs={"wait": True})
    closing.start()
    gate.set()
    closing.join(5)
    assert under_way.done()
    assert not thread.is_alive()
