"""What is under way, so that the host can end calmly: nothing new, what runs may finish."""

import asyncio
from collections.abc import Coroutine


class Running:
    """The tasks under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def start[T](self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Run in the background what shutdown shall wait for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self, grace: float) -> int:
        """Wait at most `grace` seconds for all, cancel the rest, and give their number."""
        end = asyncio.get_running_loop().time() + grace
        # What runs may start more (a queue's message is settled after its run), so look again.
        while self._tasks and (left := end - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(set(self._tasks), timeout=left)
        abandoned = set(self._tasks)
        for task in abandoned:
            task.cancel()
        if abandoned:
            await asyncio.wait(abandoned, timeout=1)
        return len(abandoned)
