"""Versions: they rise, `latest` moves forward by itself and anywhere for a person, old ones go."""

import math

import msgspec
import pytest

from contract.contract import contract_of
from contract.documents import Adoption, Latest, encode
from contract.facts import Histogram
from errors import Conflict, NotFound, SnapshotFailed, StorageDown
from storage import adoption_blob, latest_blob, manifest_blob, run_blob
from tests.exports import Bench, rows, whole_version
from tests.fakes import MemoryContainer
from training_export.versions import ORPHAN_AGE


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.models = ()
    return bench


def publish(bench: Bench, count: int) -> list[str]:
    start = len(bench.versions.ids())
    return [str(bench.run(rows(20 + start + n)).version) for n in range(count)]


# ---- latest


@pytest.mark.statement("P11")
@pytest.mark.fault(41)
def test_latest_never_moves_back_by_itself(bench: Bench) -> None:
    first, second = publish(bench, 2)
    assert not bench.versions.advance(first)
    assert bench.latest().version == second


@pytest.mark.statement("P11")
@pytest.mark.fault(41)
def test_a_rival_between_look_and_swap_is_looked_at_again(bench: Bench) -> None:
    first, second, third = publish(bench, 3)
    bench.versions.move(first, pin=False)

    class Rival(MemoryContainer):
        def replace(self, name: str, data: bytes, etag: str) -> str | None:
            if rivals and name == latest_blob("customers"):
                self.put(name, encode(Latest(version=rivals.pop())))
            return super().replace(name, data, etag)

    rivals = [third]
    assert isinstance(bench.container, MemoryContainer)
    rival = Rival(bench.clock)
    rival.blobs = bench.container.blobs
    bench.container = rival
    assert not bench.versions.advance(second), "the rival was further"
    assert bench.latest().version == third
    rivals.clear()
    bench.versions.move(first, pin=False)
    rivals[:] = [second]
    assert bench.versions.advance(third), "the rival was behind"
    assert bench.latest().version == third


def test_a_pin_holds_against_new_versions_until_it_is_taken_off(bench: Bench) -> None:
    first, _ = publish(bench, 2)
    assert bench.versions.move(first, pin=None) == Latest(version=first, pinned=True)
    run = bench.run(rows(30))
    assert run.outcome == "published"
    assert f"latest stays at {first}, which is pinned" in run.detail
    assert bench.latest().version == first
    assert bench.versions.move(None, pin=None) == Latest(version=str(run.version), pinned=False)


@pytest.mark.parametrize(("pin", "pinned"), [(None, False), (True, True), (False, False)])
def test_moving_forward_pins_only_when_asked(bench: Bench, pin: bool | None, pinned: bool) -> None:
    first, second = publish(bench, 2)
    bench.versions.move(first, pin=None)
    assert bench.versions.move(second, pin) == Latest(version=second, pinned=pinned)


def test_unpinning_never_ends_on_a_held_version(bench: Bench) -> None:
    first, second = publish(bench, 2)
    held = bench.run(rows(2))
    assert held.outcome == "held"
    bench.versions.move(first, pin=None)
    assert bench.versions.move(None, pin=None).version == second


def test_a_first_version_that_was_held_can_be_moved_to(bench: Bench) -> None:
    bench.set(min_rows=50)
    held = str(bench.run(rows(20)).version)
    assert bench.versions.latest() is None
    assert bench.versions.move(held, pin=None) == Latest(version=held, pinned=False)
    assert bench.latest().version == held


def test_a_move_leaves_the_manifest_of_a_published_version_as_it_is(bench: Bench) -> None:
    first, _ = publish(bench, 2)
    before = bench.container.read(manifest_blob("customers", first))
    bench.versions.move(first, pin=None)
    assert bench.container.read(manifest_blob("customers", first)) == before


def test_a_version_tells_when_it_was_made(bench: Bench) -> None:
    publish(bench, 1)
    bench.clock.pass_(100_000)
    assert bench.versions.new_id().startswith(f"{bench.clock.now():%Y%m%dT%H%M%SZ}-")


def test_an_id_is_later_than_that_of_a_held_version_too_though_the_clock_was_set_back(bench: Bench) -> None:
    bench.set(min_rows=50)
    held = str(bench.run(rows(20)).version)
    bench.clock.pass_(-86_400)
    assert bench.versions.new_id() > held


def test_there_is_no_way_to_a_version_that_is_not_there(bench: Bench) -> None:
    with pytest.raises(NotFound, match="no published version"):
        bench.versions.move(None, pin=None)
    publish(bench, 1)
    with pytest.raises(NotFound, match="no version 2020"):
        bench.versions.move("2020", pin=None)


