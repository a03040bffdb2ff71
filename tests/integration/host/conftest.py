"""Small apps of the tests' own, each served by a host in a process of its own."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import pytest

from local.host.process import RunningApp, running_app

HEAD = """
import asyncio, logging, os, pathlib, time
import azure.functions as func
from azurefunctions.extensions.http.fastapi import JSONResponse, Request, Response, StreamingResponse

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
"""


class Serve(Protocol):
    """Writes an app and serves it: `source` follows HEAD, `host` is added to host.json."""

    def __call__(
        self,
        source: str,
        *,
        host: dict[str, object] | None = None,
        settings: dict[str, str] | None = None,
        auth: bool = False,
        grace: float = 10,
    ) -> AbstractContextManager[RunningApp]: ...


@pytest.fixture(scope="session")
def write_app(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write an app into a fresh directory."""

    def write(source: str, host: dict[str, object] | None = None) -> Path:
        directory = tmp_path_factory.mktemp("app")
        (directory / "host.json").write_text(json.dumps({"version": "2.0"} | (host or {})))
        (directory / "function_app.py").write_text(source)
        return directory

    return write


@pytest.fixture(scope="session")
def serve(write_app: Callable[..., Path]) -> Serve:
    """Serve an app of the test's own."""

    def serve(
        source: str,
        *,
        host: dict[str, object] | None = None,
        settings: dict[str, str] | None = None,
        auth: bool = False,
        grace: float = 10,
    ) -> AbstractContextManager[RunningApp]:
        return running_app(write_app(HEAD + source, host), settings=settings or {}, auth=auth, grace=grace)

    return serve
