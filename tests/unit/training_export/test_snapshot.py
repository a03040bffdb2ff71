"""One run of an export: what is published, held, unchanged or refused, and what the record says of it."""

from typing import Any

import pytest

from contract.documents import Adoption, Manifest, decode
from errors import DataRefused, Failure, NodeRefused, NodeUnavailable, UnderWay
from sections import ExportSettings
from storage import adoption_blob, data_blob, turn_blob
from tests.exports import HEADER, Bench, rows, whole_version
from tests.fakes import MemoryContainer
from training_export.csv_dialect import Dialect
from training_export.publisher import PipeFacts
from training_export.runs import Run, RunRecord
from training_export.snapshot import RETRY_S, TURN_S


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.statement("sesam-30", "sesam-37", "azureml-43", "P9")
def test_a_whole_body_becomes_a_version_byte_for_byte(bench: Bench) -> None:
    body = rows(10)
    run = bench.run(body)
    assert (run.outcome, run.version) == ("published", bench.latest().version)
    manifest = whole_version(bench.container, bench.latest().version)
    assert b"".join(bench.container.download(data_blob("customers", manifest.version))) == body
    assert (manifest.rows, manifest.bytes, manifest.previous) == (10, len(body), None)
    assert bench.record.last() == run


@pytest.mark.statement("sesam-39")
def test_the_manifest_tells_where_the_version_comes_from(bench: Bench) -> None:
    bench.fake.headers = {"X-Dataset-Populated": "true", "X-Dataset-Generation": "7"}
    bench.set(label="ChurnFlag")
    bench.run()
    manifest = whole_version(bench.container, bench.latest().version)
    assert (manifest.pipe, manifest.node, manifest.label) == ("customers-csv", "node.example", "ChurnFlag")
    assert manifest.headers == {"X-Dataset-Populated": "true", "X-Dataset-Generation": "7"}
    assert manifest.started <= manifest.finished
    assert manifest.dialect["lineterminator"] == "\r\n"
    assert [column.type for column in manifest.columns] == ["string", "string", "integer", "boolean"]


@pytest.mark.statement("sesam-37", "P10")
@pytest.mark.fault(38)
def test_the_same_content_is_unchanged_and_nothing_is_committed(bench: Bench) -> None:
    first = bench.run(rows(10))
    before = bench.names()
    second = bench.run(rows(10))
    assert (second.outcome, second.version) == ("unchanged", first.version)
    assert bench.names() == before


@pytest.mark.fault(38)
def test_the_same_rows_in_another_order_are_a_version_that_says_so(bench: Bench) -> None:
    bench.run(rows(10))
    lines = rows(10).splitlines(keepends=True)
    run = bench.run(b"".join([lines[0], *reversed(lines[1:])]))
    assert run.outcome == "published"
    assert whole_version(bench.container, bench.latest().version).differences == (
        "the same rows, written or ordered otherwise",
    )


def test_the_same_content_with_another_label_is_another_version(bench: Bench) -> None:
    bench.run(rows(10))
    bench.set(label="ChurnFlag")
    assert bench.run(rows(10)).outcome == "published"
    assert bench.run(rows(10)).outcome == "unchanged"


@pytest.mark.fault(43)
def test_versions_go_on_rising_when_the_clock_is_set_back(bench: Bench) -> None:
    seen = []
    for count in range(10, 15):
        bench.clock.pass_(-86_400)
        seen.append(str(bench.run(rows(count)).version))
    assert seen == sorted(seen)
    assert bench.latest().version == seen[-1]


def test_a_sentinel_at_the_end_of_the_doubles_keeps_no_later_run_from_its_work(bench: Bench) -> None:
    bench.run(rows(10))
    sentinel = HEADER + b"1,Per,-1.7976931348623157E+308,true\r\n" + b"2,Kari,0.5,false\r\n" * 9
    run = bench.run(sentinel)
    assert run.outcome == "published"
    whole_version(bench.container, str(run.version))
    assert bench.run(rows(12)).outcome == "published"


# ---- guards


def held(bench: Bench, body: bytes) -> Run:
    """Run on a first version of 10 rows; the run is held, `latest` stays, and it says how to publish it."""
    first = bench.run(rows(10)).version
    run = bench.run(body)
    assert run.outcome == "held"
    assert bench.latest().version == first
    assert f'PUT /api/exports/customers/latest {{"version": "{run.version}"}}' in run.detail
    manifest = whole_version(bench.container, str(run.version))
    assert manifest.state == "held"
    assert manifest.held_because
    return run


