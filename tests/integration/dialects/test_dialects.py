"""Every dialect against the real server where there is one, else its stand-in (issue 3, real parts).

One file, as its servers are started once: pytest-xdist gives a file to one worker.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
import requests

from local.services.designer import running_designer
from local.services.front import Front, running_front
from scoring.dialects import Options, Row, SentColumn, dialect_of
from tests.integration.dialects.road import (
    NAIVE,
    PREFIX,
    SCHEMA,
    Road,
    Told,
    model_settings,
    open_roads,
    predict,
)
from tests.integration.dialects.table import (
    CASES,
    DIALECTS,
    PAGE,
    PLAIN,
    first_row,
    page_with,
    results,
    scores,
)
from tests.servers.running import KEY

AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
COLUMNS = tuple(SentColumn(name, kind) for name, kind in SCHEMA.items())
ROW: Row = [30, "Oslo", 7.5, True, "2020-01-31T23:59:59", 2**53 + 1]
UNKNOWN_CITY = {**PLAIN, "City": "Nowhere"}


class World(NamedTuple):
    """All servers, and what every case of the table came to."""

    fronts: Mapping[str, Front]
    roads: Mapping[str, Road]
    told: Mapping[str, Mapping[str, Told]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_roads(tmp_path_factory.mktemp("servers")) as (roads, fronts):
        yield World(fronts, roads, results(roads))


@pytest.fixture
def road(world: World, request: pytest.FixtureRequest) -> Iterator[Road]:
    """A road to one server with settings of its own: (server, dialect, settings)."""
    server, dialect, given = request.param
    opened = Road(model_settings(world.fronts[server].url, dialect, **given))
    yield opened
    opened.close()


def by_road(server: str, dialect: str, **given: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("road", [(server, dialect, given)], indirect=True, ids=[dialect])


class TestTheTable:
    @pytest.mark.parametrize("dialect", DIALECTS)
    @pytest.mark.parametrize("name", CASES)
    @pytest.mark.statement("azureml-1", "azureml-2", "azureml-3", "azureml-9", "azureml-10", "azureml-12")
    @pytest.mark.statement("sesam-2", "sesam-7", "sesam-8", "sesam-10", "sesam-11", "sesam-14")
    def test_what_is_sent_is_the_entity_and_nothing_else(self, world: World, dialect: str, name: str) -> None:
        told, case = world.told[dialect][name], CASES[name]
        if case.row is None:
            assert not told.sent
            return
        assert as_values(first_row(told.sent[0])) == as_strings(case.row, dialect)

    @pytest.mark.parametrize("dialect", DIALECTS)
    def test_every_entity_comes_back_scored_or_marked_and_no_failure_is_ours(
        self, world: World, dialect: str
    ) -> None:
        for name, told in world.told[dialect].items():
            case = CASES[name]
            if name == "all bad":
                assert told.status == 502
                continue
            assert told.status == 200, (name, told.answer)
            assert [entity["_id"] for entity in told.answer] == [entity["_id"] for entity in case.entities]
            kept = [{k: v for k, v in e.items() if not k.startswith(PREFIX)} for e in told.answer]
            assert kept == case.entities
            assert all(scores(entity) for entity in told.answer)

    @pytest.mark.parametrize("dialect", DIALECTS)
    @pytest.mark.statement("azureml-34", "azureml-35", "sesam-25")
    def test_one_bad_row_of_many_is_found_and_the_others_are_scored(self, world: World, dialect: str) -> None:
        told = world.told[dialect]["one bad row of 100"]
        marked = [entity["_id"] for entity in told.answer if f"{PREFIX}error" in entity]
        assert marked == ["57"]
        assert len(told.sent) <= 2 + 2 * 7
        told = world.told[dialect]["one bad row of 1,000"]
        assert [entity["_id"] for entity in told.answer if f"{PREFIX}error" in entity] == ["617"]
        assert len(told.answer) == 1000
        assert len(told.sent) <= 2 + 2 * 10

    def test_the_page_shows_what_this_run_has_seen(self, world: World) -> None:
        assert PAGE.read_text() == page_with(world.told), (
            f"{PAGE.name} is stale: python -m tests.integration.dialects.table writes it anew"
        )


def as_values(row: object) -> list[object]:
    return list(row.values()) if isinstance(row, dict) else list(row)  # type: ignore[call-overload]  # else a list


def as_strings(row: Mapping[str, object], dialect: str) -> list[object]:
    """Give the row in the dialect's own form."""
    values = list(row.values())
    if dialect in ("automl", "automl-v1", "mlflow", "mlflow-server"):
        return [value.removesuffix("Z") if isinstance(value, str) else value for value in values]
    if dialect.startswith("classic"):
        return [value if value is None else str(value) for value in values]
    return values


