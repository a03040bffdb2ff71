"""The stand-in classic web service against facts/azureml.md §1."""

import json
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from local.services.classic import ClassicService, running_classic
from local.train import train

KEY = "the-service-key"
ROW: dict[str, Any] = {
    "Name": "Øyvind Lie",
    "Location": "Oslo",
    "CustStatus": "OnHold",
    "CustSegment": "Student",
    "PostCode": "0150",
    "Address": 'Storgata 5 "B"\n0150 Oslo',
    "BirthDate": "1981-05-17",
    "CustomerSince": "2026-03-01",
    "Tenure": "8",
    "Complaints": None,
    "Newsletter": "false",
    "MonthlySpend": "123.5000",
    "Income": "",
    "Satisfaction": None,
    "LastOrder": "2026-10-12T18:07:00.250000Z",
    "LastLogin": "2026-10-30T00:03:05.123456789",
    "AccountManager": None,
    "LoyaltyId": None,
    "Homepage": None,
}
COLUMNS = list(ROW)
LOYAL = ROW | {"CustStatus": "Active", "CustSegment": "Business", "Tenure": "110", "MonthlySpend": "4000"}


@pytest.fixture
def service(model_folder: Path) -> Iterator[ClassicService]:
    with running_classic(model_folder, key=KEY) as service:
        yield service


def _table(*rows: Mapping[str, object]) -> dict[str, Any]:
    names = list(rows[0]) if rows else COLUMNS
    values = [list(row.values()) for row in rows]
    return {"Inputs": {"input1": {"ColumnNames": names, "Values": values}}, "GlobalParameters": {}}


def _post(service: ClassicService, body: object, *, url: str = "", **headers: str) -> requests.Response:
    return requests.post(
        url or service.url,
        data=body if isinstance(body, bytes) else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"} | headers,
        timeout=10,
    )


