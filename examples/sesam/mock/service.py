"""A mock of the Function App for the CI node: POST …/score/churn, scores by a rule that never changes.

It keeps the app's form, so that a configuration that passes here fits the app: entities in, the same entities
in the same order with `churn:` scores out; deleted and filtered ones unscored; earlier scores replaced.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PREFIX = "churn:"


def scored(entity: dict[str, Any]) -> dict[str, Any]:
    """Score one entity: whoever has complained leaves."""
    if entity.get("_deleted") is True or entity.get("_filtered") is True:
        return entity
    kept = {name: value for name, value in entity.items() if not name.startswith(PREFIX)}
    complained = any(name.endswith(":Complaints") and value not in (0, None) for name, value in kept.items())
    scores = {"Scored-Labels": complained, "Scored-Probabilities": 0.75 if complained else 0.25}
    return kept | {PREFIX + name: score for name, score in scores.items()}


class Handler(BaseHTTPRequestHandler):
    """GET anything: alive. POST …/score/churn: entities."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # http.server asks for this name
        """Answer that the mock is alive."""
        self._answer(200, {"status": "mock"})

    def do_POST(self) -> None:  # likewise
        """Answer the entities with their scores."""
        body = self._body()
        if not self.path.endswith("/score/churn"):
            self._answer(404, {"detail": "the mock knows …/score/churn alone"})
            return
        try:
            entities = [scored(entity) for entity in json.loads(body)]
        except (ValueError, TypeError, AttributeError):
            self._answer(400, {"detail": "send an array of entities"})
            return
        self._answer(200, entities)

    def _body(self) -> bytes:
        """Read the body; Sesam sends it in chunks, without a length."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Tell nothing: entities are nobody's business."""


if __name__ == "__main__":
    host = os.environ.get("HOST", "0.0.0.0")  # noqa: S104  # in its container it must answer the node
    server = ThreadingHTTPServer((host, int(os.environ.get("PORT", "5000"))), Handler)
    print(f"ready: {server.server_port}", flush=True)  # noqa: T201  # its only words
    server.serve_forever()
