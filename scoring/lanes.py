"""One model's `in_flight`: at most so many parcels under way at a time, whoever sends them.

A lane is leave to send one parcel, and mostly a thread to do it on. Work that finds no free lane waits in
turn; whoever waits for it can give it up, and then it is not begun.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any


class Lanes:
    """So many lanes; for many threads."""

    def __init__(self, most: int) -> None:
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="lane")
        self._lock = threading.Lock()
        self._free = most
        self._closed = False
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    @property
    def waiting(self) -> int:
        """Say how much work waits for a lane, or was given up while it did."""
        return len(self._waiting)

    def start[T](self, work: Callable[[], T]) -> Future[T]:
        """Have work done on a thread, as soon as a lane is free; cancelled where there will be none."""
        future: Future[T] = Future()
        with self._lock:
            self._waiting.append((future, work))
            self._begin()
        return future

    def here[T](self, work: Callable[[], T]) -> T | None:
        """Do work on the calling thread and give what it gives; None where no lane is free."""
        with self._lock:
            if not self._free or self._closed:
                return None
            self._free -= 1
        try:
            return work()
        finally:
            self._leave()

    def close(self, *, wait: bool = False) -> None:
        """Begin nothing more, and cancel what waits; `wait` for what is under way on threads of ours."""
        with self._lock:
            self._closed = True
            self._begin()
        self._threads.shutdown(wait)

    def _begin(self) -> None:
        while self._waiting and (self._free or self._closed):
            future, work = self._waiting.popleft()
            if self._closed:
                future.cancel()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                self._threads.submit(self._do, future, work)
                self._free -= 1
            except RuntimeError as error:  # no thread can be had, or the interpreter is ending
                future.set_exception(error)

    def _do(self, future: Future[Any], work: Callable[[], Any]) -> None:
        with self._lock:
            if future.done():
                return  # it came to a thread after all, and is told as failed
        told: Callable[[], None]
        try:
            told = partial(future.set_result, work())
        except BaseException as error:  # noqa: BLE001  # whatever it is belongs to the thread that waits
            told = partial(future.set_exception, error)
        # First, so that whoever is told finds the lane free.
        self._leave()
        told()

    def _leave(self) -> None:
        with self._lock:
            self._free += 1
            self._begin()
