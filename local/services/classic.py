"""A stand-in for a request-response service of Azure ML Studio (classic) (facts/azureml.md §1).

    with running_classic(folder, key="…") as service:
        requests.post(service.url, json={"Inputs": {"input1": {"ColumnNames": […], "Values": […]}}, …}, …)

Table form and swagger form, every cell of the answer a text, types with `details=true` alone, dates
reformatted, the inputs echoed before the scores, throttling as 503. What the sources do not settle is chosen
here: an empty cell is answered as an empty text.
"""

import argparse
import asyncio
import json
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web

from local.services.model import (
    FILE_NAME,
    Cell,
    ColumnType,
    Model,
    UnreadableCellError,
    read_cell,
    read_moment,
)
from local.serving import serving

API_VERSION = "2.0"
WORKSPACE = "stand-in-workspace"
SERVICE = "stand-in-service"
INPUT = "input1"
OUTPUT = "output1"
LABELS = "Scored Labels"
PROBABILITIES = "Scored Probabilities"

# How many requests at once an endpoint takes before it throttles, unless its owner asks for more (§1.3).
CONCURRENCY = 20

COLUMN_TYPES: Mapping[ColumnType, str] = {
    "integer": "Int32",
    "number": "Double",
    "boolean": "Boolean",
    "date": "DateTime",
    "datetime": "DateTime",
    "string": "String",
}

