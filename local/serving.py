"""An aiohttp application served on loopback from a thread of its own, as every stand-in is.

with serving(app) as url:      # http://127.0.0.1:<a free port>
    requests.get(f"{url}/api/health")
"""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

LOOPBACK = "127.0.0.1"

# What is still running when the block ends gets this long, then is cut off.
SECONDS_TO_END = 1.0


@contextmanager
def serving(app: web.Application, port: int = 0) -> Iterator[str]:
    """Serve until the block ends and give the address; `port` 0 lets the system choose a free one.

    Raises:
        OSError: the port cannot be had.
    """
    opened: Future[_Opened] = Future()
    thread = threading.Thread(target=asyncio.run, args=(_serve(app, port, opened),), daemon=True)
    thread.start()
    server = opened.result()
    try:
        yield f"http://{LOOPBACK}:{server.port}"
    finally:
        server.loop.call_soon_threadsafe(server.stop.set)
        thread.join()


@dataclass(frozen=True)
class _Opened:
    port: int
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event


async def _serve(app: web.Application, port: int, opened: "Future[_Opened]") -> None:
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=SECONDS_TO_END)
    stop = asyncio.Event()
    try:
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, port).start()
    except Exception as error:  # noqa: BLE001  # whatever it is belongs to the thread that waits for the address
        await runner.cleanup()
        opened.set_exception(error)
        return
    opened.set_result(_Opened(runner.addresses[0][1], asyncio.get_running_loop(), stop))
    await stop.wait()
    # A connection accepted in this very moment is only attached to its server in the loop's next turn.
    await asyncio.sleep(0)
    await runner.cleanup()
