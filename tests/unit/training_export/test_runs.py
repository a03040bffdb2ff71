"""The record of a run and its lease: kept alive while the run is, and never in the way of the next one."""

import threading

import pytest

from errors import StorageDown, UnderWay
from storage import Lease
from tests.fakes import Clock, MemoryContainer, MemoryLease
from training_export import runs
from training_export.runs import Run, RunRecord


class Renewing(MemoryContainer):
    """Counts renewals; the first one meets storage that is away."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.renewals = 0
        self.enough = threading.Event()

    def lease(self, name: str, seconds: int) -> Lease | None:
        held = super().lease(name, seconds)
        assert isinstance(held, MemoryLease)
        renew = held.renew

        def counted() -> bool:
            self.renewals += 1
            if self.renewals == 1:
                raise StorageDown("503")
            self.enough.set()
            return renew()

        held.renew = counted  # type: ignore[method-assign]  # only this one lease is counted
        return held


@pytest.mark.statement("sesam-42")
def test_a_lease_is_renewed_while_the_run_goes_on_though_storage_fails_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runs, "RENEW_S", 0.001)
    container = Renewing()
    record = RunRecord(container, "customers", container.clock.now)
    with record.lease("run-a") as held:
        assert held
        assert container.enough.wait(10)
    count = container.renewals
    with record.lease("run-b") as held:
        assert held, "it was given back"
    assert container.renewals >= count


def test_a_lease_that_cannot_be_given_back_ends_by_itself() -> None:
    clock = Clock()
    container = MemoryContainer(clock)
    record = RunRecord(container, "customers", clock.now)

    def away() -> None:
        raise StorageDown("503")

    with record.lease("run-a"):
        lease = container.blobs["runs/customers.json"].lease
        assert lease
        lease.release = away  # type: ignore[method-assign]  # only this one lease
        record.write(Run(id="run-a", outcome="published"))
    with record.lease("run-b") as held:
        assert not held
    clock.pass_(60)
    with record.lease("run-b") as held:
        assert held


@pytest.mark.statement("sesam-42")
def test_a_pipe_is_one_exports_at_a_time_and_another_pipe_is_free() -> None:
    clock = Clock()
    container = MemoryContainer(clock)
    one, other = (RunRecord(container, name, clock.now) for name in ("customers", "customers_too"))
    with one.turn("crm:Åse"):
        with pytest.raises(UnderWay), other.turn("crm:Åse"):
            pass
        with other.turn("crm:Per"):
            pass
    with other.turn("crm:Åse"):
        pass


def test_a_queued_run_is_told_unless_one_is_under_way() -> None:
    clock = Clock()
    record = RunRecord(MemoryContainer(clock), "customers", clock.now)
    assert record.last() is None
    record.queue("run-a")
    assert record.last() == Run(id="run-a", outcome="queued")
    with record.lease("run-a"):
        record.write(Run(id="run-a", outcome="running", started="now"))
        record.queue("run-b")
        last = record.last()
        assert last is not None
        assert last.id == "run-a"
    record.queue("run-b")
    assert record.last() == Run(id="run-b", outcome="queued")