class TestMLflow:
    @by_road("mlflow-unsigned", "mlflow", **NAIVE)
    @pytest.mark.statement("azureml-4")
    def test_a_model_without_signature_scores_because_the_index_is_sent(self, road: Road) -> None:
        older = {**PLAIN, "_id": "2", "Age": 59, "Income": 39_000}
        assert [scores(entity) for entity in road.score([PLAIN, older]).answer] == [
            {f"{PREFIX}prediction": "no"},
            {f"{PREFIX}prediction": "yes"},
        ]

    @pytest.mark.statement("azureml-4")
    def test_the_same_model_fails_where_it_is_not(self, world: World) -> None:
        front = world.fronts["mlflow-unsigned"]
        body = json.loads(dialect_of("mlflow", Options()).request(COLUMNS, [ROW]))
        assert requests.post(front.url, json=body, headers=AUTHORIZED).status_code == 200
        del body["input_data"]["index"]
        assert requests.post(front.url, json=body, headers=AUTHORIZED).status_code == 424

    @by_road("mlflow", "mlflow")
    @pytest.mark.statement("azureml-9")
    def test_a_model_of_naive_times_refuses_z_rather_than_misread_it(self, road: Road) -> None:
        assert road.score([PLAIN]).status == 502

    @by_road("mlflow-server", "mlflow-server", **NAIVE)
    @pytest.mark.statement("azureml-42")
    def test_the_rows_and_stack_traces_in_mlflow_s_errors_go_nowhere(self, world: World, road: Road) -> None:
        told = road.score([PLAIN, UNKNOWN_CITY])
        said = json.dumps(told.answer[1][f"{PREFIX}error"])
        server_said = world.fronts["mlflow-server"].seen[-1].answered.decode()
        assert "Nowhere" in server_said, "what must not leak is there"
        assert "Nowhere" not in said
        assert "Traceback" not in said


class TestAutoML:
    @by_road("automl", "automl", method="predict_proba", outputs=("stays", "goes away"), **NAIVE)
    def test_probabilities_get_the_names_of_outputs(self, road: Road) -> None:
        (entity,) = road.score([PLAIN]).answer
        assert set(scores(entity)) == {f"{PREFIX}stays", f"{PREFIX}goes-away"}
        assert sum(scores(entity).values()) == pytest.approx(1)

    @by_road("automl", "automl", parameters={"quantiles": [0.1, 0.9]}, **NAIVE)
    @pytest.mark.statement("azureml-5", "azureml-19")
    def test_a_forecast_gives_its_values_and_its_index_is_compared_with_what_was_sent(
        self, road: Road
    ) -> None:
        entities = [PLAIN, {**PLAIN, "_id": "2", "Since": "~t2020-02-01T00:00:00Z", "City": None}]
        for entity in road.score(entities).answer:
            assert set(scores(entity)) == {f"{PREFIX}forecast", f"{PREFIX}prediction_interval"}

    @by_road("automl-v1", "automl-v1", **NAIVE)
    @pytest.mark.statement("azureml-20", "azureml-21", "azureml-34")
    def test_an_error_inside_a_200_finds_its_row_and_is_told_without_data(self, road: Road) -> None:
        told = road.score([PLAIN, UNKNOWN_CITY])
        assert told.answer[0][f"{PREFIX}prediction"] == "no"
        said = told.answer[1][f"{PREFIX}error"]["message"]
        assert "unknown categories" in said
        assert "Nowhere" not in said

    @pytest.mark.statement("azureml-5")
    def test_an_empty_object_of_global_parameters_is_what_the_server_fails_on(self, world: World) -> None:
        body = json.loads(dialect_of("automl", Options(method="")).request(COLUMNS, [ROW]))
        front = world.fronts["automl"]
        assert requests.post(front.url, json=body, headers=AUTHORIZED).status_code == 200
        body["GlobalParameters"] = {}
        assert requests.post(front.url, json=body, headers=AUTHORIZED).status_code == 424


