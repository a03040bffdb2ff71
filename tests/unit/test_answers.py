"""The last door: what nobody foresaw, and what an instance at its limit says."""

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from azurefunctions.extensions.http.fastapi import Request, Response

from answers import answered


def answer_to(fails: Callable[[], object]) -> Response:
    async def work() -> Response:
        fails()
        return Response()

    request = Request({"type": "http", "headers": [(b"x-ms-client-request-id", b"call-7")]})
    answer: Response = asyncio.run(answered(request, work()))
    return answer


def start_a_thread_too_many() -> None:
    before = threading.stack_size(2**46)  # more than there is
    try:
        threading.Thread(target=int).start()
    finally:
        threading.stack_size(before)


def start_one_at_the_end() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    pool.submit(int)


@pytest.mark.parametrize("fails", [start_a_thread_too_many, start_one_at_the_end])
def test_an_instance_that_can_have_no_thread_asks_to_come_again(fails: Callable[[], object]) -> None:
    answer = answer_to(fails)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert json.loads(answer.body)["type"] == "urn:sesam-azureml:overloaded"


def test_what_nobody_foresaw_is_told_by_its_id_alone() -> None:
    def fails() -> None:
        raise RuntimeError("planted: Kari Nordmann")

    answer = answer_to(fails)
    told = json.loads(answer.body)
    assert (answer.status_code, told["type"], told["request_id"]) == (
        500,
        "urn:sesam-azureml:failure",
        "call-7",
    )
    assert "planted" not in str(told)