@pytest.mark.statement("sesam-35")
@pytest.mark.fault(33, 37)
def test_fewer_rows_than_min_rows_are_held(bench: Bench) -> None:
    bench.set(max_shrink=0.01)
    bench.set(min_rows=5)
    assert "4 rows; min_rows is 5" in held(bench, rows(4)).detail


@pytest.mark.statement("sesam-35")
@pytest.mark.fault(33)
def test_a_header_alone_is_held(bench: Bench) -> None:
    assert "0 rows; min_rows is 1" in held(bench, HEADER).detail


@pytest.mark.statement("sesam-35")
@pytest.mark.fault(37)
def test_a_shrunken_table_is_held_and_half_of_it_is_not(bench: Bench) -> None:
    assert "rows fell from 10 to 4; max_shrink is 0.5" in held(bench, rows(4)).detail
    assert bench.run(rows(5)).outcome == "published"


@pytest.mark.fault(33)
@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b"_id,Name,ChurnFlag,Income", "another order: column 3 is 'ChurnFlag', expected 'Income'"),
        (b"_id,Name,Wages,ChurnFlag", "'Income' missing; 'Wages' not expected"),
    ],
)
def test_a_changed_header_is_held(bench: Bench, header: bytes, told: str) -> None:
    body = rows(10).replace(HEADER.strip(), header)
    assert f"the header changed: {told}" in held(bench, body).detail


def test_a_changed_header_that_the_settings_ask_for_is_published(bench: Bench) -> None:
    bench.run(rows(10))
    bench.set(columns=("_id", "Name", "Wages", "ChurnFlag"))
    assert bench.run(rows(10).replace(b"Income", b"Wages")).outcome == "published"


@pytest.mark.statement("sesam-40")
@pytest.mark.parametrize(
    ("headers", "facts", "told"),
    [
        ({"x-dataset-populated": "False"}, PipeFacts(), "not populated"),
        ({}, PipeFacts(trouble=("the pipe is disabled",)), "the pipe is disabled"),
    ],
)
def test_a_node_that_doubts_its_own_data_is_believed(
    bench: Bench, headers: dict[str, str], facts: PipeFacts, told: str
) -> None:
    bench.run(rows(10))
    bench.fake.headers, bench.fake.facts = headers, facts
    run = bench.run(rows(11))
    assert run.outcome == "held"
    assert told in run.detail


@pytest.mark.statement("sesam-40")
def test_what_the_token_may_not_ask_is_noted_and_stops_nothing(bench: Bench) -> None:
    bench.fake.facts = PipeFacts(note="GET /api/pipes/customers-csv answered 403: pipe not checked")
    run = bench.run()
    assert run.outcome == "published"
    assert "answered 403" in run.detail


def test_the_same_content_is_held_once(bench: Bench) -> None:
    run = held(bench, rows(4))
    before = bench.names("snapshots/")
    again = bench.run(rows(4))
    assert (again.outcome, again.version) == ("held", run.version)
    assert bench.names("snapshots/") == before


DISABLED = PipeFacts(trouble=("the pipe is disabled",))


def test_the_same_content_is_published_once_nothing_speaks_against_it_any_more(bench: Bench) -> None:
    bench.run(rows(10))
    told: list[tuple[str, str]] = []

    def register(manifest: Manifest) -> str:
        told.append((manifest.version, manifest.state))
        return ""

    bench.register = register
    bench.fake.headers, bench.fake.facts = {"X-Dataset-Populated": "false"}, DISABLED
    held = bench.run(rows(11))
    bench.fake.headers = {}
    again = bench.run(rows(11))
    assert (again.outcome, again.version) == ("held", held.version)
    assert "the pipe is disabled" in again.detail
    assert "not populated" not in again.detail, "that is mended"
    bench.fake.facts = PipeFacts()
    before = bench.names("snapshots/")
    mended = bench.run(rows(11))
    assert (mended.outcome, mended.version) == ("published", held.version)
    assert "rows 10 → 11" in mended.detail
    assert bench.names("snapshots/") == before, "it lies there already"
    assert bench.latest().version == held.version
    manifest = whole_version(bench.container, str(held.version))
    assert manifest.state == "published"
    assert manifest.held_because, "it is told that it was held"
    assert told == [(held.version, "published")]
    assert bench.run(rows(11)).outcome == "unchanged"


