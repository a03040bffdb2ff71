"""The sample configuration passes a consultant's checks, and each check catches what it is for."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from errors import Failure
from local.node.configuration import SAMPLES, ConfigurationError, load, problems, resolved, sink
from local.node.pump import strategy_of

DTL = {"type": "dtl", "rules": {"default": []}}
SOURCE = {"type": "dataset", "dataset": "a"}
PIPE = {"_id": "p", "type": "pipe", "source": SOURCE}
SECRET = {"x-functions-key": "$SECRET(key)"}


@pytest.mark.statement("sesam-27")
def test_the_sample_configuration_passes_every_check() -> None:
    assert problems(SAMPLES) == []


@pytest.mark.statement("sesam-27")
def test_the_sample_scoring_pipe_posts_to_the_score_route_by_a_system_with_the_key_and_tls() -> None:
    configuration = load()
    http = configuration.pipes["customer-churn-scoring"]["transform"][-1]
    profile = json.loads((SAMPLES / "prod-env.json").read_text("utf-8"))
    assert http["system"] == "$ENV(azure-ml-system)"
    system = configuration.systems[profile["azure-ml-system"]]
    assert (http["type"], http["url"], http["side_effects"]) == ("http", "score/churn", False)
    assert system["headers"] == {"x-functions-key": "$SECRET(azure-ml-function-key)"}
    assert system["url_pattern"] == "$ENV(azure-ml-app-url)/api/%s"
    assert system["verify_ssl"] is True
    assert system["read_timeout"] > 230  # where the platform cuts


def test_the_samples_retries_tell_apart_what_waiting_mends_and_what_it_does_not() -> None:
    strategy = load().systems["azure-ml-churn"]["retry_strategy"]
    statuses = {cls.status for cls in all_failures()} - {409}  # which no pipe meets
    tries = {status: strategy_of(strategy, status)["max_retries_per_entity"] for status in statuses}
    # What the app says of entities themselves; a wrong key (401) or a missing model (404) is an operator's.
    assert {status for status, most in tries.items() if most == 0} == {400, 413, 415, 422}
    for status in (None, 401, 403, 404, 429, 500, 502, 503, 504):
        assert strategy_of(strategy, status)["max_retries_per_entity"] > 0
    # What the pump says itself would go before the strategy.
    pump = load().pipes["customer-churn-scoring"]["pump"]
    assert not pump.keys() & {name for given in strategy.values() for name in given}
    assert pump["max_consecutive_write_errors"] > 1
    assert pump["max_write_errors_in_retry_dataset"] > 0


def all_failures() -> list[type[Failure]]:
    found, todo = [], [Failure]
    while todo:
        found.append(todo.pop())
        todo += found[-1].__subclasses__()
    return found


def test_every_variable_of_the_sample_is_in_its_test_profile() -> None:
    profile = json.loads((SAMPLES / "test-env.json").read_text("utf-8"))
    used = {name for text in _texts() for name in re.findall(r"\$ENV\(([^)]+)\)", text)}
    assert used
    assert used <= profile.keys()


def test_every_dataset_that_a_sample_pipe_reads_is_one_that_a_sample_pipe_writes() -> None:
    pipes = load().pipes.values()
    read = {
        name.partition(" ")[0]
        for pipe in pipes
        for name in [pipe["source"].get("dataset"), *pipe["source"].get("datasets", [])]
        if name
    }
    assert read <= {sink(pipe).get("dataset") for pipe in pipes}


def test_the_training_pipe_publishes_just_the_columns_that_its_dtl_makes() -> None:
    pipe = load().pipes["customers-training-csv"]
    made = [step[1] for step in pipe["transform"]["rules"]["default"] if step[0] == "add"]
    assert pipe["sink"]["columns"] == ["_id", *made]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("{", "is not JSON"),
        ([], "is not one JSON object"),
        ({"type": "pipe"}, "has no '_id'"),
        ({"_id": "", "type": "pipe"}, "has no '_id'"),
        ({"_id": "p"}, "has no 'type'"),
        ({"_id": "p", "type": "system:carrier-pigeon"}, "unknown type 'system:carrier-pigeon'"),
        ({"_id": "q", "type": "system:url"}, "is not named after its _id"),
        ({"_id": "p", "type": "pipe"}, "has no source"),
        (PIPE | {"sink": {"type": "csv"}}, "unknown sink type 'csv'"),
        (PIPE | {"transform": {"type": "http_transform"}}, "unknown transform type 'http_transform'"),
        (PIPE | {"transform": [DTL, {"type": "dtl", "rules": {}}]}, "without the rule 'default'"),
        (PIPE | {"transform": {"type": "http", "url": "score/churn"}}, "without system or url"),
        (PIPE | {"comment": "$SECRET(key)"}, "works in systems alone"),
        ({"_id": "p", "type": "metadata"} | SECRET, "works in systems alone"),
    ],
)
def test_each_mistake_is_found_and_keeps_the_node_from_loading(
    config: object, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "pipes").mkdir()
    text = config if isinstance(config, str) else json.dumps(config)
    (tmp_path / "pipes" / "p.conf.json").write_text(text, "utf-8")
    assert len(problems(tmp_path)) == 1
    with pytest.raises(ConfigurationError, match=rf"pipes/p\.conf\.json: .*{re.escape(problem)}"):
        load(tmp_path)


def test_a_folder_without_configuration_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no configuration"):
        load(tmp_path)


def test_variables_are_filled_in_wherever_they_stand() -> None:
    config = {"_id": "s", "url_pattern": "$ENV(url)/api/%s", "headers": SECRET, "n": "$ENV(n)"}
    filled = resolved(config, {"url": 'http://a"b', "n": 5}, {"key": "s3cret"})
    assert filled == {
        "_id": "s",
        "url_pattern": 'http://a"b/api/%s',
        "headers": {"x-functions-key": "s3cret"},
        "n": "5",
    }


@pytest.mark.parametrize("text", ["$ENV(absent)", "$SECRET(absent)"])
def test_a_variable_that_is_not_set_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        resolved({"_id": "s", "p": text}, {}, {})


def _texts() -> Iterator[str]:
    return (file.read_text("utf-8") for file in SAMPLES.rglob("*.conf.json"))
