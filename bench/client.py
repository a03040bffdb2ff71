"""A client in a process of its own: so many callers post one body again and again for some seconds.

    python -m bench.client URL CALLERS SECONDS < body

It prints, as JSON, the seconds in all and those of each answer.
"""

import asyncio
import json
import sys
import time

import aiohttp


async def _post(session: aiohttp.ClientSession, url: str, body: bytes) -> float:
    begun = time.perf_counter()
    async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
        text = await answer.read()
        if answer.status != 200:
            raise SystemExit(f"{answer.status}: {text[:500]!r}")
    return time.perf_counter() - begun


async def _caller(session: aiohttp.ClientSession, url: str, body: bytes, end: float) -> list[float]:
    took = []
    while time.perf_counter() < end:
        took.append(await _post(session, url, body))
    return took


async def _run(url: str, callers: int, seconds: float, body: bytes) -> tuple[float, list[float]]:
    connector = aiohttp.TCPConnector(limit=callers)
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        await asyncio.gather(*(_post(session, url, body) for _ in range(callers)))  # connected and warm
        begun = time.perf_counter()
        end = begun + seconds
        took = await asyncio.gather(*(_caller(session, url, body, end) for _ in range(callers)))
        spent = time.perf_counter() - begun
    return spent, [each for some in took for each in some]


if __name__ == "__main__":
    url, callers, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    print(json.dumps(asyncio.run(_run(url, callers, seconds, sys.stdin.buffer.read()))))
