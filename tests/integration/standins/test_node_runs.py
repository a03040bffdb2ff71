"""Runs of the sample pipes: what is posted, what is read back, what failure and deletion do."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import requests

from local.node import Node, Run
from local.node.configuration import ConfigurationError
from local.node.pump import strategy_of
from tests.integration.standins.conftest import KEY, Answer, Entities, Target, scored

SCORING = "customer-churn-scoring"
ROUND = (SCORING, "customer-churn", "customers-global")
RESERVED = {"_id", "_deleted", "_updated", "_previous", "_ts", "_hash"}


def _live(node: Node) -> dict[str, dict[str, object]]:
    return {each["_id"]: each for each in node.entities("customers-global") if not each["_deleted"]}


def _poisoned(bad: str, refused: Answer) -> Callable[[Entities], Answer]:
    return lambda entities: refused if any(each["_id"] == bad for each in entities) else scored(entities)


def _posted(target: Target) -> list[dict[str, Any]]:
    """What was posted to be scored."""
    return [entity for batch in target.batches for entity in batch if "_filtered" not in entity]


def test_a_scoring_run_posts_every_live_customer_once_in_batches_of_100(node: Node, target: Target) -> None:
    run = node.run_pipe(SCORING)
    posted = [entity["_id"] for entity in _posted(target)]
    assert posted == list(_live(node))
    assert max(len(batch) for batch in target.batches) == 100
    assert run.requests == len(target.batches) == 3
    assert run.filtered == run.read - run.written > 0
    assert (run.completed, run.written, run.changed) == (True, len(posted), len(posted))
    assert (run.failed, run.deleted, run.dropped) == ([], [], 0)


def test_what_is_posted_is_chunked_with_the_systems_key_and_values_as_they_are_in_the_hub(
    node: Node, target: Target
) -> None:
    node.run_pipe(SCORING)
    for headers in target.headers:
        assert headers["Transfer-Encoding"] == "chunked"
        assert "Content-Length" not in headers
        assert headers["Content-Type"] == "application/json"
        assert headers["x-functions-key"] == KEY
    live = _live(node)
    for entity in _posted(target)[:100]:
        assert entity.keys() >= RESERVED
        assert entity == live[entity["_id"]]


def test_scores_are_read_as_decimals_and_reserved_fields_are_the_hubs_own(node: Node) -> None:
    node.run_pipe(SCORING)
    live = _live(node)
    for entity in node.entities(SCORING):
        before = live[entity["_id"]]
        kept = {name: value for name, value in before.items() if name not in RESERVED - {"_id"}}
        scores = {"churn:Scored-Labels": True, "churn:Scored-Probabilities": "~f0.87"}
        # A float that comes back from a service is a decimal for Sesam, whoever wrote it.
        satisfaction = "webshop-customer:Satisfaction"
        if satisfaction in kept:
            kept[satisfaction] = entity[satisfaction]
        assert {
            name: value for name, value in entity.items() if name not in RESERVED - {"_id"}
        } == kept | scores


def test_a_second_run_gets_entities_that_carry_scores_and_changes_nothing(node: Node, target: Target) -> None:
    for pipe in (SCORING, "customer-churn", "customers-global"):
        node.run_pipe(pipe)
    live = _live(node)
    assert all(entity["churn:Scored-Probabilities"] == "~f0.87" for entity in live.values())
    ids = Counter(len(entity["$ids"]) for entity in live.values())  # type: ignore[arg-type]  # $ids is a list
    assert set(ids) == {1, 2}  # the scores come under the customer's own id
    target.batches.clear()
    run = node.run_pipe(SCORING)
    assert all("churn:Scored-Labels" in entity for entity in _posted(target))
    assert (run.written, run.changed, run.deleted) == (len(live), 0, [])
    assert node.run_pipe("customer-churn").changed == 0
    assert node.run_pipe("customers-global").changed == 0


@pytest.mark.parametrize("status", [400, 422, 500, 503])
def test_a_batch_that_fails_is_tried_again_one_entity_at_a_time(
    node: Node, target: Target, status: int
) -> None:
    bad = list(_live(node))[120]
    target.answer = _poisoned(bad, (status, b"Location is unknown"))
    run = node.run_pipe(SCORING)
    assert [(each.id, each.status, each.text) for each in run.failed] == [
        (bad, status, "Location is unknown")
    ]
    assert Counter(len(batch) for batch in target.batches)[1] == 100
    assert run.completed
    assert run.deleted == []
    assert run.written == len(_live(node)) - 1
    assert {each["_id"] for each in node.entities(SCORING)} == _live(node).keys() - {bad}


def test_an_entity_that_failed_after_it_was_scored_keeps_its_scores(node: Node, target: Target) -> None:
    node.run_pipe(SCORING)
    bad = next(iter(_live(node)))
    target.answer = _poisoned(bad, (422, b""))
    node.reset(SCORING)
    run = node.run_pipe(SCORING)
    assert (len(run.failed), run.deleted) == (1, [])


def test_a_service_that_is_down_ends_the_run_after_the_errors_the_pump_bears_and_deletes_nothing(
    node: Node, target: Target
) -> None:
    node.run_pipe(SCORING)
    target.answer = lambda _: (503, b"down")
    target.batches.clear()
    node.reset(SCORING)
    run = node.run_pipe(SCORING)
    assert not run.completed
    assert [len(batch) for batch in target.batches] == [100] + [1] * 10  # max_consecutive_write_errors
    assert {(each.status, each.text) for each in run.failed} == {(503, "down")}
    assert run.deleted == []


def test_failures_apart_from_each_other_do_not_end_a_run_however_many_there_are(
    node: Node, target: Target
) -> None:
    bad = set(list(_live(node))[::10])
    target.answer = lambda entities: (
        (422, b"") if bad & {each["_id"] for each in entities} else scored(entities)
    )
    run = node.run_pipe(SCORING)
    assert run.completed
    assert {each.id for each in run.failed} == bad
    assert len(bad) > 20  # more than max_consecutive_write_errors


def test_more_failures_than_the_retry_dataset_takes_end_the_run(node: Node, target: Target) -> None:
    node.configuration.pipes[SCORING]["pump"] |= {"max_write_errors_in_retry_dataset": 3}
    bad = set(list(_live(node))[::10])
    target.answer = lambda entities: (
        (503, b"") if bad & {each["_id"] for each in entities} else scored(entities)
    )
    run = node.run_pipe(SCORING)
    assert (run.completed, len(run.failed), run.deleted) == (False, 4, [])


def test_without_settings_the_first_entity_that_fails_ends_the_run(node: Node, target: Target) -> None:
    node.configuration.pipes[SCORING].pop("pump")
    target.answer = _poisoned(list(_live(node))[10], (422, b"no"))
    run = node.run_pipe(SCORING)
    assert (run.completed, len(run.failed), run.written) == (False, 1, 10)


def test_a_batch_may_be_kept_together(node: Node, target: Target) -> None:
    node.configuration.pipes[SCORING]["pump"] |= {"fallback_to_single_entities_on_batch_fail": False}
    target.answer = _poisoned(next(iter(_live(node))), (422, b"no"))
    run = node.run_pipe(SCORING)
    assert (run.requests, len(run.failed)) == (3, 100)
    assert run.completed


@pytest.mark.parametrize(
    "answer",
    [lambda _: (200, []), lambda entities: (200, scored(entities)[1][5:])],  # type: ignore[index]  # a list
    ids=["empty", "short"],
)
def test_what_a_service_leaves_out_of_its_answer_is_deleted_and_the_run_shows_it(
    node: Node, target: Target, answer: Callable[[Entities], Answer]
) -> None:
    node.run_pipe(SCORING)
    target.answer = answer
    target.batches.clear()
    node.reset(SCORING)
    run = node.run_pipe(SCORING)
    gone = {each["_id"] for each in _posted(target)}
    gone -= {each["_id"] for each in node.entities(SCORING) if not each["_deleted"]}
    assert run.completed
    assert set(run.deleted) == gone
    assert len(run.deleted) in (15, len(_live(node)))
    assert len(_posted(target)) == run.written + len(run.deleted)


def test_elements_of_an_answer_that_are_no_objects_are_counted(node: Node, target: Target) -> None:
    target.answer = lambda entities: (200, [*entities, None, "x"])
    assert node.run_pipe(SCORING).dropped == 6


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[{]", b'[{"_id": "a", "p": NaN}]', b'[{"_id": "a", "l": "~tier1"}]', b'[{"x": 1}]'],
)
def test_an_answer_that_cannot_be_read_fails_the_entities(node: Node, target: Target, body: bytes) -> None:
    target.answer = lambda _: (200, body)
    run = node.run_pipe(SCORING)
    assert (run.completed, run.written, len(run.failed)) == (False, 0, 10)
    assert all(each.status == 200 and each.text for each in run.failed)


def test_no_answer_at_all_fails_the_entities_too(node: Node) -> None:
    node.environment["azure-ml-app-url"] = "http://127.0.0.1:1"
    run = node.run_pipe(SCORING)
    assert {(each.status, each.text) for each in run.failed} == {(None, "no answer: ConnectionError")}


def test_a_customer_that_is_deleted_in_the_crm_loses_its_score(node: Node, target: Target) -> None:
    node.run_pipe(SCORING)
    gone = next(each for each in node.entities("crm-customer") if not each["_deleted"])
    node.load("crm-customer", [gone | {"_deleted": True}])
    node.run_pipe("customers-global")
    run: Run = node.run_pipe(SCORING)
    # It, and what the webshop knows of it, which now stands alone.
    assert (run.read, run.filtered, run.deleted) == (2, 2, [gone["_id"]])
    assert "_filtered" in target.batches[-1][0]  # as the reference of 'filter' has it: the app must bear it


def test_a_customer_that_the_crm_deletes_leaves_the_hub_though_its_score_lived_there(node: Node) -> None:
    for pipe in ROUND:
        node.run_pipe(pipe)
    gone = next(each for each in node.entities("crm-customer") if not each["_deleted"])
    node.load("crm-customer", [gone | {"_deleted": True}])
    node.run_pipe("customers-global")
    assert gone["_id"] in _live(node)  # its score alone
    assert node.run_pipe(SCORING).failed == []
    for pipe in ROUND[1:]:
        node.run_pipe(pipe)
    assert gone["_id"] not in _live(node)
    csv = b"".join(node.publish(node.pipe("customers-training-csv")))
    assert b"\r\n" + gone["_id"].partition(":")[2].encode() + b"," not in csv


def test_a_webshop_customer_that_the_crm_does_not_know_is_neither_scored_nor_learnt_from(
    node: Node, target: Target
) -> None:
    node.load("webshop-customer", [{"_id": "webshop-customer:1", "webshop-customer:Income": 1}])
    node.run_pipe("customers-global")
    node.run_pipe(SCORING)
    assert "webshop-customer:1" not in {entity["_id"] for entity in _posted(target)}
    csv = b"".join(node.publish(node.pipe("customers-training-csv")))
    assert b"\r\n1," not in csv


def test_a_run_reads_what_is_new_in_its_source_and_the_loop_comes_to_rest(node: Node, target: Target) -> None:
    live = len(_live(node))
    reads = []
    for _ in range(3):
        run = node.run_pipe(SCORING)
        reads.append((run.read - run.filtered, run.changed))
        node.run_pipe("customer-churn")
        node.run_pipe("customers-global")
    assert reads == [(live, live), (live, 0), (0, 0)]


def test_a_new_model_scores_nothing_until_last_seen_is_reset(node: Node, target: Target) -> None:
    for _ in range(3):
        for pipe in ROUND:
            node.run_pipe(pipe)
    target.answer = lambda entities: (200, [e | {"churn:Scored-Probabilities": 0.11} for e in entities])
    assert node.run_pipe(SCORING).read == 0
    _operate(node, "update-last-seen", **{"last-seen": ""})
    _operate(node, "start")
    scored_now = {e["churn:Scored-Probabilities"] for e in node.entities(SCORING) if not e["_deleted"]}
    assert scored_now == {"~f0.11"}


def test_only_who_may_manage_pipes_may_reset_one_and_only_known_operations_are_done(node: Node) -> None:
    reader = node.token(permissions=["read_data", "read_config"])
    assert _operate(node, "start", token=reader) == 403
    assert _operate(node, "explode") == 400
    assert _operate(node, "update-last-seen", **{"last-seen": "5"}) == 400
    assert _operate(node, "start", pipe="customers-training-csv") == 400
    assert _operate(node, "start", pipe="none") == 404


def _operate(node: Node, operation: str, token: str = "", pipe: str = SCORING, **fields: str) -> int:
    return requests.post(
        f"{node.url}/api/pipes/{pipe}/pump",
        data={"operation": operation, **fields},
        headers={"Authorization": f"Bearer {token or node.jwt}"},
        timeout=30,
    ).status_code


def test_an_entity_that_fails_for_a_while_is_tried_again_until_it_is_scored(
    node: Node, target: Target
) -> None:
    bad = list(_live(node))[120]
    target.answer = _poisoned(bad, (503, b"down"))
    assert node.run_pipe(SCORING).dead == []
    target.answer = scored
    run = node.run_pipe(SCORING)
    assert (run.read, run.written, run.failed) == (1, 1, [])
    assert node.run_pipe(SCORING).read == 0


def test_an_entity_that_is_refused_is_not_tried_again_until_it_changes(node: Node, target: Target) -> None:
    bad = list(_live(node))[120]
    target.answer = _poisoned(bad, (422, b"Location is unknown"))
    assert node.run_pipe(SCORING).dead == [bad]
    (dead,) = node.entities("customer-churn-dead-letters")
    assert (dead["_id"], dead["error"]) == (bad, "Location is unknown")
    assert node.run_pipe(SCORING).read == 0
    target.answer = scored
    (before,) = (each for each in node.entities("crm-customer") if each["_id"] == bad)
    node.load("crm-customer", [before | {"crm-customer:Location": "Oslo"}])
    node.run_pipe("customers-global")
    assert node.run_pipe(SCORING).written == 1


@pytest.mark.parametrize(
    ("status", "told"),
    [(400, 0), (412, 1), (413, 0), (429, 30), (503, 60), (401, None), (None, None)],
)
def test_a_retry_strategy_is_read_by_single_statuses_lists_and_ranges(
    status: int | None, told: int | None
) -> None:
    strategy = {"400,413": {"x": 0}, "405-428": {"x": 1}, "429": {"x": 30}, "503-504": {"x": 60}}
    assert strategy_of(strategy, status).get("x") == told
    assert strategy_of(strategy | {"default": {"x": 9}}, status)["x"] == (9 if told is None else told)


@pytest.mark.parametrize("batch_size", [7, 1000])
def test_a_post_holds_what_both_batch_sizes_allow(node: Node, target: Target, batch_size: int) -> None:
    node.configuration.pipes[SCORING]["batch_size"] = batch_size
    node.run_pipe(SCORING)
    assert max(len(batch) for batch in target.batches) == min(batch_size, 100)


def test_the_samples_own_customers_go_the_same_road(node: Node, target: Target) -> None:
    node.datasets.clear()
    for pipe in ("crm-customer", "webshop-customer", "customers-global", SCORING):
        assert node.run_pipe(pipe).completed
    (batch,) = target.batches
    assert [entity["_id"] for entity in batch] == ["crm-customer:100", "crm-customer:101"]
    assert batch[0]["crm-customer:Name"] == "Øyvind Ødegård"
    assert batch[0]["webshop-customer:Income"] == "~f540000.00"
    assert batch[0]["$ids"] == ["~:crm-customer:100", "~:webshop-customer:7000100"]


def test_pipes_that_cannot_be_run_say_why(node: Node) -> None:
    with pytest.raises(ConfigurationError, match="no pipe 'x'"):
        node.run_pipe("x")
    with pytest.raises(ConfigurationError, match="not pumped"):
        node.run_pipe("customers-training-csv")
    node.secrets.clear()
    with pytest.raises(ConfigurationError, match=r"\$SECRET\(azure-ml-function-key\)"):
        node.run_pipe(SCORING)