def test_a_first_version_that_was_held_is_adopted_when_the_settings_allow_it(bench: Bench) -> None:
    bench.set(min_rows=50)
    held = bench.run(rows(20))
    bench.set(min_rows=10)
    assert bench.run(rows(20)).outcome == "published"
    assert adopted(bench).version == bench.latest().version == held.version


def test_a_held_version_can_be_published_all_the_same(bench: Bench) -> None:
    run = held(bench, rows(4))
    moved = bench.versions.move(run.version, None)
    assert (moved.version, moved.pinned) == (run.version, False)
    manifest = whole_version(bench.container, moved.version)
    assert manifest.state == "published", "a model may adopt it, and unpinning finds it"
    assert manifest.held_because
    assert bench.run(rows(4)).outcome == "unchanged"
    assert adopted(bench).version != run.version, "an adoption is left alone"
    assert bench.run(rows(5)).outcome == "published"
    assert bench.latest().version > str(run.version)


# ---- the pipe's dialect


@pytest.mark.statement("sesam-34", "sesam-36")
def test_the_pipes_own_words_are_taken_and_the_exports_beat_them(bench: Bench) -> None:
    sink = {
        "delimiter": ";",
        "lineterminator": "\n",
        "columns": ["_id", "Name"],
        "escapechar": None,
        "byte_order_mark": False,
        "encoding": "utf-8",
        "quotechar": 7,
    }
    bench.fake.facts = PipeFacts(sink=sink)
    run = bench.run(b"_id;Name\n1;Per\n")
    assert run.outcome == "published"
    told = whole_version(bench.container, str(run.version)).dialect
    assert Dialect(**told) == Dialect(delimiter=";", lineterminator="\n", byte_order_mark=False)  # type: ignore[arg-type]  # as it was written
    bench.set(delimiter="|")
    assert bench.run(b"_id|Name\n1|P;er\n").outcome == "published"
    refused = bench.run(b"_id|Other\n1|Per\n")
    assert refused.outcome == "failed"
    assert "'Name' missing; 'Other' not expected" in refused.detail


NOTHING_QUOTED = b'_id,Name\r\n1,"abc\r\n2,def"\r\n3,"7"\r\n'


@pytest.mark.statement("sesam-36")
@pytest.mark.parametrize(
    ("sink", "own"),
    [
        ({"quoting": "none"}, None),
        ({"quoting": "none", "quotechar": '"'}, None),
        ({"quoting": "none", "quotechar": None}, None),
        ({"quotechar": None}, None),
        ({}, ""),
    ],
)
def test_where_the_sink_quotes_nothing_a_quotation_mark_is_text(
    bench: Bench, sink: dict[str, Any], own: str | None
) -> None:
    bench.fake.facts = PipeFacts(sink=sink)
    bench.settings = ExportSettings(pipe="customers-csv", quotechar=own)
    run = bench.run(NOTHING_QUOTED)
    assert run.outcome == "published"
    assert "no MLTable" in run.detail, "Azure ML's engine would take the mark for a quote"
    manifest = bench.versions.manifest(bench.latest().version)
    assert (manifest.rows, manifest.dialect["quotechar"]) == (3, None)


def test_the_exports_own_quote_beats_a_pipe_that_says_it_quotes_nothing(bench: Bench) -> None:
    bench.fake.facts = PipeFacts(sink={"quoting": "none", "quotechar": None})
    bench.set(quotechar='"')
    assert bench.run(b'_id,Name\r\n1,"a,b"\r\n').outcome == "published"


@pytest.mark.statement("sesam-34")
def test_without_header_and_without_columns_nothing_is_guessed(bench: Bench) -> None:
    bench.fake.facts = PipeFacts(sink={"include_header": False})
    assert "set the export's columns" in bench.run(b"1,Per\r\n").detail
    bench.set(columns=("_id", "Name"))
    assert bench.run(b"1,Per\r\n").outcome == "published"


@pytest.mark.statement("sesam-36")
@pytest.mark.parametrize(("mark", "before"), [(True, b""), (False, b"\xef\xbb\xbf")])
def test_a_byte_order_mark_is_there_where_the_pipe_says_so_and_nowhere_else(
    bench: Bench, mark: bool, before: bytes
) -> None:
    bench.fake.facts = PipeFacts(sink={"byte_order_mark": mark})
    run = bench.run(before + rows(10))
    assert run.outcome == "failed"
    assert "byte order mark" in run.detail


