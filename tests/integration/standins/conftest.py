"""A node with a few hundred customers, a target for its scoring pipe that does as it is told, and a version.

The version is of the shape of design §6, published here by hand: the app's own publishing has its own tests.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from local import customers
from local.node import Node, running_node
from local.serving import serving
from local.train import train

FEW = 250
KEY = "the-function-key"
VERSION = "20261123T020000Z-0a1b2c3d"

TYPES = {
    "_id": "integer",
    "BirthDate": "date",
    "CustomerSince": "date",
    "Tenure": "integer",
    "Complaints": "integer",
    "Newsletter": "boolean",
    "MonthlySpend": "number",
    "Income": "number",
    "Satisfaction": "number",
    "LastOrder": "datetime",
    "LastLogin": "datetime",
    "ChurnFlag": "boolean",
}

type Entities = list[dict[str, Any]]
type Answer = tuple[int, object]


def scored(entities: Entities) -> Answer:
    """Give every entity back with scores."""
    scores = {"churn:Scored-Labels": True, "churn:Scored-Probabilities": 0.87}
    return 200, [entity | scores for entity in entities]


@dataclass
class Target:
    """Where the scoring pipe posts to. `answer` decides; a body that is bytes is sent as it is."""

    answer: Callable[[Entities], Answer] = scored
    url: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)
    batches: list[Entities] = field(default_factory=list)

    async def score(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        entities = json.loads(await request.read())
        self.batches.append(entities)
        status, body = self.answer(entities)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(status=status, body=data, content_type="application/json")


@pytest.fixture
def target() -> Iterator[Target]:
    target = Target()
    app = web.Application(client_max_size=10**8)
    app.add_routes([web.post("/api/score/churn", target.score)])
    with serving(app) as target.url:
        yield target


@pytest.fixture(scope="session")
def few_customers() -> dict[str, list[customers.Entity]]:
    return customers.datasets(FEW)


@pytest.fixture
def node(target: Target, few_customers: dict[str, list[customers.Entity]]) -> Iterator[Node]:
    with running_node(
        few_customers,
        environment={"azure-ml-app-url": target.url, "azure-ml-system": "azure-ml-churn"},
        secrets={"azure-ml-function-key": KEY},
    ) as node:
        yield node


@pytest.fixture(scope="session")
def version() -> dict[str, bytes]:
    """The blobs of one published version of 1,000 customers."""
    with running_node(customers.datasets(1000)) as node:
        pipe = node.pipe("customers-training-csv")
        data = b"".join(node.publish(pipe))
        rows = sum(not entity["_deleted"] for entity in node.entities("customers-global"))
    names = pipe["sink"]["columns"]
    manifest = {
        "rows": rows,
        "sha256": hashlib.sha256(data).hexdigest(),
        "columns": [{"name": name, "type": TYPES.get(name, "string")} for name in names],
    }
    return {
        "latest/customers.json": json.dumps({"version": VERSION, "pinned": False}).encode(),
        f"manifests/customers/{VERSION}.json": json.dumps(manifest).encode(),
        f"snapshots/customers/{VERSION}/data.csv": data,
    }


@pytest.fixture(scope="session")
def model_folder(version: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model trained on that version."""
    folder = tmp_path_factory.mktemp("model")
    train(version.__getitem__, "customers", label="ChurnFlag", folder=folder)
    return folder
