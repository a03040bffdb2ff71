"""One model's `in_flight`: at most so many parcels under way at a time, whoever sends them.

A lane is leave to send one parcel, and mostly a thread to do it on. Work that finds no free lane waits in
turn; whoever waits for it can give it up, and then it is not begun.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
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
        """Say how much work waits for a lane."""
        return len(self._waiting)

    def start[T](self, work: Callable[[], T]) -> Future[T]:
        """Have work done on a thread, as soon as a lane is free; cancelled where there will be none."""
        future: Future[T] = Future()
        with self._lock:
            self._waiting.append((future, work))
            self._begin()
        return future

    def here[T](self, work: Callable[[], T]) -> T | None:
        """Do work on the calling thread, if a lane is free; else None."""
        with self._lock:
            if not self._free or self._closed:
                return None
            self._free -= 1
        try:
            return work()
        finally:
            self._leave()

    def close(self, *, wait: bool = False) -> None:
        """Begin nothing more, and cancel what waits; what is under way is only waited for if asked."""
        with self._lock:
            self._closed = True
            self._begin()
        self._threads.shutdown(wait)

    def _begin(self) -> None:
        while self._waiting and (self._free or self._closed):
            future, work = self._waiting.popleft()
            if self._closed:
                future.cancel()
            if future.set_running_or_notify_cancel():
                self._free -= 1
                self._threads.submit(self._do, future, work)

    def _do(self, future: Future[Any], work: Callable[[], Any]) -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  # whatever it is belongs to the thread that waits
            future.set_exception(error)
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._free += 1
            self._begin()