@pytest.mark.statement("sesam-36")
@pytest.mark.parametrize("terminator", ["\r\n", "\n", "\r"])
def test_each_line_terminator_that_readers_know_is_taken(bench: Bench, terminator: str) -> None:
    bench.fake.facts = PipeFacts(sink={"lineterminator": terminator})
    body = rows(10).replace(b"\r\n", terminator.encode())
    run = bench.run(body)
    assert run.outcome == "published"
    assert bench.versions.manifest(str(run.version)).rows == 10


def test_a_line_terminator_of_its_own_kind_is_refused(bench: Bench) -> None:
    bench.fake.facts = PipeFacts(sink={"lineterminator": "|"})
    assert "lineterminator" in bench.run().detail


def test_a_mistyped_label_publishes_nothing_and_names_the_columns(bench: Bench) -> None:
    bench.set(label="ChurnFlg")
    run = bench.run()
    assert run.outcome == "failed"
    assert "'ChurnFlg' is no column: the header has '_id', 'Name', 'Income', 'ChurnFlag'" in run.detail
    assert bench.names("manifests/") == []


# ---- failures


@pytest.mark.statement("sesam-31", "sesam-32", "sesam-33", "P9")
@pytest.mark.parametrize("body", [b"", b"<html>\r\n", HEADER + b"1,Per\r\n", rows(10)[:-1], HEADER + b'1,"'])
def test_data_that_is_not_whole_publishes_nothing_and_says_why(bench: Bench, body: bytes) -> None:
    first = bench.run(rows(10))
    before = bench.names()
    run = bench.run(body)
    assert (run.outcome, run.version) == ("failed", None)
    assert run.detail
    assert run.finished
    assert bench.latest().version == first.version
    assert bench.names() == before
    assert bench.record.last() == run


@pytest.mark.statement("sesam-38")
def test_what_waiting_cannot_mend_is_not_tried_again(bench: Bench) -> None:
    bench.fake.failures = [NodeRefused("no permission")]
    run = bench.run(last_try=False)
    assert (run.outcome, run.detail, bench.fake.asked) == ("failed", "no permission", 1)
    assert bench.clock.slept == []


@pytest.mark.statement("sesam-38")
@pytest.mark.fault(30)
def test_what_waiting_can_mend_is_tried_again_with_growing_pauses(bench: Bench) -> None:
    bench.fake.failures = [NodeUnavailable("503"), NodeUnavailable("429", retry_after=7)]
    run = bench.run(last_try=False)
    assert (run.outcome, bench.fake.asked) == ("published", 3)
    assert len(bench.clock.slept) == 2
    assert bench.clock.slept[1] >= 7
    assert sum(bench.clock.slept) <= RETRY_S


@pytest.mark.statement("sesam-38")
@pytest.mark.fault(30)
@pytest.mark.parametrize(("last_try", "outcome"), [(False, "queued"), (True, "failed")])
def test_what_lasts_is_left_to_the_queue_until_its_last_try(
    bench: Bench, last_try: bool, outcome: str
) -> None:
    bench.fake.failures = [NodeUnavailable("The node answered 503.")] * 1000
    if last_try:
        bench.run(last_try=True)
    else:
        with pytest.raises(NodeUnavailable):
            bench.run(last_try=False)
    last = bench.record.last()
    assert last is not None
    assert (last.outcome, last.detail) == (outcome, "The node answered 503.")
    assert sum(bench.clock.slept) <= RETRY_S
    assert bench.names("snapshots/") == []


def test_a_pause_asked_for_that_is_too_long_is_not_waited_for(bench: Bench) -> None:
    bench.fake.failures = [NodeUnavailable("429", retry_after=86_400)]
    with pytest.raises(NodeUnavailable):
        bench.run(last_try=False)
    assert bench.clock.slept == []


def test_an_error_nobody_foresaw_is_recorded_and_raised(bench: Bench) -> None:
    def bug(_: Manifest) -> str:
        raise ZeroDivisionError("secret")

    bench.register = bug
    with pytest.raises(ZeroDivisionError):
        bench.run()
    last = bench.record.last()
    assert last is not None
    assert last.outcome == "failed"
    assert "ZeroDivisionError" in last.detail
    assert "secret" not in last.detail


# ---- at once


@pytest.mark.statement("sesam-42")
@pytest.mark.fault(40)
def test_a_run_that_finds_another_under_way_joins_it(bench: Bench) -> None:
    with bench.record.lease("run-a"):
        run = bench.run(run="run-b")
    assert (run.outcome, bench.fake.asked) == ("joined", 0)


