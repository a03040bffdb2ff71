"""Storage queues against a real Azurite, facts/functions.md §3.7."""

import asyncio
import base64
import dataclasses
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
import requests
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient

from local.azurite import Azurite
from local.host.configuration import HIDDEN_SECONDS, QueueSettings
from local.host.engine import Call, Outcome
from local.host.functions import Function
from local.host.process import RunningApp
from local.host.queues import QueueListener
from local.host.running import Running
from tests.integration.host.conftest import Serve

SOURCE = """
@app.queue_trigger(queue_name="%ORDERS%", connection="AzureWebJobsStorage", arg_name="message")
async def orders(message: func.QueueMessage) -> None:
    text = message.get_body().decode()
    print("order", text, "try", message.dequeue_count, message.insertion_time is not None, flush=True)
    if text.startswith("bad"):
        raise ValueError("refused")
    if text.startswith("shaky") and message.dequeue_count < 2:
        raise ValueError("not yet")

@app.queue_trigger(queue_name="absent", connection="NOWHERE", arg_name="message")
async def unreachable(message: func.QueueMessage) -> None:
    pass
"""

HOST: dict[str, object] = {
    "extensions": {
        "queues": {
            "batchSize": 1,
            "newBatchThreshold": 0,
            "maxPollingInterval": "00:00:00.2",
            "visibilityTimeout": "00:00:00",
            "maxDequeueCount": 3,
        }
    }
}


@pytest.fixture(scope="module")
def connect(azurite: Azurite) -> Iterator[Callable[[str], QueueClient]]:
    """Open a queue by its name; it is not made."""
    opened: list[QueueClient] = []

    def connect(name: str) -> QueueClient:
        opened.append(QueueClient.from_connection_string(azurite.connection_string, name))
        return opened[-1]

    yield connect
    for queue in opened:
        queue.close()


@pytest.fixture(scope="module")
def orders(connect: Callable[[str], QueueClient]) -> QueueClient:
    return connect(f"orders-{uuid4().hex}")


@pytest.fixture(scope="module")
def app(serve: Serve, azurite: Azurite, orders: QueueClient) -> Iterator[RunningApp]:
    settings = {
        "AzureWebJobsStorage": azurite.connection_string,
        "ORDERS": orders.queue_name,
        # Nobody listens there.
        "NOWHERE": azurite.connection_string.replace(f":{azurite.queue_port}/", ":1/"),
    }
    with serve(SOURCE, host=HOST, settings=settings) as app:
        orders.create_queue()  # after the host has begun to look for it
        yield app


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def remaining(queue: QueueClient) -> int:
    """Count the messages of a queue, hidden ones included."""
    return queue.get_queue_properties().approximate_message_count or 0


def poisoned(connect: Callable[[str], QueueClient], orders: QueueClient) -> list[str]:
    with connect(f"{orders.queue_name}-poison") as queue:
        return [str(message.content) for message in queue.peek_messages(32)]


def test_a_message_is_run_once_and_leaves_the_queue(app: RunningApp, orders: QueueClient) -> None:
    orders.send_message(encoded("good-1 ø"))
    app.wait_for("order good-1 ø try 1 True")
    # The next message is taken only after this one has been settled.
    orders.send_message(encoded("good-2"))
    app.wait_for("order good-2 try 1")
    assert app.output().count("order good-1") == 1
    assert remaining(orders) <= 1


def test_a_message_whose_run_fails_comes_back(app: RunningApp, orders: QueueClient) -> None:
    orders.send_message(encoded("shaky"))
    app.wait_for("order shaky try 1")
    app.wait_for("order shaky try 2")
    orders.send_message(encoded("after-shaky"))
    app.wait_for("order after-shaky")
    assert "order shaky try 3" not in app.output()


def test_a_message_that_fails_each_time_moves_to_the_poison_queue_as_it_was(
    app: RunningApp, orders: QueueClient, connect: Callable[[str], QueueClient]
) -> None:
    orders.send_message(encoded("bad"))
    app.wait_for("moves to the poison queue: it has been tried 3 times")
    orders.send_message(encoded("after-bad"))
    app.wait_for("order after-bad")
    assert [f"order bad try {number}" in app.output() for number in (1, 2, 3, 4)] == [True, True, True, False]
    assert encoded("bad") in poisoned(connect, orders)


def test_a_message_that_is_not_base64_moves_to_the_poison_queue_untried(
    app: RunningApp, orders: QueueClient, connect: Callable[[str], QueueClient]
) -> None:
    orders.send_message("no base64!")
    app.wait_for("moves to the poison queue: it is not base64")
    orders.send_message(encoded("after-unreadable"))
    app.wait_for("order after-unreadable")
    assert "no base64!" in poisoned(connect, orders)


def test_a_queue_function_can_be_fired_without_the_queue(app: RunningApp) -> None:
    answer = requests.post(f"{app.base_url}/admin/functions/orders", json={"input": "by hand"}, timeout=30)
    assert answer.status_code == 202
    app.wait_for("order by hand try 1")


def test_storage_that_does_not_answer_is_told_once_and_the_rest_lives_on(
    app: RunningApp, orders: QueueClient
) -> None:
    app.wait_for(r"queue absent: storage does not answer \(ServiceRequestError\), trying on")
    orders.send_message(encoded("still here"))
    app.wait_for("order still here")
    assert app.output().count("queue absent: ") == 1


