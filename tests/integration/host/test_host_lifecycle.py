"""How the host starts, refuses to start, limits and ends."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path

import pytest
import requests

from local.bootstrap import ROOT
from local.host.process import AppNotRunning, RunningApp, running_app
from tests.integration.host.conftest import HEAD, Serve

SOURCE = """
@app.route(route="hold/{name}")
async def hold(req: Request) -> Response:
    name = req.path_params["name"]
    print("holding", name, flush=True)
    while not pathlib.Path(os.environ["RELEASE"], name).exists():
        await asyncio.sleep(0.01)
    return Response("held")

@app.route(route="stuck")
def stuck(req: Request) -> Response:
    print("stuck", flush=True)
    time.sleep(3600)
    return Response("never")

@app.route(route="setting/{name}")
async def setting(req: Request) -> Response:
    return Response(os.environ.get(req.path_params["name"], "not set"))
"""


@pytest.fixture
def caller() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def get(url: str) -> requests.Response:
    return requests.get(url, timeout=60)


def hold(app: RunningApp, caller: ThreadPoolExecutor, name: str) -> Future[requests.Response]:
    call = caller.submit(get, f"{app.base_url}/api/hold/{name}")
    app.wait_for(f"holding {name}")
    return call


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_call_finish_and_takes_no_new_one(
    serve: Serve, tmp_path: Path, caller: ThreadPoolExecutor, number: signal.Signals
) -> None:
    with serve(SOURCE, settings={"RELEASE": str(tmp_path)}) as app, requests.Session() as idle:
        assert idle.get(f"{app.base_url}/api/setting/NOT_SET", timeout=30).text == "not set"
        held = hold(app, caller, "a")
        os.kill(app.pid, number)
        app.wait_for("stopping")
        with pytest.raises(requests.exceptions.ConnectionError):
            get(f"{app.base_url}/api/setting/HOME")
        (tmp_path / "a").touch()
        assert held.result().text == "held"
        assert app.wait() == 0
        assert app.output().endswith("stopped\n")


@pytest.mark.parametrize("function", ["hold/never", "stuck"])
def test_a_call_that_does_not_finish_is_given_up_after_the_grace(
    serve: Serve, tmp_path: Path, caller: ThreadPoolExecutor, function: str
) -> None:
    with serve(SOURCE, settings={"RELEASE": str(tmp_path)}, grace=0.2) as app:
        call = caller.submit(get, f"{app.base_url}/api/{function}")
        app.wait_for("(?m)^(holding never|stuck)$")
        assert app.terminate(timeout=10) == 0
        assert "the grace was too short" in app.output()
        with pytest.raises(requests.exceptions.ConnectionError):
            call.result()


def test_a_second_signal_ends_the_host_at_once(
    serve: Serve, tmp_path: Path, caller: ThreadPoolExecutor
) -> None:
    with serve(SOURCE, settings={"RELEASE": str(tmp_path)}) as app:
        held = hold(app, caller, "a")
        os.kill(app.pid, signal.SIGTERM)
        app.wait_for("stopping")
        assert app.terminate(timeout=10) == 1
        with pytest.raises(requests.exceptions.ConnectionError):
            held.result()


def test_the_host_ends_with_the_program_that_started_it(write_app: Callable[..., Path]) -> None:
    directory = write_app(HEAD + SOURCE)
    program = f"""
import os, pathlib
from local.host.process import running_app
with running_app(pathlib.Path({str(directory)!r}), settings={{}}) as app:
    print(app.pid, flush=True)
    os.kill(os.getpid(), 9)
