"""The whole road of a call, on a real server or a stand-in: entities → contract → dialect → socket → scores.

with open_roads(folder) as roads:
    told = roads["automl"].score([{…}])     # Told(status, answer, bodies sent)
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from pydantic import SecretStr

from contract.contract import Column, Contract
from contract.features import Encoder
from errors import Failure
from local.services.classic import RefusedError, running_classic
from local.services.designer import Record, running_designer
from local.services.front import Front
from local.services.model import Cell, ColumnType, Model
from scoring import batch
from scoring.deadline import Deadline
from scoring.dialects import Row
from scoring.endpoint import Endpoint
from scoring.identity import identity_of
from scoring.models import encoder_of, payload_of
from scoring.retries import Sender
from scoring.rows import RowRefused, RowScorer, Scores
from scoring.verdicts import Outcome
from sections import LimitSettings, ModelSettings
from tests.servers.running import KEY, running_servers

PREFIX = "churn:"
CONTRACT = Contract(
    schema_version=1,
    label="Churn",
    columns=(
        Column(name="Age", type="integer"),
        Column(name="City", type="string", nullable=True),
        Column(name="Income", type="number", nullable=True),
        Column(name="Member", type="boolean", spelling="True"),
        Column(name="Since", type="datetime"),
        Column(name="Account", type="integer"),
    ),
)
SCHEMA: Mapping[str, ColumnType] = {column.name: column.type for column in CONTRACT.columns}
RISKS: Mapping[object, float] = {"Oslo": 0.1, "Bergen": 0.2, "Tromsø": 0.3, None: 0.15}


class Told(NamedTuple):
    """What came of a call: status and decoded answer, and the bodies that went out, in order."""

    status: int
    answer: Any
    sent: list[bytes]


class Road:
    """One configured model, its wire watched."""

    def __init__(self, settings: ModelSettings) -> None:
        self.settings = settings
        self.wire = WatchedWire(Endpoint("churn", settings, identity_of(settings), answer_bytes=10_000_000))
        self._rows = RowScorer(Sender(self.wire, attempts=4, rest=_no_rest), settings)
        encoder = encoder_of(settings, PREFIX, CONTRACT)
        self._payload = payload_of(settings, PREFIX, encoder)
        self._model = batch.Model(
            name="churn",
            settings=settings,
            prefix=PREFIX,
            limits=LimitSettings(),
            adopted=lambda _: None,
            encoder=lambda _: encoder,
            send=self._send,
            left_alone_for=lambda: 0.0,
            threads=ThreadPoolExecutor(1),
        )

    def score(self, entities: Sequence[Mapping[str, object]]) -> Told:
        """Score as the route does."""
        self.wire.bodies.clear()
        body = msgspec.json.encode(entities)
        try:
            answer = batch.score(body, self._model, Deadline.after(60))
        except Failure as failure:
            return Told(failure.status, failure.problem("-"), list(self.wire.bodies))
        return Told(200, msgspec.json.decode(answer.body), list(self.wire.bodies))

    def close(self) -> None:
        """Give the connections and threads back."""
        self._rows.close()
        self.wire.close()

    def _send(self, encoder: Encoder, rows: Sequence[Row], deadline: Deadline) -> list[Scores | RowRefused]:
        del encoder  # there is one
        return self._rows.score(rows, self._payload, deadline)


class WatchedWire:
    """An endpoint whose bodies are kept."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.model = endpoint.model
        self.whom = endpoint.whom
        self.bodies: list[bytes] = []
        self.close = endpoint.close
        self._endpoint = endpoint

    @property
    def renewable(self) -> bool:
        return self._endpoint.renewable

    @property
    def kept(self) -> bool:
        return self._endpoint.kept

    def post(
        self, body: bytes, deadline: Deadline, request_id: str, *, fresh: bool = False, kept: bool = False
    ) -> Outcome:
        self.bodies.append(body)
        return self._endpoint.post(body, deadline, request_id, fresh=fresh, kept=kept)


# Parcels go one after the other, so that the number of requests is the same every time.
COMMON = {"on_bad_entity": "mark", "decimals": 3, "parallel": 1}


def model_settings(url: str, dialect: str, **given: object) -> ModelSettings:
    """Give the settings of a model at this address."""
    fixed = {"url": url, "dialect": dialect, "key": SecretStr(KEY), "contract": "customers"}
    return ModelSettings.model_validate({**fixed, **COMMON, **given})


# The models of the servers were trained on naive times, as most are.
NAIVE = {"datetimes": "naive"}

# Where each dialect is served, and what its model's settings say beyond the defaults.
SERVED: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "automl": ("automl", NAIVE),
    "automl-v1": ("automl-v1", NAIVE),
    "mlflow": ("mlflow", NAIVE),
    "mlflow-server": ("mlflow-server", NAIVE),
    "score-script": ("plain", {}),
}


@contextmanager
def open_roads(folder: Path) -> Iterator[tuple[Mapping[str, Road], Mapping[str, Front]]]:
    """Open a road to every dialect, and give the servers' fronts for roads of other settings."""
    with ExitStack() as stack:
        fronts = stack.enter_context(running_servers(folder))
        roads = {
            dialect: Road(model_settings(fronts[name].url, dialect, **given))
            for dialect, (name, given) in SERVED.items()
        }
        designer = stack.enter_context(running_designer(SCHEMA, predict, key=KEY))
        roads["designer"] = Road(model_settings(designer.url, "designer"))
        classic_model().save(folder / "classic")
        classic = stack.enter_context(running_classic(folder / "classic", key=KEY))
        roads["classic"] = Road(model_settings(classic.url, "classic"))
        swagger = classic.url.replace("details=true", "format=swagger")
        roads["classic-swagger"] = Road(model_settings(swagger, "classic-swagger"))
        for road in roads.values():
            stack.callback(road.close)
        yield roads, fronts


def predict(record: Record) -> tuple[str, float]:
    """Score a row as the plain script does; a city that nobody knows is a ValueError."""
    city = record["City"]
    if city not in RISKS:
        raise ValueError("an unknown city")
    probability = RISKS[city] + float(str(record["Age"])) / 100
    return ("yes" if probability > 0.5 else "no"), probability


class PickyModel(Model):
    """The model of the classic stand-in: it refuses an unknown city as a module of Studio does (§1.3)."""

    def predict(self, rows: Sequence[Mapping[str, Cell]]) -> list[tuple[str, float]]:
        """Score rows."""
        try:
            return [predict(row) for row in rows]
        except ValueError:
            raise RefusedError(400, "BadArgument", "ModuleExecutionError", "A module failed.") from None


def classic_model() -> Model:
    """Give the classic stand-in's model; it has no pipeline."""
    return PickyModel(
        columns=SCHEMA,
        used=("Age", "City"),
        label="Churn",
        label_type="string",
        export="customers",
        version="none",
        pipeline=None,
    )


def _no_rest(seconds: float, over: threading.Event) -> None:
    del seconds, over