class Runs:
    """Stands in for the engine: what a run does is the test's."""

    def __init__(self, work: Callable[[Call], Outcome], until: asyncio.Event | None = None) -> None:
        self.calls: list[Call] = []
        self.done = asyncio.Event()
        self._work = work
        self._until = until

    async def run(self, call: Call) -> Outcome:
        self.calls.append(call)
        if self._until is not None:
            await self._until.wait()
        self.done.set()
        return self._work(call)


SETTINGS = QueueSettings(1, 0, 0.2, 60, 3, base64=False)


async def serve_until(listener: QueueListener, running: Running, end: asyncio.Event) -> None:
    serving = asyncio.create_task(listener.serve())
    async with asyncio.timeout(30):
        await end.wait()
    serving.cancel()
    assert await running.finish(30) == 0
    listener.close()


def test_a_message_stays_hidden_while_its_run_lasts_and_is_then_deleted(
    azurite: Azurite, connect: Callable[[str], QueueClient]
) -> None:
    queue = connect(f"long-{uuid4().hex}")
    queue.create_queue()
    queue.send_message("long")
    slept: list[float] = []

    async def scenario() -> None:
        renewals = asyncio.Event()

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            if slept.count(HIDDEN_SECONDS / 3) > 3:  # three renewals are over
                renewals.set()
                await asyncio.Event().wait()

        runs, running = Runs(lambda _: Outcome(succeeded=True), until=renewals), Running()
        function = Function("long", "id", "queue", {"name": "m", "queueName": queue.queue_name}, ())
        environment = {"AzureWebJobsStorage": azurite.connection_string}
        listener = QueueListener(function, environment, SETTINGS, runs, running, sleep)
        await serve_until(listener, running, runs.done)
        assert len(runs.calls) == 1

    asyncio.run(scenario())
    # Renewed three times, its receipt changed each time, and deleted by the last one.
    assert remaining(queue) == 0


def test_a_message_whose_run_failed_is_hidden_for_the_visibility_timeout(
    azurite: Azurite, connect: Callable[[str], QueueClient]
) -> None:
    queue = connect(f"failing-{uuid4().hex}")
    queue.create_queue()
    queue.send_message("failing")

    async def scenario() -> None:
        runs, running = Runs(lambda _: Outcome(succeeded=False, error="refused")), Running()
        function = Function("failing", "id", "queue", {"name": "m", "queueName": queue.queue_name}, ())
        environment = {"AzureWebJobsStorage": azurite.connection_string}
        listener = QueueListener(function, environment, SETTINGS, runs, running)
        await serve_until(listener, running, runs.done)

    asyncio.run(scenario())
    assert remaining(queue) == 1
    assert queue.peek_messages() == []


def test_the_last_failure_moves_a_message_to_the_poison_queue_without_waiting(
    azurite: Azurite, connect: Callable[[str], QueueClient]
) -> None:
    queue = connect(f"last-{uuid4().hex}")
    queue.create_queue()
    queue.send_message("last")

    async def scenario() -> None:
        runs, running = Runs(lambda _: Outcome(succeeded=False, error="refused")), Running()
        function = Function("last", "id", "queue", {"name": "m", "queueName": queue.queue_name}, ())
        environment = {"AzureWebJobsStorage": azurite.connection_string}
        once = dataclasses.replace(SETTINGS, max_dequeue_count=1)
        listener = QueueListener(function, environment, once, runs, running)
        await serve_until(listener, running, runs.done)

    asyncio.run(scenario())
    assert remaining(queue) == 0
    with connect(f"{queue.queue_name}-poison") as poison:
        assert [message.content for message in poison.peek_messages()] == ["last"]


def test_a_message_that_killed_its_host_each_time_is_not_run_again(
    azurite: Azurite, connect: Callable[[str], QueueClient]
) -> None:
    queue = connect(f"deadly-{uuid4().hex}")
    queue.create_queue()
    queue.send_message("deadly")
    for _ in range(SETTINGS.max_dequeue_count):  # taken, and never settled
        taken = queue.receive_message()
        assert taken is not None
        queue.update_message(taken, visibility_timeout=0)

    async def scenario() -> None:
        runs, running = Runs(lambda _: Outcome(succeeded=True)), Running()
        idle = asyncio.Event()

        async def sleep(_: float) -> None:
            idle.set()
            await asyncio.Event().wait()

        function = Function("deadly", "id", "queue", {"name": "m", "queueName": queue.queue_name}, ())
        environment = {"AzureWebJobsStorage": azurite.connection_string}
        listener = QueueListener(function, environment, SETTINGS, runs, running, sleep)
        await serve_until(listener, running, idle)
        assert runs.calls == []

    asyncio.run(scenario())
    assert remaining(queue) == 0
    with connect(f"{queue.queue_name}-poison") as poison:
        assert [message.content for message in poison.peek_messages()] == ["deadly"]


def test_a_queue_that_is_not_there_is_waited_for_and_not_made(
    azurite: Azurite, connect: Callable[[str], QueueClient]
) -> None:
    queue = connect(f"absent-{uuid4().hex}")

    async def scenario() -> None:
        idle = asyncio.Event()

        async def sleep(_: float) -> None:
            idle.set()
            await asyncio.Event().wait()

        running = Running()
        function = Function("absent", "id", "queue", {"name": "m", "queueName": queue.queue_name}, ())
        environment = {"AzureWebJobsStorage": azurite.connection_string}
        listener = QueueListener(
            function, environment, SETTINGS, Runs(lambda _: Outcome(succeeded=True)), running, sleep
        )
        await serve_until(listener, running, idle)

    asyncio.run(scenario())
    with pytest.raises(ResourceNotFoundError):
        queue.get_queue_properties()
