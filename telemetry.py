"""What the app tells its operator: one structured log line a batch and a run, counts and ids only.

The Functions host forwards the standard library's logging; so a line is a message and, behind it, one JSON
object of fields that Log Analytics can parse. No entity, key, token or URL query ever is among them.
"""

import logging
from typing import Any

import msgspec

log = logging.getLogger("sesam-azureml")


def tell(event: str, **fields: Any) -> None:
    """Log an event, such as `batch` or `run`, with its fields."""
    log.info("%s %s", event, msgspec.json.encode(fields).decode())


def warn(event: str, **fields: Any) -> None:
    """Log an event that somebody should look at."""
    log.warning("%s %s", event, msgspec.json.encode(fields).decode())
