"""A process that dies at any call to storage leaves readers with the old version or the new one (P8)."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from errors import StorageDown, StorageRefused, UnderWay
from local.azurite import Azurite
from local.proof.crash import crash_proof
from sections import StorageSettings
from storage import open_container, schema_blob
from tests.exports import Bench, rows, whole_version
from tests.fakes import Clock, Crash, Crashing, MemoryContainer, MemoryLease
from training_export.runs import Run

FORMATS = ("csv", "parquet")


def second_run(bench: Bench, container: Any) -> None:
    """Publish a second version, with retention and Parquet, on a container that may crash."""
    bench.container = container
    bench.set(keep_versions=1, formats=FORMATS)
    bench.run(rows(11), run="crashing")


def first_version() -> tuple[Bench, MemoryContainer]:
    memory = MemoryContainer()
    bench = Bench(container=memory)
    bench.set(formats=FORMATS)
    bench.models = ()
    bench.run(rows(10))
    return bench, memory


def calls_of_a_run() -> list[str]:
    bench, memory = first_version()
    counting = Crashing(memory, 10_000)
    second_run(bench, counting)
    return counting.calls


CALLS = calls_of_a_run()


def test_a_run_makes_every_kind_of_call() -> None:
    kinds = {call.split()[0] for call in CALLS}
    assert kinds == {
        "read",
        "create",
        "replace",
        "put",
        "stage",
        "commit",
        "list",
        "download",
        "delete",
        "lease",
    }


@pytest.mark.statement("P8")
@pytest.mark.fault(39)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, len(CALLS) + 1))
def test_a_crash_at_any_call_leaves_a_whole_version_and_the_next_run_mends_it(at: int, after: bool) -> None:
    bench, memory = first_version()
    first = bench.latest().version
    with pytest.raises(Crash):
        second_run(bench, Crashing(memory, at, after=after))

    bench.container = memory
    seen = bench.latest().version
    assert seen >= first
    assert whole_version(memory, seen).rows == (10 if seen == first else 11)

    bench.clock.pass_(60)  # the dead run's lease ends
    again = bench.run(rows(11))
    assert again.outcome in ("published", "unchanged")
    assert whole_version(memory, bench.latest().version).rows == 11
    bench.clock.pass_(90_000)
    bench.versions.retire(1)
    kept = bench.latest().version
    assert {name.split("/")[2].removesuffix(".json") for name in bench.names("manifests/")} == {kept}
    assert {name.split("/")[2] for name in bench.names("snapshots/")} == {kept}
    assert bench.names("schemas/") == [schema_blob("customers", kept)]


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    ("failure", "outcome"),
    [(StorageDown("503 ServerBusy"), "queued"), (StorageRefused("403: role missing"), "failed")],
    ids=["busy", "refused"],
)
@pytest.mark.parametrize("kind", ["stage", "commit"])
def test_storage_that_fails_in_the_midst_publishes_nothing(
    failure: StorageDown | StorageRefused, outcome: str, kind: str
) -> None:
    bench, memory = first_version()
    first = bench.latest()

    class Failing(MemoryContainer):
        def stage(self, *args: object) -> None:
            self._do("stage", *args)

        def commit(self, *args: object) -> str | None:
            return self._do("commit", *args)

        def _do(self, name: str, *args: object) -> str | None:
            if name == kind:
                raise failure
            method: Callable[..., str | None] = getattr(MemoryContainer, name)
            return method(self, *args)

    failing = Failing(bench.clock)
    failing.blobs = memory.blobs
    bench.container = failing
    if outcome == "queued":
        with pytest.raises(StorageDown):
            bench.run(rows(11), last_try=False)
    else:
        assert bench.run(rows(11)).outcome == "failed"
    last = bench.record.last()
    assert last is not None
    assert (last.outcome, last.detail) == (outcome, failure.detail)
    assert bench.latest() == first
    bench.container = memory
    assert bench.run(rows(11)).outcome == "published"


@pytest.mark.statement("sesam-37", "sesam-42", "P10")
@pytest.mark.fault(40)
def test_two_runs_at_once_have_one_winner(azurite: Azurite, container_name: str) -> None:
    settings = StorageSettings(
        container=container_name, connection_string=SecretStr(azurite.connection_string)
    )
    open_container(settings).ensure()
    outcomes: list[str] = []
    start = threading.Barrier(4)

    def run(number: int) -> None:
        bench = Bench(container=open_container(settings))
        start.wait()
        for _ in range(1000):
            try:
                outcomes.append(bench.run(rows(10), run=f"run-{number}").outcome)
            except UnderWay:
                continue  # its record was first, another's lease was: the queue brings the message again
            return

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("published") == 1
    assert set(outcomes) <= {"published", "joined", "unchanged"}
    bench = Bench(container=open_container(settings))
    assert len(bench.versions.ids()) == 1
    whole_version(bench.container, bench.latest().version)


@pytest.mark.fault(40, 41)
def test_nothing_rests_on_the_lease() -> None:
    class Lavish(MemoryContainer):
        def lease(self, name: str, seconds: int) -> MemoryLease:
            return MemoryLease(self.blobs[name], self.clock, seconds)

    container, clock = Lavish(), Clock()
    runs: list[Run] = []

    def run(number: int) -> None:
        bench = Bench(container=container, clock=clock, models=())
        runs.append(bench.run(rows(10 + number), run=f"run-{number}"))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bench = Bench(container=container, clock=clock)
    versions = bench.versions.ids()
    assert len(versions) == len({run.version for run in runs}) == 8
    for version in versions:
        whole_version(container, version)
    assert bench.latest().version == versions[-1]


# ---- the real thing: a child process, SIGKILL, Azurite


@pytest.mark.statement("P8")
@pytest.mark.fault(39, 45)
def test_a_reader_of_latest_always_sees_a_whole_version_while_writers_are_killed(
    azurite: Azurite, container_name: str
) -> None:
    """Once at every store call; `make proof` does it ten times each."""
    told = crash_proof(azurite.connection_string, container_name, times=1)
    assert told.kills == told.calls
    assert told.reads >= 1000
    assert told.torn == 0
    assert told.versions_seen > 1
