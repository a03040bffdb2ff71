"""The host as a child process, for tests and the demo: one process for each app and each set of settings."""

import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.host.configuration import READY
from local.host.keys import HOST_KEY_VARIABLE, MASTER_KEY_VARIABLE

_ROOT = Path(__file__).resolve().parents[2]
_GRACE = 10.0


@dataclass(frozen=True)
class Runtime:
    """What the host runs on: a Python with what app and host need, and where `local` is imported from."""

    python: Path = Path(sys.executable)
    path: Path = _ROOT


class AppNotRunning(Exception):
    """The app did not come up, or what was waited for did not come; the message ends with the output."""


class RunningApp:
    """A served app: `base_url`, and with keys checked `key` (the host key) and `master_key`."""

    def __init__(self, process: subprocess.Popen[str], keys: Mapping[str, str]) -> None:
        self._process = process
        self._lines: list[str] = []
        self._arrived = threading.Condition()
        self._closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.base_url = ""
        self.key = keys.get(HOST_KEY_VARIABLE, "")
        self.master_key = keys.get(MASTER_KEY_VARIABLE, "")

    @property
    def pid(self) -> int:
        """The process's id, for signals of one's own."""
        return self._process.pid

    def output(self) -> str:
        """Give what the app and its host have printed so far."""
        with self._arrived:
            return "".join(self._lines)

    def wait_for(self, pattern: str, timeout: float = 30.0) -> re.Match[str]:
        """Wait until a regular expression is found in the output; `AppNotRunning` when it is not."""
        end = time.monotonic() + timeout
        with self._arrived:
            while (found := re.search(pattern, "".join(self._lines))) is None:
                left = end - time.monotonic()
                if self._closed or left <= 0:
                    said = "".join(self._lines)
                    raise AppNotRunning(f"no {pattern!r} in what the app printed:\n{said}")
                self._arrived.wait(left)
            return found

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for the process to end by itself, and give its status."""
        status = self._process.wait(timeout)
        self._reader.join()
        return status

    def terminate(self, timeout: float = 60.0) -> int:
        """End it in order (SIGTERM) and give its status."""
        self._process.terminate()
        return self.wait(timeout)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  # it is a pipe
        for line in self._process.stdout:
            with self._arrived:
                self._lines.append(line)
                self._arrived.notify_all()
        with self._arrived:
            self._closed = True
            self._arrived.notify_all()


@contextmanager
def running_app(
    directory: Path,
    *,
    settings: Mapping[str, str],
    port: int = 0,
    auth: bool = False,
    grace: float = _GRACE,
    hidden: int | None = None,
    ready_within: float = 60.0,
    runtime: Runtime = Runtime(),
) -> Iterator[RunningApp]:
    """Serve the app in `directory` with these settings and nothing else of the environment.

    `port` 0 takes a free one; `hidden` is the host's `--hidden`. `AppNotRunning` holds the output when the
    app does not come up. The process is always ended: in order, or killed when that takes longer than the
    grace and a little.
    """
    keys = _keys() if auth else {}
    command = [str(runtime.python), "-m", "local.host", "--app", str(directory), "--port", str(port)]
    command += ["--grace", str(grace), "--until-input-ends", *(["--enable-auth"] if auth else [])]
    command += [] if hidden is None else ["--hidden", str(hidden)]
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with subprocess.Popen(
        command,
        cwd=directory,
        env=inherited | {"PYTHONPATH": str(runtime.path), "PYTHONUNBUFFERED": "1"} | keys | dict(settings),
        stdin=subprocess.PIPE,  # never written to: should we be killed, its end ends the host
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C is for the program that started it, which then ends it in order
    ) as process:
        app = RunningApp(process, keys)
        try:
            app.base_url = app.wait_for(rf"(?m)^{READY}(\S+)$", ready_within)[1]
            yield app
        finally:
            _end(app, grace + 10)


def _keys() -> dict[str, str]:
    return {name: secrets.token_urlsafe() for name in (HOST_KEY_VARIABLE, MASTER_KEY_VARIABLE)}


def _end(app: RunningApp, patience: float) -> None:
    try:
        app.terminate(patience)
    except subprocess.TimeoutExpired:
        app.kill()