@pytest.mark.fault(40, 44)
def test_a_run_that_was_killed_is_tried_again_once_its_lease_is_over(bench: Bench) -> None:
    bench.record.queue("run-a")
    assert bench.container.lease("runs/customers.json", 90)
    with pytest.raises(UnderWay):
        bench.run(run="run-a", last_try=False)
    bench.clock.pass_(60)
    assert bench.run(run="run-a").outcome == "published"


@pytest.mark.statement("sesam-42")
def test_a_pipe_that_another_export_reads_is_waited_for(bench: Bench) -> None:
    other = RunRecord(bench.container, "customers_too", bench.clock.now)
    with other.turn("customers-csv"):
        run = bench.run(last_try=False)  # nobody renews that lease on this clock: it ends after a minute
    assert (run.outcome, bench.fake.asked) == ("published", 1)
    assert RETRY_S < sum(bench.clock.slept) < TURN_S


@pytest.mark.statement("sesam-42")
def test_a_pipe_that_is_never_free_is_left_to_the_queue(bench: Bench) -> None:
    name = turn_blob("customers-csv")
    bench.container.create(name, b"{}")
    assert bench.container.lease(name, 100_000)
    with pytest.raises(UnderWay, match="customers-csv is being read for another export"):
        bench.run(last_try=False)
    assert bench.fake.asked == 0
    assert sum(bench.clock.slept) <= TURN_S


@pytest.mark.fault(42)
@pytest.mark.parametrize("lost", ["data.csv", "manifests/"])
def test_an_answer_of_storage_that_was_lost_costs_a_download_and_no_version(bench: Bench, lost: str) -> None:
    losing = [lost]

    class Losing(MemoryContainer):
        """The SDK tries again what was done already, and is told that there is such a blob."""

        def commit(self, name: str, *args: Any) -> str | None:
            return self._unless_lost(name, super().commit(name, *args))

        def create(self, name: str, *args: Any) -> str | None:
            return self._unless_lost(name, super().create(name, *args))

        def _unless_lost(self, name: str, etag: str | None) -> str | None:
            return None if losing and losing[0] in name and losing.pop() else etag

    bench.container = Losing(bench.clock)
    run = bench.run(last_try=False)
    assert run.outcome in ("published", "unchanged")
    assert (bench.fake.asked, bench.versions.ids()) == (2, [run.version])
    whole_version(bench.container, bench.latest().version)


# ---- adoption and registration


def adopted(bench: Bench, model: str = "churn") -> Adoption:
    blob = bench.container.read(adoption_blob(model))
    assert blob is not None
    return decode(blob.data, Adoption)


def test_the_first_published_version_is_adopted_and_later_ones_are_not(bench: Bench) -> None:
    bench.set(min_rows=5)
    bench.run(rows(4))
    assert bench.container.read(adoption_blob("churn")) is None, "a held version is adopted by nobody"
    first = bench.run(rows(10))
    assert adopted(bench).adopted == f"{bench.clock.now():%Y-%m-%dT%H:%M:%SZ}"
    bench.run(rows(11))
    assert adopted(bench).version == first.version
    assert adopted(bench).contract_id == whole_version(bench.container, str(first.version)).contract_id


def test_a_model_that_came_later_adopts_at_the_next_run_though_nothing_changed(bench: Bench) -> None:
    bench.models = ()
    first = bench.run()
    bench.models = ("churn", "upsell")
    assert bench.run().outcome == "unchanged"
    assert adopted(bench, "upsell").version == adopted(bench).version == first.version


def test_a_registration_that_fails_is_a_note_and_is_tried_again(bench: Bench) -> None:
    notes = ["data asset not registered: 503", ""]
    told: list[str] = []

    def register(manifest: Manifest) -> str:
        told.append(manifest.version)
        return notes.pop(0)

    bench.register = register
    first = bench.run()
    assert first.outcome == "published"
    assert "not registered: 503" in first.detail
    second = bench.run()
    assert (second.outcome, second.detail) == ("unchanged", "")
    assert told == [first.version] * 2


def test_a_failure_says_whether_it_is_worth_another_try() -> None:
    transient = {cls.__name__ for cls in Failure.__subclasses__() if cls.transient}
    assert "StorageDown" in transient
    assert not DataRefused("x").transient
