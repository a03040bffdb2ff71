"""A stand-in for a real-time endpoint of Azure ML designer (facts/azureml.md §3).

    with running_designer(columns, predict, key="…", input_name="input1") as service:
        requests.post(service.url, json={"Inputs": {"input1": [{…}]}, "GlobalParameters": {}}, …)

Real numbers in and out, the inputs echoed before the scores. Its errors are those that people meet: an input
of another name, columns that are not the schema's, a column without any value in a request, a row that a
module of the pipeline fails on. All are 400, without a word on which row.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from local.services.model import ColumnType
from local.serving import serving

OUTPUT = "WebServiceOutput0"

type Record = Mapping[str, object]
type Predict = Callable[[Record], tuple[str, float]]


class RefusedError(Exception):
    """A request that gets an error body with this message."""


@dataclass
class DesignerService:
    """A running endpoint: where it is, and what it has seen.

    `predict` gives label and probability of a row, and raises ValueError for one that it cannot score.
    """

    columns: Mapping[str, ColumnType]
    predict: Predict
    key: str
    input_name: str
    url: str = ""
    seen: list[bytes] = field(default_factory=list)

    async def score(self, request: web.Request) -> web.Response:
        """Answer a request, and note it."""
        body = await request.read()
        self.seen.append(body)
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.Response(status=401, text="")
        try:
            records = self._records(body)
            self._refuse_empty_columns(records)
            scored = [self._scored(record) for record in records]
        except RefusedError as refused:
            error = {"code": 400, "message": str(refused), "details": ""}
            return web.json_response({"error": error}, status=400)
        return web.json_response({"Results": {OUTPUT: scored}})

    def _records(self, body: bytes) -> Sequence[Record]:
        try:
            sent = json.loads(body)
            (name, records), *more = sent["Inputs"].items()
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RefusedError("Input Data Error. Input data are not in the expected format.") from None
        columns = self.columns.keys()
        fits = isinstance(records, list) and all(
            isinstance(record, dict) and record.keys() == columns for record in records
        )
        if name != self.input_name or more or not fits or "GlobalParameters" not in sent:
            raise RefusedError(
                "Input Data Error. Input data are inconsistent with schema.\n"
                f"Schema: {{'{self.input_name}': '1:Dataset'}}"
            )
        return [dict(record) for record in records]

    def _refuse_empty_columns(self, records: Sequence[Record]) -> None:
        """Refuse a column that holds nothing in the whole request: its type cannot be restored then."""
        for name, kind in self.columns.items():
            if kind in _PANDAS and records and all(record[name] is None for record in records):
                raise RefusedError(f"Cannot convert column of all missing values to {_PANDAS[kind]} type")

    def _scored(self, record: Record) -> Record:
        try:
            label, probability = self.predict(record)
        except ValueError:
            raise RefusedError("Failed to process the input: a module of the pipeline failed.") from None
        return {**record, "Scored Labels": label, "Scored Probabilities": probability}


_PANDAS: Mapping[ColumnType, str] = {"integer": "int64", "number": "float64", "boolean": "bool"}


@contextmanager
def running_designer(
    columns: Mapping[str, ColumnType], predict: Predict, *, key: str, input_name: str = "WebServiceInput0"
) -> Iterator[DesignerService]:
    """Serve until the block ends; `columns` are the schema of the input."""
    service = DesignerService(columns, predict, key, input_name)
    app = web.Application(client_max_size=100 * 1024 * 1024)
    app.add_routes([web.post("/score", service.score)])
    with serving(app) as address:
        service.url = f"{address}/score"
        yield service
