"""A stand-in Sesam node, as facts/sesam.md describes the real one, which cannot be had for tests.

    with running_node({"crm-customer": entities}, environment={...}, secrets={...}) as node:
        requests.get(f"{node.url}/api/publishers/customers-training-csv/csv", headers=...)
        run = node.run_pipe("customer-churn-scoring")

It runs the very files of `examples/sesam`. `server` its routes, `pump` the runs, `reader` how it reads a
reply, `dtl` the transforms, `datasets` versions and merge, `publisher` the CSV, `transit` values and wire.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.node.configuration import SAMPLES, load
from local.node.node import Node
from local.node.pump import FailedEntity, Run
from local.node.server import application
from local.serving import serving

__all__ = ["FailedEntity", "Node", "Run", "running_node"]


@contextmanager
def running_node(
    datasets: Mapping[str, Iterable[Mapping[str, Any]]],
    *,
    environment: Mapping[str, object] | None = None,
    microservices: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    folder: Path = SAMPLES,
    port: int = 0,
) -> Iterator[Node]:
    """Run a node until the block ends, its datasets filled and merged.

    `environment` and `secrets` are asked for only when a pipe that uses them runs. `microservices` are the
    addresses of those that a real node would start from their images.

    Raises:
        ConfigurationError: the configuration in `folder` is not sound.
        OSError: the port cannot be had.
    """
    node = Node(load(folder), environment or {}, secrets or {})
    node.microservices |= microservices or {}
    for name, entities in datasets.items():
        node.load(name, entities)
    node.run_internal_pipes()
    with serving(application(node), port) as url:
        node.url = url
        yield node