def test_a_move_that_meets_another_is_refused(bench: Bench) -> None:
    first, second = publish(bench, 2)

    class Rival(MemoryContainer):
        def replace(self, name: str, data: bytes, etag: str) -> str | None:
            self.put(name, encode(Latest(version=first)))
            return super().replace(name, data, etag)

    assert isinstance(bench.container, MemoryContainer)
    rival = Rival(bench.clock)
    rival.blobs = bench.container.blobs
    bench.container = rival
    with pytest.raises(Conflict, match="moved meanwhile"):
        bench.versions.move(second, pin=True)
    with pytest.raises(StorageDown, match="kept changing"):
        bench.versions.advance(second)


def test_a_move_to_a_version_that_was_removed_meanwhile_takes_back_nothing_but_itself(bench: Bench) -> None:
    made = publish(bench, 3)
    further: list[str] = []

    class Meanwhile(MemoryContainer):
        """The version is retired as `latest` moves to it; and another run moves `latest` on."""

        def replace(self, name: str, data: bytes, etag: str) -> str | None:
            moved = super().replace(name, data, etag)
            if name == latest_blob("customers") and not further:
                further.append(bench.versions.new_id())
                self.delete(manifest_blob("customers", made[0]))
                if run_too:
                    self.put(name, encode(Latest(version=further[0])))
            return moved

    assert isinstance(bench.container, MemoryContainer)
    meanwhile = Meanwhile(bench.clock)
    meanwhile.blobs = bench.container.blobs
    bench.container = meanwhile
    run_too = True
    with pytest.raises(Conflict, match="removed meanwhile"):
        bench.versions.move(made[0], pin=False)
    assert bench.latest().version == further.pop()
    meanwhile.put(latest_blob("customers"), encode(Latest(version=made[2])))
    meanwhile.create(manifest_blob("customers", made[0]), encode(whole_version(meanwhile, made[1])))
    run_too = False
    with pytest.raises(Conflict, match="removed meanwhile"):
        bench.versions.move(made[0], pin=False)
    assert bench.latest().version == made[2], "nobody had moved it on"


def test_a_version_exists_when_its_manifest_does(bench: Bench) -> None:
    (first,) = publish(bench, 1)
    bench.container.create("snapshots/customers/20300101T000000Z-00000000/data.csv", b"x")
    assert bench.versions.ids() == [first]
    assert bench.versions.find("20300101T000000Z-00000000") is None


def test_a_version_whose_manifest_could_not_be_read_again_is_never_made(bench: Bench) -> None:
    (first,) = publish(bench, 1)
    manifest = bench.versions.manifest(first)
    contract = contract_of(manifest.columns, "")
    endless = Histogram(edges=(-math.inf, 0.0), counts=(1,))  # JSON has no infinity
    column = msgspec.structs.replace(manifest.columns[2], histogram=endless)
    damaged = msgspec.structs.replace(manifest, version=bench.versions.new_id(), columns=(column,))
    with pytest.raises(SnapshotFailed, match="could not be read again"):
        bench.versions.write(damaged, contract, None)
    assert bench.versions.ids() == [first]


# ---- retention


@pytest.mark.fault(46)
def test_the_newest_versions_stay_and_older_ones_go_whole(bench: Bench) -> None:
    bench.set(keep_versions=3)
    made = publish(bench, 6)
    assert bench.versions.ids() == made[3:]
    for version in made[:3]:
        assert not [name for name in bench.names() if version in name]
    for version in made[3:]:
        whole_version(bench.container, version)


@pytest.mark.fault(46)
def test_held_versions_push_out_no_published_one_and_are_removed_themselves(bench: Bench) -> None:
    bench.set(keep_versions=2)
    published = publish(bench, 3)[1:]
    held = [str(bench.run(rows(count)).version) for count in range(2, 7)]
    assert bench.versions.ids() == [*published, *held[-2:]]
    for version in held[:3]:
        assert not [name for name in bench.names() if version in name]
    newest = str(bench.run(rows(30)).version)
    assert bench.versions.ids() == [published[1], *held[-2:], newest], "there is one to roll back to"
    assert bench.versions.move(published[1], None).pinned


@pytest.mark.fault(46)
def test_held_content_that_comes_again_lets_older_held_versions_go(bench: Bench) -> None:
    published = publish(bench, 1)
    first, second = (str(bench.run(rows(count)).version) for count in (2, 3))
    assert bench.versions.ids() == [*published, first, second]
    bench.set(keep_versions=1)
    assert bench.run(rows(3)).version == second
    assert bench.versions.ids() == [*published, second]


