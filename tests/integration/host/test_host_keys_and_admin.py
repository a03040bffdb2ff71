"""Function keys and the admin endpoint, facts/functions.md §3.3 and §3.4."""

from collections.abc import Iterator

import pytest
import requests

from local.host.process import RunningApp
from tests.integration.host.conftest import Serve

SOURCE = """
@app.route(route="open", auth_level=func.AuthLevel.ANONYMOUS)
async def open_to_all(req: Request) -> Response:
    return Response("open")

@app.route(route="closed")
async def closed(req: Request) -> Response:
    return Response("closed")

@app.route(route="innermost", auth_level=func.AuthLevel.ADMIN)
async def innermost(req: Request) -> Response:
    return Response("innermost")

@app.timer_trigger(schedule="%NIGHTLY%", arg_name="timer")
async def nightly(timer: func.TimerRequest) -> None:
    logging.info("nightly ran, past due: %s, next: %s", timer.past_due, timer.schedule_status["Next"])

@app.timer_trigger(schedule="* * * * * *", arg_name="timer")
def each_second(timer: func.TimerRequest) -> None:
    logging.info("a second has passed")

@app.timer_trigger(schedule="%NOT_SET%", arg_name="timer")
async def wrong_schedule(timer: func.TimerRequest) -> None:
    pass

@app.timer_trigger(schedule="0 0 2 * * *", arg_name="timer")
async def switched_off(timer: func.TimerRequest) -> None:
    pass

@app.queue_trigger(queue_name="orders", connection="NOT_SET", arg_name="message")
async def no_connection(message: func.QueueMessage) -> None:
    pass

@app.blob_trigger(path="x/{name}", connection="AzureWebJobsStorage", arg_name="blob")
async def of_an_unknown_kind(blob: func.InputStream) -> None:
    pass

@app.route(route="a{p}b")
async def odd_route(req: Request) -> Response:
    return Response("odd")
"""


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[RunningApp]:
    settings = {"NIGHTLY": "0 0 2 * * *", "AzureWebJobs.switched_off.Disabled": "1"}
    with serve(SOURCE, settings=settings, auth=True) as app:
        yield app


def get(app: RunningApp, path: str, key: str | None = None) -> requests.Response:
    headers = {} if key is None else {"x-functions-key": key}
    return requests.get(app.base_url + path, headers=headers, timeout=30)


def test_an_anonymous_function_is_open(app: RunningApp) -> None:
    assert get(app, "/api/open").text == "open"


@pytest.mark.parametrize("key", [None, "", "wrong", "nøkkel".encode().decode("latin-1")])
def test_without_the_right_key_the_answer_is_401_with_an_empty_body(app: RunningApp, key: str | None) -> None:
    answer = get(app, "/api/closed", key)
    assert (answer.status_code, answer.content) == (401, b"")


def test_host_key_and_master_key_open_a_function(app: RunningApp) -> None:
    assert get(app, "/api/closed", app.key).text == "closed"
    assert get(app, "/api/closed", app.master_key).text == "closed"


def test_the_key_may_be_in_the_query(app: RunningApp) -> None:
    assert get(app, f"/api/closed?code={app.key}").text == "closed"
    assert get(app, "/api/closed?code=wrong").status_code == 401


def test_only_the_master_key_opens_the_admin_level(app: RunningApp) -> None:
    assert get(app, "/api/innermost", app.key).status_code == 401
    assert get(app, "/api/innermost", app.master_key).text == "innermost"


def test_an_unknown_path_is_404_whatever_the_key(app: RunningApp) -> None:
    assert get(app, "/api/nobody").status_code == 404
    assert get(app, "/api/nobody", app.master_key).status_code == 404


@pytest.mark.parametrize("path", ["/admin/functions", "/admin/functions/nightly", "/admin/host/status"])
def test_the_admin_endpoint_wants_the_master_key(app: RunningApp, path: str) -> None:
    assert get(app, path).status_code == 401
    assert get(app, path, app.key).status_code == 401
    assert get(app, path, app.master_key).status_code == 200


def test_the_ping_is_open(app: RunningApp) -> None:
    assert get(app, "/admin/host/ping").status_code == 200


def test_the_admin_endpoint_lists_what_is_served(app: RunningApp) -> None:
    listed = get(app, "/admin/functions", app.master_key).json()
    assert {entry["name"] for entry in listed} == {
        "open_to_all",
        "closed",
        "innermost",
        "nightly",
        "each_second",
    }
    nightly = get(app, "/admin/functions/Nightly", app.master_key).json()
    assert nightly["config"]["bindings"][0]["schedule"] == "%NIGHTLY%"


def fire(app: RunningApp, name: str, body: str, key: str) -> requests.Response:
    url = f"{app.base_url}/admin/functions/{name}"
    return requests.post(url, data=body, headers={"x-functions-key": key}, timeout=30)


def test_a_timer_can_be_fired(app: RunningApp) -> None:
    answer = fire(app, "nightly", '{"input": ""}', app.master_key)
    assert (answer.status_code, answer.content) == (202, b"")
    app.wait_for(r"nightly ran, past due: False, next: \d{4}-\d\d-\d\dT02:00:00\+00:00")


def test_a_timer_runs_by_itself(app: RunningApp) -> None:
    app.wait_for("a second has passed")
    app.wait_for(r"Executed 'Functions.each_second' \(Succeeded")


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("nobody", "{}", 404),
        ("switched_off", "{}", 404),
        ("closed", "{}", 400),
        ("nightly", "[]", 400),
        ("nightly", '{"input": 1}', 400),
        ("nightly", "now", 400),
    ],
)
def test_what_cannot_be_fired_says_so(app: RunningApp, name: str, body: str, status: int) -> None:
    assert fire(app, name, body, app.master_key).status_code == status


def test_firing_wants_the_master_key(app: RunningApp) -> None:
    assert fire(app, "nightly", "{}", app.key).status_code == 401


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("wrong_schedule", "%NOT_SET% names a setting that is not set"),
        ("no_connection", "its connection is the setting NOT_SET, which is not set"),
        ("of_an_unknown_kind", 'this host has no binding "blobTrigger"'),
        ("odd_route", 'the route segment "a{p}b"'),
    ],
)
def test_a_function_in_error_is_named_and_the_others_are_served(
    app: RunningApp, name: str, reason: str
) -> None:
    assert f"The '{name}' function is in error: {reason}" in app.output()


def test_a_function_switched_off_is_named(app: RunningApp) -> None:
    assert "The 'switched_off' function is switched off" in app.output()


def test_the_routes_are_printed_and_given_keys_are_not(app: RunningApp) -> None:
    said = app.output()
    assert f"\tclosed: [any method] {app.base_url}/api/closed\n" in said
    assert "\tnightly: timerTrigger\n" in said
    assert app.key not in said
    assert app.master_key not in said