class TestScoreScript:
    @by_road("plain", "score-script", input_name="*")
    def test_columns_go_as_lists_and_columns_come_back(self, road: Road) -> None:
        (entity,) = road.score([PLAIN]).answer
        assert scores(entity) == {f"{PREFIX}label": "yes", f"{PREFIX}probability": 0.5}

    @by_road("plain", "score-script", outputs=("Account",))
    @pytest.mark.statement("azureml-27", "azureml-28")
    def test_a_big_integer_goes_out_and_comes_back_with_all_its_digits(self, road: Road) -> None:
        (entity,) = road.score([{**PLAIN, "Account": 2**53 + 1}]).answer
        assert scores(entity) == {f"{PREFIX}Account": 2**53 + 1}


class TestDesigner:
    @pytest.mark.statement("azureml-6")
    @pytest.mark.parametrize(("name", "status"), [("WebServiceInput0", 502), ("input1", 200)])
    def test_the_renamed_input_wants_the_setting(self, name: str, status: int) -> None:
        with running_designer(SCHEMA, predict, key=KEY, input_name="input1") as designer:
            road = Road(model_settings(designer.url, "designer", input_name=name))
            assert road.score([PLAIN]).status == status
            road.close()

    @pytest.mark.statement("azureml-37")
    def test_a_null_scores_beside_a_value_and_is_that_entity_s_error_alone(self, world: World) -> None:
        without = {**PLAIN, "_id": "2", "Income": None}
        both = world.roads["designer"].score([PLAIN, without])
        alone = world.roads["designer"].score([without])
        assert all(f"{PREFIX}Scored-Labels" in entity for entity in both.answer)
        assert alone.answer[0][f"{PREFIX}error"]["status_code"] == 400


class TestTheFront:
    @pytest.mark.parametrize("server", ["plain", "automl", "automl-v1", "mlflow", "mlflow-unsigned"])
    def test_a_failing_script_is_424_with_the_recorded_headers_and_its_body_untouched(
        self, world: World, server: str
    ) -> None:
        answer = requests.post(world.fronts[server].url, json={"no": "such input"}, headers=AUTHORIZED)
        assert answer.status_code == 424
        assert answer.headers["ms-azureml-model-error-statuscode"] in ("400", "500")
        assert answer.headers["ms-azureml-model-error-reason"] == "model_error"
        assert "message" in answer.json()

    @pytest.mark.statement("azureml-14")
    def test_an_answer_has_the_headers_of_a_managed_endpoint(self, world: World) -> None:
        body = dialect_of("score-script", Options()).request(COLUMNS, [ROW])
        headers = AUTHORIZED | {"content-type": "application/json", "x-ms-client-request-id": "call-1"}
        answer = requests.post(world.fronts["plain"].url, data=body, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["server"] == "azureml-frontdoor"
        assert answer.headers["x-ms-run-function-failed"] == "False"
        assert answer.headers["x-ms-server-version"] == "azmlinfsrv/1.5.1"
        assert answer.headers["azureml-model-deployment"] == "default"
        assert answer.headers["x-request-id"]
        assert answer.headers["x-ms-client-request-id"] == "call-1"

    def test_wrong_key_wrong_deployment_and_a_model_away_are_told_apart(self, world: World) -> None:
        front = world.fronts["plain"]
        assert requests.post(front.url, json={}).status_code == 401
        elsewhere = AUTHORIZED | {"azureml-model-deployment": "green"}
        assert requests.post(front.url, json={}, headers=elsewhere).status_code == 404
        with running_front("http://127.0.0.1:9/score", key=KEY) as lonely:
            answer = requests.post(lonely.url, json={}, headers=AUTHORIZED)
        assert answer.status_code == 424
        assert answer.headers["ms-azureml-model-error-reason"] == "model_not_ready"

    def test_more_requests_at_once_than_it_takes_are_429(self, world: World) -> None:
        body: dict[str, Any] = {"data": [[*ROW[:4], "2020", 1]] * 20_000}

        def post(_: int) -> int:
            return requests.post(front.url, json=body, headers=AUTHORIZED).status_code

        with (
            running_front(world.fronts["plain"].model_url, key=KEY, most_at_once=1) as front,
            ThreadPoolExecutor(8) as threads,
        ):
            statuses = set(threads.map(post, range(8)))
        assert statuses == {200, 429}