def _value(response: requests.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    results = response.json()["Results"]
    assert list(results) == ["output1"]
    assert results["output1"]["type"] == "table"
    value: dict[str, Any] = results["output1"]["value"]
    return value


def _reason(response: requests.Response) -> tuple[int, str, str]:
    error = response.json()["error"]
    assert error["message"]
    (detail,) = error["details"]
    assert detail["message"]
    return response.status_code, error["code"], detail["code"]


def test_the_table_echoes_the_inputs_and_adds_label_and_probability(service: ClassicService) -> None:
    value = _value(_post(service, _table(ROW, LOYAL)))
    assert value["ColumnNames"] == [*COLUMNS, "Scored Labels", "Scored Probabilities"]
    leaves, stays = (dict(zip(value["ColumnNames"], row, strict=True)) for row in value["Values"])
    assert leaves["Scored Labels"] == "True"
    assert stays["Scored Labels"] == "False"
    assert float(leaves["Scored Probabilities"]) > 0.5 > float(stays["Scored Probabilities"])
    assert service.rows == 2


def test_every_cell_of_an_answer_is_a_text_written_as_the_real_service_did(service: ClassicService) -> None:
    value = _value(_post(service, _table(ROW)))
    (row,) = value["Values"]
    assert {type(cell) for cell in row} == {str}
    cells = dict(zip(value["ColumnNames"], row, strict=True))
    assert cells["Newsletter"] == "False"
    assert cells["MonthlySpend"] == "123.5"
    assert cells["LastOrder"] == "10/12/2026 6:07:00 PM"
    assert cells["LastLogin"] == "10/30/2026 12:03:05 AM"
    assert cells["BirthDate"] == "5/17/1981 12:00:00 AM"
    assert (cells["PostCode"], cells["Tenure"], cells["Income"], cells["Homepage"]) == ("0150", "8", "", "")
    assert cells["Address"] == ROW["Address"]


def test_types_come_with_details_alone(service: ClassicService) -> None:
    types = _value(_post(service, _table(ROW)))["ColumnTypes"]
    assert dict(zip([*COLUMNS, "label", "probability"], types, strict=True)).items() >= {
        ("Name", "String"),
        ("Tenure", "Int32"),
        ("MonthlySpend", "Double"),
        ("Newsletter", "Boolean"),
        ("LastOrder", "DateTime"),
        ("label", "Boolean"),
        ("probability", "Double"),
    }
    brief = _value(_post(service, _table(ROW), url=service.url.removesuffix("&details=true")))
    assert brief.keys() == {"ColumnNames", "Values"}


def test_the_swagger_form_has_rows_as_objects(service: ClassicService) -> None:
    body = {"Inputs": {"input1": [ROW, LOYAL]}, "GlobalParameters": {}}
    response = _post(service, body, url=f"{service.url}&format=swagger")
    rows = response.json()["Results"]["output1"]
    table = _value(_post(service, _table(ROW, LOYAL)))
    assert rows == [dict(zip(table["ColumnNames"], row, strict=True)) for row in table["Values"]]


def test_columns_are_found_by_their_names_in_any_order(service: ClassicService) -> None:
    assert _post(service, _table(dict(reversed(ROW.items())))).json() == _post(service, _table(ROW)).json()


def test_numbers_and_booleans_may_be_sent_as_json_has_them(service: ClassicService) -> None:
    native = ROW | {"Tenure": 8, "MonthlySpend": 123.5, "Newsletter": False}
    assert _post(service, _table(native)).json() == _post(service, _table(ROW)).json()


def test_no_rows_are_no_rows(service: ClassicService) -> None:
    assert _value(_post(service, _table()))["Values"] == []


def test_a_request_must_say_its_length(service: ClassicService) -> None:
    body = json.dumps(_table(ROW)).encode()
    assert _post(service, body).request.headers["Content-Length"]
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    response = requests.post(service.url, data=iter([body]), headers=headers, timeout=10)
    assert response.status_code == 411


@pytest.mark.parametrize("key", ["Bearer wrong", f"Bearer {KEY.upper()}", f"Basic {KEY}", ""])
def test_a_wrong_key_is_401(service: ClassicService, key: str) -> None:
    response = _post(service, _table(ROW), Authorization=key)
    assert _reason(response) == (401, "Unauthorized", "ScoreRequestUnauthorized")


def test_the_word_bearer_may_be_in_lower_case(service: ClassicService) -> None:
    assert _post(service, _table(ROW), Authorization=f"bearer {KEY}").status_code == 200


def test_another_service_is_404(service: ClassicService) -> None:
    response = _post(service, _table(ROW), url=service.url.replace("/services/", "/services/no-"))
    assert _reason(response) == (404, "NotFound", "WebServiceNotFound")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Inputs": {"input2": _table(ROW)["Inputs"]["input1"]}}, "InvalidInputNames"),
        ({"Inputs": {}}, "InvalidInputNames"),
        ({"Inputs": None}, "InvalidInputNames"),
        ({"GlobalParameters": {"sensitivity": "3"}}, "UnexpectedParameter"),
        ({"GlobalParameters": []}, "RequestBodyInvalid"),
        ({"Inputs": {"input1": [ROW]}}, "InputParseError"),
        ({"Inputs": {"input1": {"ColumnNames": COLUMNS, "Values": [["1"]]}}}, "InputParseError"),
        ({"Inputs": {"input1": {"ColumnNames": COLUMNS, "Values": ["1"]}}}, "InputParseError"),
        (_table({**ROW, "Extra": "1"}), "InputParseError"),
        (_table({name: cell for name, cell in ROW.items() if name != "Homepage"}), "InputParseError"),
        (_table(ROW | {"Tenure": "8.5"}), "InputParseError"),
        (_table(ROW | {"MonthlySpend": "~f123.5000"}), "InputParseError"),
        (_table(ROW | {"LastOrder": "~t2026-10-12T18:07:00Z"}), "InputParseError"),
        (_table(ROW | {"Newsletter": "maybe"}), "InputParseError"),
        (_table(ROW | {"Location": ["Oslo"]}), "InputParseError"),
        (_table(LOYAL, ROW | {"Tenure": "x"}), "InputParseError"),
    ],
    ids=[
        "another input name",
        "no input",
        "null for inputs",
        "an unknown parameter",
        "a list of parameters",
        "objects in the table form",
        "a row too narrow",
        "a row that is no list",
        "an unknown column",
        "a column too few",
        "a fraction for an integer",
        "a tagged number",
        "a tagged datetime",
        "no boolean",
        "a list for a cell",
        "the second row",
    ],
)
def test_what_is_not_of_the_input_schema_is_400_with_its_reason(
    service: ClassicService, change: dict[str, object], code: str
) -> None:
    assert _reason(_post(service, _table(ROW) | change)) == (400, "BadArgument", code)
    assert service.rows == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff"])