type Row = Sequence[object]
type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RefusedError(Exception):
    """A request that gets an error body: status, class, code, and what is wrong."""

    def __init__(self, status: int, kind: str, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code

    def body(self) -> dict[str, object]:
        """Give the body as the real service shapes it (§1.3)."""
        detail = {"code": self.code, "target": "", "message": str(self)}
        return {"error": {"code": self.kind, "message": _OF_KIND[self.kind], "details": [detail]}}


_OF_KIND = {
    "BadArgument": "Invalid argument provided.",
    "Unauthorized": "Unauthorized",
    "NotFound": "The resource was not found.",
    "ServiceUnavailable": "The service is temporarily unavailable.",
    "InitializingContainers": "The service is starting.",
}


@dataclass
class ClassicService:
    """A running service: where it is, what it has done, and what a test may have it do.

    `url` asks for details, as the app does by default. `parameters`: the global parameters it knows, with
    their defaults; None makes one required. `demand_label`: the label is among the inputs, as in services
    whose input sits before the column is dropped; its value does not matter. `throttle_next`: so many
    requests are refused as throttled. `answer_after`: before so many have come, none is answered, only
    refused.
    """

    folder: Path
    key: str
    parameters: Mapping[str, str | None] = field(default_factory=dict)
    demand_label: bool = False
    url: str = ""
    throttle_next: int = 0
    answer_after: int = 0
    requests: int = 0
    rows: int = 0
    _at_once: int = 0
    _judged: int = 0
    _enough: asyncio.Event = field(default_factory=asyncio.Event)
    _loaded: tuple[int, Model] | None = None

    async def execute(self, request: web.Request) -> web.Response:
        """Answer a request, and count it."""
        self.requests += 1
        self._at_once += 1
        try:
            return web.json_response(await self._answer(request))
        except RefusedError as refused:
            return web.json_response(refused.body(), status=refused.status)
        finally:
            self._at_once -= 1

    async def _answer(self, request: web.Request) -> dict[str, object]:
        body = await request.read()
        try:
            self._admit(request)
        finally:
            self._judged += 1
            if self._judged >= self.answer_after:
                self._enough.set()
        await self._enough.wait()
        document = _document(body)
        self._check_parameters(document.get("GlobalParameters"))
        model = self._model()
        schema = {**model.columns, model.label: "string"} if self.demand_label else model.columns
        swagger = request.query.get("format") == "swagger"
        rows = _rows(document.get("Inputs"), schema, swagger=swagger)
        scores = model.predict([_read(row, schema) for row in rows]) if rows else []
        self.rows += len(rows)
        types: list[ColumnType] = [*schema.values(), model.label_type, "number"]
        values = [
            [_echo(cell, type_) for cell, type_ in zip([*row, *score], types, strict=True)]
            for row, score in zip(rows, scores, strict=True)
        ]
        names = [*schema, LABELS, PROBABILITIES]
        if swagger:
            return {"Results": {OUTPUT: [dict(zip(names, row, strict=True)) for row in values]}}
        value: dict[str, object] = {"ColumnNames": names, "Values": values}
        if request.query.get("details") == "true":
            value["ColumnTypes"] = [COLUMN_TYPES[type_] for type_ in types]
        return {"Results": {OUTPUT: {"type": "table", "value": value}}}

    def _admit(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or key != self.key:
            raise RefusedError(
                401, "Unauthorized", "ScoreRequestUnauthorized", "Invalid credentials provided."
            )
        if (request.match_info["workspace"], request.match_info["service"]) != (WORKSPACE, SERVICE):
            raise RefusedError(404, "NotFound", "WebServiceNotFound", "There is no such web service.")
        if request.query.get("api-version") != API_VERSION:
            raise RefusedError(400, "BadArgument", "BadVersionCall", "The api-version is missing or unknown.")
        if request.content_type != "application/json":
            raise RefusedError(400, "BadArgument", "RequestBodyInvalid", "The content type is not JSON.")
        if self.throttle_next or self._at_once > CONCURRENCY:
            self.throttle_next = max(0, self.throttle_next - 1)
            raise RefusedError(
                503, "ServiceUnavailable", "RequestThrottled", f"The maximum concurrency is {CONCURRENCY}."
            )

    def _check_parameters(self, given: object) -> None:
        given = {} if given is None else given
        if not isinstance(given, dict):
            raise RefusedError(400, "BadArgument", "RequestBodyInvalid", "GlobalParameters is no object.")
        unknown = given.keys() - self.parameters.keys()
        if unknown:
            raise RefusedError(400, "BadArgument", "UnexpectedParameter", f"Unexpected: {min(unknown)}.")
        missing = {name for name, default in self.parameters.items() if default is None} - given.keys()
        if missing:
            raise RefusedError(
                400, "BadArgument", "MissingRequiredGlobalParameters", f"Missing: {min(missing)}."
            )

    def _model(self) -> Model:
        """Give the model in the folder, loaded again when it has changed."""
        try:
            changed = (self.folder / FILE_NAME).stat().st_mtime_ns
            if self._loaded is None or self._loaded[0] != changed:
                self._loaded = changed, Model.load(self.folder)
        except FileNotFoundError:
            raise RefusedError(
                503, "InitializingContainers", "InitializingContainers", "No model has been trained yet."
            ) from None
        return self._loaded[1]


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise RefusedError(400, "BadArgument", "RequestBodyInvalid", "The body is no JSON object.")
    return document


def _rows(inputs: object, schema: Mapping[str, ColumnType], *, swagger: bool) -> list[Row]:
    """Give the rows of a request in the schema's order; columns are found by their names."""
    if not isinstance(inputs, dict) or list(inputs) != [INPUT]:
        raise RefusedError(400, "BadArgument", "InvalidInputNames", f"The only input is named {INPUT}.")
    given = inputs[INPUT]
    tables = _objects(given) if swagger else _table(given)
    if any(names.keys() != schema.keys() for names in tables):
        raise _unparsed("the columns are not those of the input schema")
    return [[row[name] for name in schema] for row in tables]


def _table(given: object) -> list[dict[str, object]]:
    match given:
        case {"ColumnNames": list(names), "Values": list(rows)} if all(isinstance(row, list) for row in rows):
            if any(len(row) != len(names) for row in rows):
                raise _unparsed("a row has another number of columns than ColumnNames")
            return [dict(zip(names, row, strict=True)) for row in rows]
    raise _unparsed("an input has ColumnNames and Values")


def _objects(given: object) -> list[dict[str, object]]:
    if isinstance(given, list) and all(isinstance(row, dict) for row in given):
        return given
    raise _unparsed("an input is a list of objects")


def _read(row: Row, schema: Mapping[str, ColumnType]) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    for value, (name, type_) in zip(row, schema.items(), strict=True):
        try:
            if isinstance(value, list | dict):
                raise UnreadableCellError(f"is no {type_}")
            cells[name] = read_cell(value, type_)
        except UnreadableCellError as error:
            raise _unparsed(f"a cell of {name} {error}") from None
    return cells


def _unparsed(what: str) -> RefusedError:
    return RefusedError(
        400,
        "BadArgument",
        "InputParseError",
        "Parsing of input vector failed. Verify the input vector has the correct number of columns and "
        f"data types. Additional details: {what}.",
    )


def _echo(value: object, type_: ColumnType) -> str:
    """Write a cell of the answer as .NET did: booleans capitalised, dates in the American way (§1.2)."""
    if value is None or value == "":
        return ""
    text = value if isinstance(value, str) else str(value)
    match type_:
        case "boolean":
            return "True" if read_cell(text, "boolean") else "False"
        case "number":
            return f"{float(text):.15g}"
        case "date" | "datetime":
            moment = read_moment(text)
            day = f"{moment.month}/{moment.day}/{moment.year}"
            return f"{day} {moment.hour % 12 or 12}:{moment:%M:%S %p}"
    return text


async def _refuse_unmeasured(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method == "POST" and "Content-Length" not in request.headers:
        return web.Response(status=HTTPStatus.LENGTH_REQUIRED, text="Length Required")
    return await handler(request)


@contextmanager
def running_classic(
    folder: Path,
    *,
    key: str,
    parameters: Mapping[str, str | None] | None = None,
    demand_label: bool = False,
    port: int = 0,
) -> Iterator[ClassicService]:
    """Serve the model that lies in a folder, now or later, until the block ends.

    Raises:
        OSError: the port cannot be had.
    """
    service = ClassicService(folder, key, parameters or {}, demand_label)
    app = web.Application(middlewares=[web.middleware(_refuse_unmeasured)], client_max_size=100 * 1024 * 1024)
    app.add_routes([web.post("/workspaces/{workspace}/services/{service}/execute", service.execute)])
    with serving(app, port) as address:
        path = f"/workspaces/{WORKSPACE}/services/{SERVICE}/execute"
        service.url = f"{address}{path}?api-version={API_VERSION}&details=true"
        yield service


def main() -> int:
    """Serve until Ctrl-C; 0, or 2 after one line that says why not."""
    parser = argparse.ArgumentParser(prog="python -m local.services.classic")
    parser.add_argument("--model", type=Path, required=True, help="the folder that local.train saves to")
    parser.add_argument("--key", required=True, help="what callers send as Bearer")
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose")
    given = parser.parse_args()
    try:
        with running_classic(given.model, key=given.key, port=given.port) as service:
            print(f"The stand-in web service answers at {service.url}\nCtrl-C ends it.", flush=True)
            threading.Event().wait()
    except OSError as error:
        print(
            f"Port {given.port} cannot be had: {error.strerror}. Choose another by --port.", file=sys.stderr
        )
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
