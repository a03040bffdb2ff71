"""Queue functions: messages of a Storage queue become runs (facts/functions.md §3.7).

A message is hidden while its run is under way, and the hiding is renewed. Success deletes it. Failure makes
it visible again after `visibilityTimeout`, until it has been tried `maxDequeueCount` times: then it moves to
the queue `<name>-poison`. A host that dies loses nothing: the hiding ends by itself. Delivery is at least
once.
"""

import asyncio
import base64
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import LinearRetry, QueueClient, QueueMessage

from local.host.configuration import HIDDEN_SECONDS, QueueSettings
from local.host.engine import Call, Outcome, Runs
from local.host.functions import Function, resolved
from local.host.messages import TypedData, text, when
from local.host.running import Running

SHORTEST_POLL = 0.1
CONNECT_SECONDS, READ_SECONDS = 5, 10

log = logging.getLogger("host")


class StorageQueue:
    """A queue and its poison queue. Each call blocks, and raises azure-core's errors."""

    def __init__(self, connection_string: str, name: str) -> None:
        self.name = name
        self._queue = _client(connection_string, name)
        self._poison = _client(connection_string, f"{name}-poison")

    def receive(self, most: int, hidden: int) -> list[QueueMessage]:
        """Take messages and hide them for so many seconds; none when there is no such queue (yet)."""
        try:
            return list(
                self._queue.receive_messages(
                    messages_per_page=most,
                    max_messages=most,
                    visibility_timeout=hidden,
                    retry_total=0,  # the listener itself tries again
                )
            )
        except ResourceNotFoundError:
            return []

    def hide(self, message: QueueMessage, seconds: int) -> None:
        """Hide a message from now on for so long; it gets a new receipt."""
        renewed = self._queue.update_message(message, visibility_timeout=seconds)
        message.pop_receipt = renewed.pop_receipt
        message.next_visible_on = renewed.next_visible_on

    def delete(self, message: QueueMessage) -> None:
        """Take a message off the queue for good."""
        self._queue.delete_message(message)

    def poison(self, message: QueueMessage) -> None:
        """Move a message to the poison queue, which is made when needed."""
        with contextlib.suppress(ResourceExistsError):
            self._poison.create_queue()
        self._poison.send_message(message.content, time_to_live=-1)
        self.delete(message)

    def close(self) -> None:
        """Close the connections."""
        self._queue.close()
        self._poison.close()


