"""Work at the end of a process: when it ends by itself, and by SIGTERM under the engine's own server."""

import signal
import subprocess
import sys

import pytest

from local.bootstrap import ROOT

BY_ITSELF = """
from scoring.ending import at_the_end
at_the_end(lambda: print("last word", flush=True))
print("over", flush=True)
"""

# As in the engine: handlers are taken when the app is loaded, the server starts after that.
UNDER_A_SERVER = """
import asyncio, os, signal, uvicorn
from scoring.ending import at_the_end

at_the_end(lambda: print("last word", flush=True))

async def app(scope, receive, send):
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.2)
    print("the call is over", flush=True)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answered"})

async def main():
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="critical"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
    assert b"answered" in await reader.read()
    await serving

asyncio.run(main())
"""

ALONE = """
import os, signal
from scoring.ending import at_the_end
%s
at_the_end(lambda: print("last word", flush=True))
os.kill(os.getpid(), signal.SIGTERM)
print("lives on", flush=True)
"""


def run(program: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.splitlines()


def test_a_process_that_ends_by_itself_has_its_last_word() -> None:
    assert run(BY_ITSELF) == (0, ["over", "last word"])


@pytest.mark.fault(27)
def test_sigterm_lets_the_running_call_finish_then_comes_the_last_word() -> None:
    assert run(UNDER_A_SERVER) == (-signal.SIGTERM, ["the call is over", "last word"])


@pytest.mark.parametrize(
    ("before", "ended", "said"),
    [
        ("", -signal.SIGTERM, ["last word"]),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", 0, ["last word", "lives on", "last word"]),
        (
            "signal.signal(signal.SIGTERM, lambda number, frame: print('their own', flush=True))",
            0,
            ["last word", "their own", "lives on", "last word"],
        ),
    ],
    ids=["default", "ignored", "a handler"],
)
def test_what_was_to_happen_at_sigterm_still_happens(before: str, ended: int, said: list[str]) -> None:
    assert run(ALONE % before) == (ended, said)


def test_beside_the_main_thread_the_end_by_itself_is_left() -> None:
    program = (
        f"import threading\nt = threading.Thread(target=exec, args=({BY_ITSELF!r},))\nt.start(); t.join()"
    )
    assert run(program) == (0, ["over", "last word"])
