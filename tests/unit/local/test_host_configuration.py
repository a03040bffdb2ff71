"""host.json and local.settings.json."""

from pathlib import Path

import pytest

from local.host.configuration import (
    CannotStart,
    HostSettings,
    QueueSettings,
    read_host_settings,
    read_local_settings,
    seconds,
)
from local.host.functions import resolved


def host_settings(directory: Path, text: str) -> HostSettings:
    (directory / "host.json").write_text(text)
    return read_host_settings(directory)


def test_a_bare_host_json_means_the_real_hosts_defaults(tmp_path: Path) -> None:
    assert host_settings(tmp_path, '{"version": "2.0"}') == HostSettings(
        route_prefix="api",
        max_concurrent_requests=None,
        max_outstanding_requests=None,
        function_timeout=1800,
        queues=QueueSettings(16, 8, 60, 0, 5, base64=True),
    )


def test_what_host_json_says_holds_and_what_this_host_does_not_use_is_left_alone(tmp_path: Path) -> None:
    read = host_settings(
        tmp_path,
        """{
        "version": "2.0", "functionTimeout": "00:10:00",
        "extensionBundle": {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"},
        "extensions": {
            "http": {"routePrefix": "", "maxConcurrentRequests": 8, "maxOutstandingRequests": 20},
            "queues": {"batchSize": 1, "newBatchThreshold": 0, "maxPollingInterval": "00:00:02",
                       "visibilityTimeout": "00:01:00", "maxDequeueCount": 3, "messageEncoding": "none"}}}""",
    )
    assert read == HostSettings("", 8, 20, 600, QueueSettings(1, 0, 2, 60, 3, base64=False))


def test_a_function_may_be_allowed_to_run_without_end(tmp_path: Path) -> None:
    assert host_settings(tmp_path, '{"version": "2.0", "functionTimeout": "-1"}').function_timeout is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "truncated"),
        ("{}", "version"),
        ('{"version": "1.0"}', '"version" must be "2.0"'),
        ('{"version": "2.0", "functionTimeout": "10m"}', "no time span"),
        (
            '{"version": "2.0", "extensions": {"queues": {"batchSize": "1"}}}',
            r"\$.extensions.queues.batchSize",
        ),
        ('{"version": "2.0", "extensions": {"queues": {"batchSize": 33}}}', "batchSize is 1 to 32"),
        ('{"version": "2.0", "extensions": {"queues": {"newBatchThreshold": -1}}}', "newBatchThreshold"),
        ('{"version": "2.0", "extensions": {"queues": {"maxDequeueCount": 0}}}', "maxDequeueCount"),
        ('{"version": "2.0", "extensions": {"queues": {"messageEncoding": "utf8"}}}', "messageEncoding"),
        ('{"version": "2.0", "extensions": {"http": {"maxConcurrentRequests": 0}}}', "limit on requests"),
    ],
)
def test_a_wrong_host_json_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(CannotStart, match=said):
        host_settings(tmp_path, text)


def test_a_directory_without_host_json_is_no_app(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"no host\.json"):
        read_host_settings(tmp_path)


def test_local_settings_need_not_be_there(tmp_path: Path) -> None:
    read = read_local_settings(tmp_path)
    assert (read.values, read.port) == ({}, None)


def test_local_settings_hold_values_and_a_port(tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text(
        '{"IsEncrypted": false, "Values": {"A": "1", "SESAM__JWT": "x", "B:C": "2"}, '
        '"Host": {"LocalHttpPort": 7072}}'
    )
    read = read_local_settings(tmp_path)
    assert (read.values, read.port) == ({"A": "1", "SESAM__JWT": "x", "B:C": "2"}, 7072)
    assert read.unportable() == ["B:C"]


@pytest.mark.parametrize("text", ['{"Values": {"A": 5150}}', '{"IsEncrypted": true}', "[5150]"])
def test_wrong_local_settings_are_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "local.settings.json").write_text(text)
    with pytest.raises(CannotStart) as refused:
        read_local_settings(tmp_path)
    assert "5150" not in str(refused.value)


@pytest.mark.parametrize(
    ("timespan", "expected"),
    [("00:00:02", 2), ("01:00:00", 3600), ("1.02:03:04", 93784), ("00:00:00.25", 0.25)],
)
def test_time_spans_are_seconds(timespan: str, expected: float) -> None:
    assert seconds(timespan) == expected


def test_settings_stand_in_for_their_names() -> None:
    assert resolved("%A%-x-%B%", {"A": "1", "B": "2"}) == "1-x-2"
    assert resolved("0 0 2 * * *", {}) == "0 0 2 * * *"


@pytest.mark.parametrize("text", ["%A%", "50%", "%%"])
def test_a_setting_that_is_not_there_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="%"):
        resolved(text, {})