class QueueListener:
    """One queue function; ValueError when its connection or its queue's name cannot be resolved."""

    def __init__(
        self,
        function: Function,
        environment: Mapping[str, str],
        settings: QueueSettings,
        engine: Runs,
        running: Running,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        hidden: int = HIDDEN_SECONDS,
    ) -> None:
        connection, name = connection_of(function, environment)
        self._queue = StorageQueue(connection, name)
        self._function = function
        self._settings = settings
        self._engine = engine
        self._running = running
        self._sleep = sleep
        self._hidden = hidden
        self._threads = ThreadPoolExecutor(thread_name_prefix=f"queue-{name}")
        self._under_way: set[asyncio.Task[None]] = set()
        self._trouble = ""

    async def serve(self) -> None:
        """Take messages and run them until cancelled; what has been taken runs to its end."""
        wait = SHORTEST_POLL
        while True:
            while len(self._under_way) > self._settings.new_batch_threshold:
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            if await asyncio.shield(self._running.start(self._take())):
                wait = SHORTEST_POLL
            else:
                await self._sleep(wait)
                wait = min(wait * 2, self._settings.max_polling_interval)

    async def fire(self, message: str) -> Outcome:
        """Run the function on this text, as if it had come by the queue (the admin endpoint)."""
        return await self._engine.run(
            Call(self._function, TypedData(string=message), {"DequeueCount": text("1")})
        )

    def close(self) -> None:
        """Let connections and threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._queue.close()

    async def _take(self) -> int:
        try:
            received = await self._blocking(self._queue.receive, self._settings.batch_size, self._hidden)
        except AzureError as error:
            self._report(type(error).__name__)
            return 0
        self._report("")
        for message in received:
            task = self._running.start(self._process(message))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return len(received)

    async def _process(self, message: QueueMessage) -> None:
        most = self._settings.max_dequeue_count
        tried = message.dequeue_count or 0
        data = _content(message, base64_encoded=self._settings.base64)
        try:
            if data is None:
                await self._poison(message, "it is not base64 (host.json: messageEncoding)")
            elif tried > most:  # the host itself died in the last try
                await self._poison(message, f"it has been tried {most} times")
            elif (await self._run_hidden(message, data)).succeeded:
                await self._blocking(self._queue.delete, message)
            elif tried >= most:
                await self._poison(message, f"it has been tried {most} times")
            else:
                await self._blocking(self._queue.hide, message, round(self._settings.visibility_timeout))
        except AzureError as error:
            log.error(  # noqa: TRY400  # a trace of the SDK's pipeline says nothing more
                "queue %s: a message could not be settled (%s): it will come back",
                self._queue.name,
                type(error).__name__,
            )

    async def _run_hidden(self, message: QueueMessage, data: TypedData) -> Outcome:
        renewing = asyncio.Lock()
        keeper = asyncio.create_task(self._keep_hidden(message, renewing))
        try:
            return await self._engine.run(Call(self._function, data, _metadata(message, data)))
        finally:
            # A renewal under way changes the receipt: let it end before the message is settled by it.
            async with renewing:
                keeper.cancel()

    async def _keep_hidden(self, message: QueueMessage, renewing: asyncio.Lock) -> None:
        while True:
            await self._sleep(self._hidden / 3)
            async with renewing:
                try:
                    await self._blocking(self._queue.hide, message, self._hidden)
                except AzureError as error:
                    log.warning("queue %s: hiding not renewed (%s)", self._queue.name, type(error).__name__)

    async def _poison(self, message: QueueMessage, why: str) -> None:
        log.error("queue %s: message %s moves to the poison queue: %s", self._queue.name, message.id, why)
        await self._blocking(self._queue.poison, message)

    async def _blocking[**P, T](self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))

    def _report(self, trouble: str) -> None:
        # Once when it begins and once when it ends, not at every poll.
        if trouble and trouble != self._trouble:
            log.warning(
                "queue %s: storage does not answer (%s), trying on. Is it running (make azurite)?",
                *(self._queue.name, trouble),
            )
        elif self._trouble and not trouble:
            log.info("queue %s: storage answers again", self._queue.name)
        self._trouble = trouble


def connection_of(function: Function, environment: Mapping[str, str]) -> tuple[str, str]:
    """Give a queue function's connection string and its queue's name; ValueError when one is missing."""
    setting = function.trigger.get("connection") or "AzureWebJobsStorage"
    connection = environment.get(setting)
    if not connection:
        raise ValueError(f"its connection is the setting {setting}, which is not set")
    return connection, resolved(str(function.trigger["queueName"]), environment)


def _client(connection_string: str, name: str) -> QueueClient:
    return QueueClient.from_connection_string(
        connection_string,
        name,
        connection_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retry_policy=LinearRetry(backoff=1, retry_total=2, random_jitter_range=0),
    )


def _content(message: QueueMessage, *, base64_encoded: bool) -> TypedData | None:
    """Decode a message: text, or bytes where it is no UTF-8; None when it is not encoded as it should be."""
    content = str(message.content)
    if not base64_encoded:
        return TypedData(string=content)
    try:
        raw = base64.b64decode(content, validate=True)
    except ValueError:
        return None
    try:
        return TypedData(string=raw.decode())
    except UnicodeDecodeError:
        return TypedData(bytes=raw)


def _metadata(message: QueueMessage, data: TypedData) -> dict[str, TypedData]:
    return {
        "Id": text(message.id or ""),
        "PopReceipt": text(message.pop_receipt or ""),
        "DequeueCount": text(str(message.dequeue_count or 0)),
        "InsertionTime": when(message.inserted_on),
        "ExpirationTime": when(message.expires_on),
        "NextVisibleTime": when(message.next_visible_on),
        "QueueTrigger": data,
    }
