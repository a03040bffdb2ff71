"""A web service in a process of its own: 20 ms a request and 0.2 ms a row, then a number for each row.

python -m bench.service        # prints its address
"""

import asyncio

import msgspec
from aiohttp import web

FIXED_S, ROW_S = 0.020, 0.0002


class _Body(msgspec.Struct):
    data: list[msgspec.Raw]


_read = msgspec.json.Decoder(_Body).decode


def pause_s(rows: int) -> float:
    """Say how long it takes to score so many rows."""
    return FIXED_S + ROW_S * rows


async def _score(request: web.Request) -> web.Response:
    rows = len(_read(await request.read()).data)
    await asyncio.sleep(pause_s(rows))
    return web.Response(body=msgspec.json.encode([0.5] * rows), content_type="application/json")


async def _serve() -> None:
    app = web.Application(client_max_size=100_000_000)
    app.add_routes([web.post("/score", _score)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/score", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