"""
    starter = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert starter.returncode == -signal.SIGKILL
    # Nobody is its parent any more; that it ends shows in its descriptor.
    try:
        descriptor = os.pidfd_open(int(starter.stdout))
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 30)[0]
    finally:
        os.close(descriptor)


def test_calls_beyond_the_limits_wait_or_are_turned_away(
    serve: Serve, tmp_path: Path, caller: ThreadPoolExecutor
) -> None:
    limits: dict[str, object] = {
        "extensions": {"http": {"maxConcurrentRequests": 2, "maxOutstandingRequests": 3}}
    }
    with serve(SOURCE, host=limits, settings={"RELEASE": str(tmp_path)}) as app:
        running = [hold(app, caller, name) for name in ("a", "b")]
        more = [caller.submit(get, f"{app.base_url}/api/hold/c") for _ in range(4)]
        first_answers = [call.result().status_code for call in islice(as_completed(more), 3)]
        assert first_answers == [429, 429, 429]
        assert "holding c" not in app.output()
        os.kill(app.pid, signal.SIGTERM)  # the one that waits has been taken: it runs too
        app.wait_for("stopping")
        for name in ("a", "b", "c"):
            (tmp_path / name).touch()
        assert app.wait() == 0
        assert [call.result().status_code for call in running] == [200, 200]
        assert sorted(call.result().status_code for call in more) == [200, 429, 429, 429]


def test_a_call_that_takes_longer_than_function_timeout_fails(serve: Serve, tmp_path: Path) -> None:
    with serve(SOURCE, host={"functionTimeout": "00:00:00.2"}, settings={"RELEASE": str(tmp_path)}) as app:
        for function in ("hold/never", "stuck"):
            assert get(f"{app.base_url}/api/{function}").status_code == 500
        app.wait_for("stuck: functionTimeout: the run took longer than 0.2 s")
        assert get(f"{app.base_url}/api/setting/NOT_SET").text == "not set"
        # The thread that is stuck cannot be ended, and does not keep the host.
        assert app.terminate(timeout=20) == 0


@pytest.fixture(scope="module")
def configured(write_app: Callable[..., Path]) -> Iterator[RunningApp]:
    """An app with a route prefix of its own, key checking, and settings from file and environment."""
    directory = write_app(HEAD + SOURCE, {"extensions": {"http": {"routePrefix": ""}}})
    (directory / "local.settings.json").write_text(
        '{"Values": {"FROM_FILE": "file", "FROM_BOTH": "file", "A__B": "nested", "C:D": "odd"}}'
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SESAM__JWT", "of-the-developer")
        with running_app(directory, settings={"FROM_BOTH": "environment"}, auth=True) as app:
            yield app


def setting(app: RunningApp, name: str) -> str:
    return get(f"{app.base_url}/setting/{name}?code={app.key}").text


def test_settings_come_from_the_file_unless_the_environment_has_them(configured: RunningApp) -> None:
    assert setting(configured, "FROM_FILE") == "file"
    assert setting(configured, "FROM_BOTH") == "environment"
    assert setting(configured, "A__B") == "nested"
    assert setting(configured, "AZURE_FUNCTIONS_ENVIRONMENT") == "Development"
    assert re.search("names with ':' .*: C:D\n", configured.output())


@pytest.mark.parametrize("name", ["SESAM__JWT", "FUNCTIONS_HOST_KEY", "FUNCTIONS_MASTER_KEY"])
def test_an_app_gets_nothing_of_the_environment_but_its_settings(configured: RunningApp, name: str) -> None:
    assert setting(configured, name) == "not set"


def test_a_route_prefix_of_its_own(configured: RunningApp) -> None:
    assert get(f"{configured.base_url}/api/setting/FROM_FILE?code={configured.key}").status_code == 404


CLASSIC = """
import azure.functions as func
app = func.FunctionApp()
@app.route(route="classic")
def classic(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("x")
"""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_module_at_all", r"ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        (HEAD + "raise ValueError('the app says no')", r"cannot be loaded: ValueError: the app says no"),
        ("raise SystemExit(3)", r"cannot start: the app or the engine has ended the process \(3\)"),
        (HEAD + "\n@app.route(route='x')\ndef x(req: func.HttpRequest): ...", r"FunctionLoadError: .* x "),
        (CLASSIC, r"azurefunctions\.extensions\.http\.fastapi"),
    ],
)
def test_an_app_that_cannot_be_loaded_is_refused_with_its_own_error(
    write_app: Callable[..., Path], source: str, said: str
) -> None:
    directory = write_app(source)
    with pytest.raises(AppNotRunning, match=said), running_app(directory, settings={}):
        pytest.fail("it runs")


def command(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local.host", "--app", str(directory), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_is_no_app_is_refused_in_a_plain_line_with_status_2(
    write_app: Callable[..., Path], tmp_path: Path
) -> None:
    empty = command(tmp_path)
    assert (empty.returncode, empty.stdout) == (2, "")
    assert empty.stderr.startswith("cannot start: there is no host.json in ")
    assert empty.stderr.count("\n") == 1
    without_app = write_app("")
    (without_app / "function_app.py").unlink()
    refused = command(without_app)
    assert refused.returncode == 2
    assert "there is no function_app.py in " in refused.stderr


def test_a_port_in_use_is_a_plain_line_with_status_2(write_app: Callable[..., Path]) -> None:
    directory = write_app(HEAD + SOURCE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = command(directory, "--port", str(port))
    assert refused.returncode == 2
    assert refused.stderr == (
        f"cannot start: port {port} of 127.0.0.1 cannot be had: Address already in use. Another: --port\n"
    )


def test_made_up_keys_are_printed_once_and_open_the_app(write_app: Callable[..., Path]) -> None:
    directory = write_app(HEAD + SOURCE)
    arguments = [sys.executable, "-m", "local.host", "--app", str(directory), "--port", "0", "--enable-auth"]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("ready: "):
                break
        key = re.findall(r"(?m)^host key: (\S{40,})$", said)
        assert len(key) == 1
        url = line.split()[1]
        assert get(f"{url}/api/setting/NOT_SET?code={key[0]}").text == "not set"
        assert get(f"{url}/api/setting/NOT_SET").status_code == 401
        process.terminate()
