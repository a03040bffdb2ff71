"""What a managed online endpoint puts in front of a model's server (facts/azureml.md §2).

    with running_front("http://127.0.0.1:5001/score", key="…") as front:
        requests.post(front.url, …, headers={"Authorization": f"Bearer {front.key}"})

The key is checked. An answer of the model that is not 200 becomes 424, its own status and the reason in
headers, its body untouched. More requests at once than the endpoint takes are 429, a slow model is 408. The
headers are those recorded from a real endpoint.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import aiohttp
from aiohttp import web

from local.serving import serving

DEPLOYMENT = "default"
MODEL_STATUS = "ms-azureml-model-error-statuscode"
MODEL_REASON = "ms-azureml-model-error-reason"

# A request that is over twice the deployment's own limit is refused; one is the platform's default (§2).
MOST_AT_ONCE = 2
# The default of request_timeout_ms.
TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Exchange:
    """A request that the front has taken, and what it answered."""

    headers: Mapping[str, str]
    sent: bytes
    status: int
    answered: bytes


@dataclass
class Front:
    """A running endpoint: where it is, its key, and what it has seen."""

    model_url: str
    key: str
    most_at_once: int = MOST_AT_ONCE
    timeout_s: float = TIMEOUT_S
    url: str = ""
    seen: list[Exchange] = field(default_factory=list)
    _at_once: int = 0

    async def score(self, request: web.Request) -> web.Response:
        """Answer a request, and note it."""
        sent = await request.read()
        answer = await self._admitted(request, sent)
        answer.headers["server"] = "azureml-frontdoor"
        answer.headers["x-request-id"] = str(uuid4())
        answer.headers["azureml-model-session"] = DEPLOYMENT
        body = answer.body
        self.seen.append(
            Exchange(dict(request.headers), sent, answer.status, body if isinstance(body, bytes) else b"")
        )
        return answer

    async def _admitted(self, request: web.Request, sent: bytes) -> web.Response:
        if request.headers.get("Authorization", "").partition(" ")[2] != self.key:
            return web.Response(status=401, text="key_auth_access_denied")
        if request.headers.get("azureml-model-deployment", DEPLOYMENT) != DEPLOYMENT:
            return web.Response(status=404, text="Specified traffic group could not be found")
        if self._at_once >= self.most_at_once:
            return _failed(429, 429, "too_many_pending_request", b"", "text/plain")
        self._at_once += 1
        try:
            return await self._passed_on(request, sent)
        except TimeoutError:
            return web.Response(status=408, text="")
        except aiohttp.ClientConnectionError:
            return _failed(424, 503, "model_not_ready", b"", "text/plain")
        finally:
            self._at_once -= 1

    async def _passed_on(self, request: web.Request, sent: bytes) -> web.Response:
        passed = {k: v for k, v in request.headers.items() if k.lower() in _PASSED_ON}
        timeout = aiohttp.ClientTimeout(total=self.timeout_s)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(self.model_url, data=sent, headers=passed) as model,
        ):
            body = await model.read()
            kind = model.headers.get("content-type", "")
            if model.status != 200:
                answer = _failed(424, model.status, "model_error", body, kind)
            else:
                answer = web.Response(body=body, headers={"content-type": kind})
            answer.headers["azureml-model-deployment"] = DEPLOYMENT
            answer.headers.update({k: v for k, v in model.headers.items() if k.lower().startswith("x-ms-")})
            return answer


# What a client sets beyond these is the platform's business, its key above all.
_PASSED_ON = ("content-type", "content-encoding", "accept", "x-ms-client-request-id")


def _failed(status: int, model_status: int, reason: str, body: bytes, kind: str) -> web.Response:
    return web.Response(
        status=status,
        body=body,
        headers={"content-type": kind, MODEL_STATUS: str(model_status), MODEL_REASON: reason},
    )


@contextmanager
def running_front(
    model_url: str, *, key: str, most_at_once: int = MOST_AT_ONCE, timeout_s: float = TIMEOUT_S
) -> Iterator[Front]:
    """Stand before a model's server until the block ends."""
    front = Front(model_url, key, most_at_once, timeout_s)
    app = web.Application(client_max_size=100 * 1024 * 1024)
    app.add_routes([web.post("/{path:.*}", front.score)])
    with serving(app) as address:
        front.url = f"{address}/score"
        yield front