@pytest.mark.fault(46)
def test_a_damaged_manifest_keeps_no_run_from_its_work(bench: Bench) -> None:
    bench.set(keep_versions=2)
    first, *_ = publish(bench, 2)
    bench.container.put(manifest_blob("customers", first), b"{")
    assert bench.run(rows(30)).outcome == "published"
    assert first not in bench.versions.ids()


@pytest.mark.fault(46)
def test_retention_spares_latest_a_pin_and_what_a_model_has_adopted(bench: Bench) -> None:
    made = publish(bench, 6)
    adoption = Adoption(version=made[1], contract_id="x", adopted="2026-11-23T02:00:00Z")
    bench.container.create(adoption_blob("churn"), encode(adoption))
    bench.versions.move(made[0], pin=True)
    assert bench.versions.retire(1) == made[2:5]
    assert bench.versions.ids() == [made[0], made[1], made[5]]


@pytest.mark.fault(46)
@pytest.mark.parametrize("counts", [(20, 21, 22), (2, 3, 20)], ids=["published", "held"])
def test_a_version_moved_to_while_it_is_being_retired_survives(bench: Bench, counts: tuple[int, ...]) -> None:
    bench.set(min_rows=10)
    made = [str(bench.run(rows(count)).version) for count in counts]

    class MovedTo(MemoryContainer):
        def delete(self, name: str) -> None:
            super().delete(name)
            if name == manifest_blob("customers", made[0]):
                self.put(latest_blob("customers"), encode(Latest(version=made[0], pinned=True)))

    assert isinstance(bench.container, MemoryContainer)
    rival = MovedTo(bench.clock)
    rival.blobs = bench.container.blobs
    bench.container = rival
    assert made[0] not in bench.versions.retire(1)
    assert whole_version(bench.container, made[0]).state == "published"


@pytest.mark.fault(46)
def test_data_without_a_manifest_goes_when_it_is_a_day_old(bench: Bench) -> None:
    (first,) = publish(bench, 1)
    orphan = "snapshots/customers/20261122T000000Z-00000000/data.csv"
    bench.container.create(orphan, b"x")
    bench.clock.pass_(86_000)
    part = orphan.replace("data.csv", "data.parquet")
    bench.container.create(part, b"x")
    bench.clock.pass_(401)
    bench.versions.retire(30)
    assert {orphan, part} <= set(bench.names()), "it is as old as the newest that lies there"
    bench.clock.pass_(86_000)
    bench.versions.retire(30)
    assert not {orphan, part} & set(bench.names())
    whole_version(bench.container, first)


def test_another_exports_versions_are_not_ours(bench: Bench) -> None:
    other = "snapshots/customers_b2b/20200101T000000Z-00000000/data.csv"
    bench.container.create(other, b"x")
    bench.container.create("manifests/customers_b2b/20200101T000000Z-00000000.json", b"{}")
    publish(bench, 3)
    bench.clock.pass_(10 * ORPHAN_AGE.total_seconds())
    bench.versions.retire(1)
    assert other in bench.names()
    assert len(bench.versions.ids()) == 1


@pytest.mark.parametrize("version", ["", "zzz", "../20261123T020000Z-00000001", "20261123T020000Z-0000000"])
def test_a_latest_that_names_no_version_is_damaged(bench: Bench, version: str) -> None:
    bench.run(rows(10))
    bench.container.put(latest_blob("customers"), encode(Latest(version=version)))
    run = bench.run(rows(11))
    assert run.outcome == "failed"
    assert run.detail.startswith("latest/customers.json is damaged: restore the blob, or remove it")


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version": 7}', b'{"version": "\xff"}', b"[" * 100_000])
def test_a_damaged_document_is_named_wherever_it_is_met(damage: bytes) -> None:
    bench = Bench()
    version = str(bench.run(rows(10)).version)
    for name, read in (
        (manifest_blob("customers", version), lambda: bench.versions.manifest(version)),
        (latest_blob("customers"), bench.versions.latest),
        (latest_blob("customers"), lambda: bench.versions.advance(version)),
        (latest_blob("customers"), lambda: bench.versions.move(version, None)),
        (run_blob("customers"), bench.record.last),
    ):
        blob = bench.container.read(name)
        assert blob
        bench.container.put(name, damage)
        with pytest.raises(Conflict, match=f"{name} is damaged: restore the blob, or remove it"):
            read()
        bench.container.put(name, blob.data)
