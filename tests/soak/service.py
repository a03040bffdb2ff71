"""A web service of moods: it scores as `world` says, or fails as services do.

with running_service() as service:       # in this process
    service.mood = "down"
python -m tests.soak.service             # in its own; POST /mood sets the mood
"""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
from aiohttp import web

from local.serving import serving
from tests.soak.world import POISONED_AGE, score

FINE = "fine"


@dataclass
class Service:
    """A running service: its address, its mood, and how many rows it has scored."""

    url: str = ""
    mood: str = FINE
    rows: int = 0
    requests: int = 0

    async def score(self, request: web.Request) -> web.Response:
        """Answer as the mood has it."""
        self.requests += 1
        rows = msgspec.json.decode(await request.read())["data"]
        if self.mood != FINE:
            return MOODS[self.mood]([score(*row) for row in rows])
        if any(row[0] == POISONED_AGE for row in rows):
            return web.json_response({"message": "ValueError in score.py"}, status=400)
        self.rows += len(rows)
        return _json([score(*row) for row in rows])

    async def set_mood(self, request: web.Request) -> web.Response:
        """Take the mood that is sent."""
        self.mood = await request.text()
        return web.Response()


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _cut(scores: object) -> web.Response:
    body = msgspec.json.encode(scores)
    return web.Response(body=body[: len(body) // 2], content_type="application/json")


# How a service fails that answers at all.
MOODS: Mapping[str, Callable[[list[dict[str, object]]], web.Response]] = {
    "being deployed": lambda _: web.Response(status=503),
    "throttling": lambda _: web.Response(status=429, headers={"Retry-After": "1"}),
    "raising": lambda _: web.Response(status=500, text="Traceback (most recent call last)"),
    "a login page": lambda _: web.Response(text="<html>sign in</html>", content_type="text/html"),
    "half an answer": _cut,
    "a row too few": lambda scores: _json(scores[1:]),
    "an unknown key": lambda _: web.Response(status=401),
}


@contextmanager
def running_service() -> Iterator[Service]:
    """Serve until the block ends."""
    service = Service()
    app = web.Application(client_max_size=100 * 1024 * 1024)
    app.add_routes([web.post("/score", service.score), web.post("/mood", service.set_mood)])
    with serving(app) as address:
        service.url = f"{address}/score"
        yield service


if __name__ == "__main__":
    logging.getLogger("aiohttp.server").disabled = True  # a client that is gone is what the toxics are for
    with running_service() as running:
        print(running.url, flush=True)  # noqa: T201  # how its starter learns the address
        sys.stdin.read()