def test_a_body_that_is_no_json_object_is_400(service: ClassicService, body: bytes) -> None:
    assert _reason(_post(service, body)) == (400, "BadArgument", "RequestBodyInvalid")


def test_the_content_type_is_json_and_the_version_is_named(service: ClassicService) -> None:
    plain = _post(service, _table(ROW), **{"Content-Type": "text/plain"})
    assert _reason(plain) == (400, "BadArgument", "RequestBodyInvalid")
    unversioned = _post(service, _table(ROW), url=service.url.partition("?")[0])
    assert _reason(unversioned) == (400, "BadArgument", "BadVersionCall")


def test_a_swagger_body_of_another_shape_is_400(service: ClassicService) -> None:
    response = _post(service, _table(ROW), url=f"{service.url}&format=swagger")
    assert _reason(response) == (400, "BadArgument", "InputParseError")


def test_global_parameters_have_defaults_unless_they_are_required(model_folder: Path) -> None:
    parameters = {"threshold": None, "sensitivity": "3"}
    with running_classic(model_folder, key=KEY, parameters=parameters) as service:
        missing = _post(service, _table(ROW))
        assert _reason(missing) == (400, "BadArgument", "MissingRequiredGlobalParameters")
        given = _table(ROW) | {"GlobalParameters": {"threshold": "0.5"}}
        assert _post(service, given).status_code == 200


def test_a_service_may_demand_the_label_whatever_its_value(model_folder: Path) -> None:
    with running_classic(model_folder, key=KEY, demand_label=True) as service:
        assert _reason(_post(service, _table(ROW)))[2] == "InputParseError"
        value = _value(_post(service, _table({**ROW, "ChurnFlag": "anything"})))
        assert value["ColumnNames"][-3:] == ["ChurnFlag", "Scored Labels", "Scored Probabilities"]
        assert value["Values"][0][-3:-1] == ["anything", "True"]


def test_throttling_is_503_for_as_many_requests_as_asked(service: ClassicService) -> None:
    service.throttle_next = 2
    statuses = [_post(service, _table(ROW)) for _ in range(3)]
    assert [response.status_code for response in statuses] == [503, 503, 200]
    assert _reason(statuses[0]) == (503, "ServiceUnavailable", "RequestThrottled")
    assert service.requests == 3


def test_more_than_20_requests_at_once_are_throttled(service: ClassicService) -> None:
    service.answer_after = 25
    with ThreadPoolExecutor(25) as pool:
        responses = list(pool.map(lambda _: _post(service, _table(ROW)), range(25)))
    statuses = sorted(response.status_code for response in responses)
    assert statuses == [200] * 20 + [503] * 5


def test_a_model_that_is_not_there_yet_is_503(tmp_path: Path) -> None:
    with running_classic(tmp_path, key=KEY) as service:
        early = _post(service, _table(ROW))
        assert _reason(early) == (503, "InitializingContainers", "InitializingContainers")


def test_a_new_model_is_taken_up_at_once(
    model_folder: Path, version: dict[str, bytes], tmp_path: Path
) -> None:
    shutil.copy(model_folder / "model.joblib", tmp_path)
    with running_classic(tmp_path, key=KEY) as service:
        assert _post(service, _table(ROW)).status_code == 200
        train(version.__getitem__, "customers", label="CustSegment", folder=tmp_path)
        row = {name: cell for name, cell in ROW.items() if name != "CustSegment"} | {"ChurnFlag": "true"}
        value = _value(_post(service, _table(row)))
        assert value["Values"][0][-2] in ("Private", "Student", "Senior", "Business")
