"""The node's routes as the app meets them: publisher, tokens, state."""

import csv
import io
import socket

import pytest
import requests

from local.node import Node, running_node

PUBLISHER = "/api/publishers/customers-training-csv/csv"
HEADER = (
    "_id,Name,Location,CustStatus,CustSegment,PostCode,Address,BirthDate,CustomerSince,Tenure,Complaints,"
    "Newsletter,MonthlySpend,Income,Satisfaction,LastOrder,LastLogin,AccountManager,LoyaltyId,Homepage,"
    "ChurnFlag"
)
COLUMNS = HEADER.split(",")


def _get(node: Node, path: str, token: str | None = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {node.jwt if token is None else token}"}
    return requests.get(node.url + path, headers=headers, timeout=10)


def test_the_publisher_streams_csv_header_first_and_every_line_ended() -> None:
    crm = {
        "crm-customer:CustomerNo": "100",
        "crm-customer:Name": "Øyvind",
        "crm-customer:Address": 'Storgata 5 "B"\nOslo',
        "crm-customer:Tenure": [7],
    }
    with running_node({"crm-customer": [{"_id": "crm-customer:100"} | crm]}) as node:
        response = _get(node, PUBLISHER)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/csv"
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in response.headers
    assert 'filename="customers-training.csv"' in response.headers["Content-Disposition"]
    row = '100,Øyvind,,,,,"Storgata 5 ""B""\nOslo",,,7,,,,,,,,,,,\r\n'
    assert response.content == f"{HEADER}\r\n{row}".encode()


def test_every_customer_that_is_not_deleted_has_a_row_as_wide_as_the_header(node: Node) -> None:
    text = _get(node, PUBLISHER).content.decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    live = [entity for entity in node.entities("customers-global") if not entity["_deleted"]]
    assert header == COLUMNS
    assert {len(row) for row in rows} == {len(header)}
    assert [row[0] for row in rows] == [entity["_id"].partition(":")[2] for entity in live]


def test_the_cells_are_what_the_samples_dtl_says(node: Node) -> None:
    text = _get(node, PUBLISHER).content.decode()
    rows = {row["_id"]: row for row in csv.DictReader(io.StringIO(text, newline=""), strict=True)}
    entity = next(
        entity
        for entity in node.entities("customers-global")
        if {type(entity.get("webshop-customer:LastOrder")), type(entity.get("crm-customer:AccountManager"))}
        == {str}
    )
    row = rows[entity["_id"].partition(":")[2]]
    order = entity["webshop-customer:LastOrder"].removeprefix("~t").removesuffix("Z")
    whole, _, fraction = order.partition(".")
    assert row["LastOrder"] == f"{whole}.{fraction.ljust(6, '0')}Z"
    assert f"~t{row['LastLogin']}" == entity["webshop-customer:LastLogin"]
    assert f"~f{row['MonthlySpend']}" == entity["crm-customer:MonthlySpend"]
    assert f"~:crm-employee:{row['AccountManager']}" == entity["crm-customer:AccountManager"]
    assert f"~u{row['LoyaltyId']}" == entity["webshop-customer:LoyaltyId"]
    assert row["Newsletter"] == ("true" if entity["crm-customer:Newsletter"] else "false")


def test_a_file_name_may_be_asked_for(node: Node) -> None:
    response = _get(node, f"{PUBLISHER}/mine.csv")
    assert 'filename="mine.csv"' in response.headers["Content-Disposition"]
    assert response.content == _get(node, PUBLISHER).content


def test_the_transforms_run_at_each_request(node: Node) -> None:
    before = len(_get(node, PUBLISHER).content)
    node.load("crm-customer", [{"_id": "crm-customer:9999", "crm-customer:CustomerNo": "9999"}])
    node.run_pipe("customers-global")
    assert len(_get(node, PUBLISHER).content) > before


@pytest.mark.parametrize(
    "path", [PUBLISHER, "/api/pipes/customers-training-csv", "/api/datasets/crm-customer"]
)
def test_a_token_that_is_missing_wrong_or_expired_is_401(node: Node, path: str) -> None:
    with running_node({}) as another:
        foreign = another.jwt
    for token in ("", "not-a-token", foreign, node.token(seconds=-1), node.jwt[:-4]):
        assert _get(node, path, token).status_code == 401
    assert requests.get(node.url + path, timeout=10).status_code == 401


@pytest.mark.parametrize(
    ("path", "permission"), [(PUBLISHER, "read_data"), ("/api/pipes/customers-training-csv", "read_config")]
)
def test_a_token_without_the_permission_is_403(node: Node, path: str, permission: str) -> None:
    others = {"read_data", "read_config"} - {permission}
    refused = _get(node, path, node.token(permissions=others))
    assert refused.status_code == 403
    assert permission in refused.text
    assert _get(node, path, node.token(permissions=[permission])).status_code == 200


@pytest.mark.parametrize("pipe", ["no-such-pipe", "customer-churn-scoring"])
def test_a_pipe_that_is_absent_or_publishes_no_csv_is_404(node: Node, pipe: str) -> None:
    assert _get(node, f"/api/publishers/{pipe}/csv").status_code == 404


def test_a_node_that_is_unwell_answers_503_until_it_is_well(node: Node) -> None:
    node.unavailable = True
    assert {_get(node, path).status_code for path in (PUBLISHER, "/api/health", "/api/ping")} == {503}
    node.unavailable = False
    assert {_get(node, path).status_code for path in (PUBLISHER, "/api/health", "/api/ping")} == {200}


def test_a_pipe_tells_its_configuration_as_written_and_with_defaults(node: Node) -> None:
    answer = _get(node, "/api/pipes/customers-training-csv?fields=config,runtime").json()
    sink = answer["config"]["effective"]["sink"]
    assert "delimiter" not in answer["config"]["original"]["sink"]
    assert (sink["type"], sink["delimiter"], sink["encoding"]) == ("csv_endpoint", ",", "utf-8")
    assert sink["columns"] == COLUMNS
    assert answer["runtime"] == {"is-valid-config": True, "is-disabled": False, "config-errors": []}
    assert _get(node, "/api/pipes/no-such-pipe").status_code == 404


def test_a_dataset_tells_how_many_entities_it_has(node: Node) -> None:
    runtime = _get(node, "/api/datasets/crm-customer").json()["runtime"]
    deleted = sum(entity["_deleted"] for entity in node.entities("crm-customer"))
    assert deleted
    assert runtime == {"populated": True, "count-index-exists": 250, "count-index-deleted": deleted}
    assert _get(node, "/api/datasets/no-such-dataset").status_code == 404


def test_the_log_tells_requests_but_never_a_query_or_token(node: Node) -> None:
    _get(node, "/api/ping?secret=1")
    _get(node, PUBLISHER, "wrong")
    assert node.log == ["GET /api/ping 200", f"GET {PUBLISHER} 401"]


def test_a_port_in_use_is_an_error_and_not_another_port(node: Node) -> None:
    port = int(node.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"), running_node({}, port=port):
        pass


def test_when_the_block_ends_nobody_listens() -> None:
    with running_node({}) as node:
        port = int(node.url.rpartition(":")[2])
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
