"""Each toxic at each joint of the whole road: what is answered is right or says what is wrong, and no version
is half there.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec
import pytest
import requests

from storage import latest_blob, run_blob
from tests.exports import whole_version
from tests.soak.parts import EXPORTS, MODEL, Parts, running_parts
from tests.soak.world import check_answer, customers, make_batch
from tests.toxics import (
    Bandwidth,
    Down,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
    ToxicProxy,
)
from training_export.runs import Run
from training_export.versions import Versions

EXPORT = EXPORTS[0]

# A slow line is still a line; the others break the connection.
BEARABLE: list[Toxic] = [Latency(0.02), Bandwidth(100_000), SlowClose(0.05), Slicer(700, 0.001)]
FATAL: list[Toxic] = [Timeout(0.05), ResetPeer(), LimitData(200), Down()]
# A published table is about 2.5 kB here: its head passes.
IN_MID_BODY: list[Toxic] = [Timeout(0.05), ResetPeer(), LimitData(1500), Down()]


def name_of(toxic: Toxic) -> str:
    return type(toxic).__name__


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    with running_parts({"MODELS__CHURN__ATTEMPTS": "2"}) as parts:
        assert export(parts, 1).outcome == "published"
        yield parts


def post(parts: Parts, seed: str = "road") -> requests.Response:
    sent = make_batch(seed, 20)
    body = msgspec.json.encode([made.entity for made in sent])
    answer = requests.post(f"{parts.base_url}/score/{MODEL}", data=body, timeout=30)
    if answer.status_code == 200:
        check_answer(sent, answer.json())
    return answer


def start(parts: Parts, number: int) -> str:
    parts.publish(EXPORT, customers(f"road {number}", 100))
    return str(requests.post(f"{parts.base_url}/exports/{EXPORT}", timeout=30).json()["run"])


def last(parts: Parts) -> Run:
    blob = parts.container.read(run_blob(EXPORT))
    assert blob
    return msgspec.json.decode(blob.data, type=Run)


def ended(parts: Parts, run: str) -> Run:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        told = last(parts)
        if told.id == run and told.outcome not in ("queued", "running"):
            return told
        time.sleep(0.02)  # between two looks
    raise AssertionError(f"the run did not end: {told}")


def export(parts: Parts, number: int) -> Run:
    return ended(parts, start(parts, number))


def struck(proxy: ToxicProxy, before: int) -> None:
    give_up = time.monotonic() + 30
    while proxy.struck == before:
        assert time.monotonic() < give_up, "the toxic never met a byte"
        time.sleep(0.01)  # between two looks


def assert_no_half_version(parts: Parts) -> list[str]:
    """See that whatever can be met is whole."""
    versions = Versions(parts.container, EXPORT, lambda: datetime.now(UTC)).ids()
    for version in versions:
        whole_version(parts.container, version, EXPORT)
    latest = parts.container.read(latest_blob(EXPORT))
    assert latest
    assert json.loads(latest.data)["version"] in versions
    return versions


@pytest.mark.statement("P1", "P7")
@pytest.mark.fault(21)
@pytest.mark.parametrize("joint", ["app", "service", "blob"])
@pytest.mark.parametrize("toxic", BEARABLE, ids=name_of)
def test_a_bad_line_costs_a_call_time_and_nothing_else(parts: Parts, joint: str, toxic: Toxic) -> None:
    with parts.proxies[joint].poisoned(toxic):
        assert post(parts).status_code == 200


@pytest.mark.statement("P1", "P7")
@pytest.mark.fault(18, 19)
@pytest.mark.parametrize("toxic", FATAL, ids=name_of)
def test_a_service_behind_a_broken_line_is_a_503_that_says_so(parts: Parts, toxic: Toxic) -> None:
    with parts.proxies["service"].poisoned(toxic, ("downstream",)):
        answer = post(parts)
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:sesam-azureml:service-down"
    assert int(answer.headers["Retry-After"]) > 0
    assert post(parts).status_code == 200, "and it is over with the toxic"


@pytest.mark.statement("P7")
@pytest.mark.fault(18, 27)
@pytest.mark.parametrize("toxic", FATAL, ids=name_of)
def test_a_caller_behind_a_broken_line_gets_all_or_an_error(parts: Parts, toxic: Toxic) -> None:
    with parts.proxies["app"].poisoned(toxic), pytest.raises(requests.exceptions.RequestException):
        post(parts)
    assert post(parts).status_code == 200


@pytest.mark.fault(42)
@pytest.mark.parametrize("toxic", FATAL, ids=name_of)
def test_scoring_goes_on_without_storage(parts: Parts, toxic: Toxic) -> None:
    assert post(parts).status_code == 200
    with parts.proxies["blob"].poisoned(toxic):
        assert post(parts).status_code == 200


@pytest.mark.statement("P8", "P9")
@pytest.mark.fault(30, 31)
@pytest.mark.parametrize("joint", ["node", "blob"])
def test_a_snapshot_over_bad_lines_is_whole(parts: Parts, joint: str) -> None:
    for number, toxic in enumerate(BEARABLE):
        with parts.proxies[joint].poisoned(toxic):
            done = export(parts, 10 + number + 10 * (joint == "blob"))
        assert done.outcome == "published", (name_of(toxic), done)
        assert done.version in assert_no_half_version(parts)


@pytest.mark.statement("P8", "P9")
@pytest.mark.fault(30, 31, 42)
@pytest.mark.parametrize(
    ("joint", "toxic"),
    [*(("node", toxic) for toxic in IN_MID_BODY), ("blob", LimitData(200)), ("blob", Down())],
    ids=str,
)
def test_a_snapshot_that_is_broken_off_publishes_nothing_and_then_everything(
    parts: Parts, joint: str, toxic: Toxic
) -> None:
    before = assert_no_half_version(parts)
    with broken(parts, joint, toxic) as run:
        assert assert_no_half_version(parts) == before
    done = ended(parts, run)
    assert done.outcome == "published", done
    assert assert_no_half_version(parts)[-1] == done.version


@contextmanager
def broken(parts: Parts, joint: str, toxic: Toxic) -> Iterator[str]:
    """Begin a run and have the toxic strike in it."""
    number = 30 + len(parts.node.log)  # other data each time
    proxy = parts.proxies[joint]
    before = proxy.struck
    if joint == "node":
        with proxy.poisoned(toxic):
            run = start(parts, number)
            struck(proxy, before)
            yield run
    else:
        with parts.proxies["node"].poisoned(Latency(0.1)):  # so that it strikes before the run is over
            run = start(parts, number)
            with proxy.poisoned(toxic):
                struck(proxy, before)
                yield run
