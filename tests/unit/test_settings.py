"""The settings: strict, complete in their complaints, and silent about values."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as trying
from hypothesis import strategies as st

import settings
from errors import SettingsWrong
from schedule import export_schedule
from sections import ExportSettings, ModelSettings
from settings import Settings, load_settings

SECRET = "planted-secret-7f3a"

GOOD = """
[sesam]
url = "datahub-1234.sesam.cloud"

[exports.customers]
pipe = "customers-training-csv"
label = "ChurnFlag"

[models.churn]
url = "https://ml.example/execute?api-version=2.0&details=true"
contract = "customers"
"""


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "bridge.toml"
    file.write_text(GOOD)
    monkeypatch.setenv("BRIDGE_CONFIG", str(file))
    monkeypatch.setenv("SESAM__JWT", SECRET)
    monkeypatch.setenv("MODELS__CHURN__KEY", SECRET)
    return file


def problems() -> tuple[str, ...]:
    with pytest.raises(SettingsWrong) as error:
        load_settings()
    assert SECRET not in f"{error.value} {error.value!r} {error.value.__cause__} {error.value.__context__}"
    return error.value.problems


def test_the_file_and_the_environment_together_are_the_settings(toml: Path) -> None:
    read = load_settings()
    assert read.models["churn"].key.get_secret_value() == SECRET
    assert read.models["churn"].dialect == "classic"
    assert read.exports["customers"].label == "ChurnFlag"
    assert SECRET not in repr(read)


def test_the_environment_beats_the_file(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS__CHURN__BATCH_ROWS", "10")
    monkeypatch.setenv("MODELS__CHURN__FEATURES", '["Age", "Location"]')
    monkeypatch.setenv("MODELS__CHURN__RETURN", "scores")
    monkeypatch.setenv("MODELS__CHURN__CONSTANTS", '{"ChurnFlag": 0}')
    churn = load_settings().models["churn"]
    assert (churn.batch_rows, churn.features, churn.return_) == (10, ("Age", "Location"), "scores")
    assert churn.constants == {"ChurnFlag": 0}


@pytest.mark.parametrize(
    "spelling",
    ["datahub-1234.sesam.cloud", "https://datahub-1234.sesam.cloud", "https://datahub-1234.sesam.cloud/",
     "https://datahub-1234.sesam.cloud/api", "datahub-1234.sesam.cloud/api/"],
)  # fmt: skip
def test_every_spelling_of_the_nodes_address_means_the_same(
    toml: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.setenv("SESAM__URL", spelling)
    assert load_settings().sesam.url == "https://datahub-1234.sesam.cloud"


def test_everything_wrong_is_listed_at_once_by_name_and_never_by_value(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS__CHURN__KYE", SECRET)
    monkeypatch.setenv("MODELS__CHURN__TIMEOUT_S", SECRET)
    monkeypatch.setenv("SESAM__URL", f"https://user:{SECRET}@host")
    monkeypatch.setenv("EXPORTS__CUSTOMERS__FORMATS", f'["{SECRET}"')
    monkeypatch.setenv("MODELS__CHURN2X__DIALECT", SECRET)
    told = "\n".join(problems())
    for name in ("models.churn.kye: unknown key", "models.churn.timeout_s", "sesam.url", "formats",
                 "models.churn2x.url: missing", "models.churn2x.dialect"):  # fmt: skip
        assert name in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"MODELS__CHURN__KEY": ""}, "models.churn.key: missing"),
        ({"SESAM__JWT": ""}, "sesam.jwt is missing"),
        ({"SESAM__URL": ""}, "sesam.url is missing"),
        ({"MODELS__CHURN__CONTRACT": "nowhere"}, "models.churn.contract names no export"),
        ({"MODELS__CHURN__FEATURES": '["Income", "ChurnFlag"]'}, "names ChurnFlag, the label of its export"),
        ({"EXPORTS__CUSTOMERS__COLUMNS": '["_id", "Income"]'}, "must have the label, ChurnFlag, among them"),
        ({"MODELS__CHURN__CONTRACT": ""}, "contract (the export it was trained on) or features"),
        ({"MODELS__CHURN__URL": "http://ml.example/x"}, "models.churn.url: must be https"),
        ({"MODELS__CHURN__URL": "ftp://ml.example/x"}, "http(s) address"),
        ({"MODELS__CHURN__KEY": "@Microsoft.KeyVault(VaultName=v;SecretName=s)"}, "unresolved Key Vault"),
        ({"MODELS__CHURN__PREFIX": "_x"}, "models.churn.prefix"),
        ({"MODELS__CHURN__URL": f"https://user:{SECRET}\u2100@host/"}, "http(s) address"),
        ({"MODELS__CHURN__URL": f"https://[{SECRET}]/x"}, "http(s) address"),
        ({"MODELS__CHURN__URL": f"https://:{SECRET}@host/"}, "http(s) address"),
        ({"SESAM__URL": "http://datahub.example"}, "must be https"),
        ({"AzureWebJobsStorage": "@Microsoft.KeyVault(SecretUri=x)"}, "unresolved Key Vault"),
        ({"MODELS__CHURN__KEY": "nøkkel"}, "models.churn.key: holds blanks or characters"),
        ({"MODELS__CHURN__KEY": f"{SECRET}\n"}, "models.churn.key: holds blanks or characters"),
        ({"MODELS__CHURN__URL": "https://ml.example:99999/"}, "http(s) address"),
        ({"MODELS__CHURN__DIALECT": "clasic"}, "models.churn.dialect"),
        ({"MODELS__CHURN__FEATURES": '["Age", "City", "Age"]'}, "models.churn.features: names Age twice"),
        ({"MODELS__CHURN__OUTPUTS": '["p", "p"]'}, "models.churn.outputs: names p twice"),
        ({"MODELS__CHURN__CONSTANTS": '{"Age": NaN}'}, "models.churn.constants: holds a number that is not"),
        ({"MODELS__CHURN__PARAMETERS": '{"q": [Infinity]}'}, "models.churn.parameters: holds a number that"),
        (
            {"MODELS__CHURN__FEATURES": '["Age"]', "MODELS__CHURN__MAP": '{"City": "crm:City"}'},
            "models.churn.map: City is no feature",
        ),
        (
            {
                "MODELS__CHURN__FEATURES": '["Age", "City"]',
                "MODELS__CHURN__CONSTANTS": '{"City": 1}',
                "MODELS__CHURN__MAP": '{"City": "crm:City"}',
            },
            "models.churn.map: City is no feature",
        ),
        (
            {"MODELS__CHURN__CONSTANTS": '{"City": 1}', "MODELS__CHURN__MAP": '{"City": "crm:City"}'},
            "models.churn.map: City is no feature",
        ),
        ({"MODELS__CHURN__MAP": '{"Age": "churn:Age"}'}, "models.churn.map: names what begins with churn:"),
        (
            {"MODELS__CHURN__PREFIX": "A", "MODELS__CHURN__FEATURES": '["Age"]'},
            "models.churn.features: names what begins with A",
        ),
        *(
            (
                {"MODELS__CHURN__DIALECT": each, "MODELS__CHURN__METHOD": "predict_proba"},
                "models.churn.method: applies only to the dialects automl and automl-v1",
            )
            for each in ("classic", "classic-swagger", "designer", "mlflow", "mlflow-server", "score-script")
        ),
        *(
            (
                {"MODELS__CHURN__DIALECT": each, "MODELS__CHURN__OUTPUT_NAME": "scores"},
                "models.churn.output_name: applies only to the dialects classic, classic-swagger, designer,",
            )
            for each in ("automl", "automl-v1", "mlflow", "mlflow-server")
        ),
        (
            {"MODELS__CHURN__DIALECT": "mlflow", "MODELS__CHURN__INPUT_NAME": "*"},
            "models.churn.input_name: * (every column an input of its own) works only with",
        ),
        (
            {
                "MODELS__CHURN__DIALECT": "automl",
                "MODELS__CHURN__METHOD": "forecast",
                "MODELS__CHURN__PARAMETERS": '{"method": "predict_proba"}',
            },
            "models.churn.parameters: sets a method other than the setting method",
        ),
        (
            {"MODELS__CHURN__DIALECT": "automl-v1", "MODELS__CHURN__PARAMETERS": '{"data": 1}'},
            "models.churn.parameters: must not contain data: that key holds the rows",
        ),
        (
            {
                "MODELS__CHURN__DIALECT": "score-script",
                "MODELS__CHURN__INPUT_NAME": "rows",
                "MODELS__CHURN__PARAMETERS": '{"rows": 1}',
            },
            "models.churn.parameters: must not contain rows: that key holds the rows",
        ),
        (
            {
                "MODELS__CHURN__DIALECT": "score-script",
                "MODELS__CHURN__INPUT_NAME": "*",
                "MODELS__CHURN__FEATURES": '["Age"]',
                "MODELS__CHURN__PARAMETERS": '{"Age": 1}',
            },
            "models.churn.parameters: must not contain Age: that key holds the rows",
        ),
        (
            {"MODELS__CHURN__OUTPUTS": '["error"]'},
            "models.churn.outputs: names error, a property that the app writes itself",
        ),
        (
            {"MODELS__CHURN__OUTPUTS": '["outside contract"]'},
            "models.churn.outputs: names outside-contract, a property that the app writes itself",
        ),
        (
            {"MODELS__CHURN__OUTPUTS": '["model"]', "MODELS__CHURN__PROVENANCE": "true"},
            "models.churn.outputs: names model, a property that the app writes itself",
        ),
        (
            {"MODELS__CHURN__OUTPUTS": '["a b", "a-b"]'},
            "models.churn.outputs: has two names that become one property, a-b",
        ),
        *(
            (
                {
                    "MODELS__VALUE__URL": "https://ml.example/value",
                    "MODELS__VALUE__AUTH": "none",
                    "MODELS__VALUE__CONTRACT": "customers",
                    "MODELS__VALUE__PREFIX": prefix,
                },
                f"models.value.prefix: {prefix} covers the scores of models.churn: set another",
            )
            for prefix in ("churn:", "ch")
        ),
        ({"EXPORTS__CUSTOMERS__FORMATS": '["parquet"]'}, "exports.customers.formats: must keep 'csv'"),
        (
            {"EXPORTS__CUSTOMERS__INCLUDE_HEADER": "false"},
            "exports.customers.include_header: false requires columns",
        ),
    ],
    ids=str,
)
def test_a_wrong_setting_says_what_was_expected(
    toml: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], told: str
) -> None:
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    assert any(told in problem for problem in problems()), problems()


@pytest.mark.parametrize(
    "given",
    [
        {"DIALECT": "automl", "METHOD": "predict_proba", "PARAMETERS": '{"method": "predict_proba"}'},
        {"DIALECT": "automl", "PARAMETERS": '{"method": "predict_proba", "data": 1}'},
        {"DIALECT": "automl-v1", "METHOD": "", "PARAMETERS": '{"method": "forecast"}'},
        {"DIALECT": "mlflow", "METHOD": "predict", "PARAMETERS": '{"input_data": 1}'},
        {"DIALECT": "score-script", "INPUT_NAME": "rows", "PARAMETERS": '{"data": 1}'},
        {"DIALECT": "score-script", "INPUT_NAME": "*", "PARAMETERS": '{"threshold": 1}'},
        {"DIALECT": "score-script", "OUTPUT_NAME": "scores"},
        {"DIALECT": "designer", "OUTPUT_NAME": "scores", "OUTPUTS": '["model", "Scored Labels"]'},
    ],
    ids=str,
)
def test_settings_that_are_used_are_taken(
    toml: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"MODELS__CHURN__{name}", value)
    assert load_settings().models["churn"].dialect == given["DIALECT"]


def test_no_wrong_value_hides_other_trouble_of_its_section_or_of_others(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SESAM__URL": "",
        "SESAM__JWT": "",
        "SESAM__VERIFY_TLS": SECRET,
        "MODELS__CHURN__URL": "http://ml.example/",
        "MODELS__CHURN__BATCH_ROWS": SECRET,
        "MODELS__CHURN__KEY": "",
        "MODELS__CHURN__CONTRACT": "nowhere",
        "MODELS__CHURN__FEATURES": '["Age", "Age"]',
        "MODELS__CHURN__MAP": '{"Age": "churn:Age"}',
        "MODELS__VALUE__AUTH": "none",
        "EXPORTS__CUSTOMERS__FORMATS": '["parquet"]',
        "EXPORTS__CUSTOMERS__INCLUDE_HEADER": "false",
        "TRAINING_EXPORT_SCHEDULE": "nightly",
        "AzureWebJobsStorage": "@Microsoft.KeyVault(SecretUri=x)",
    }.items():
        monkeypatch.setenv(name, value)
    assert sorted(problem.partition(":")[0] for problem in problems()) == [
        "AzureWebJobsStorage",
        "TRAINING_EXPORT_SCHEDULE",
        "exports.customers.formats",
        "exports.customers.include_header",
        "models.churn.batch_rows",
        "models.churn.contract names no export under [exports]",
        "models.churn.features",
        "models.churn.key",
        "models.churn.map",
        "models.churn.url",
        "models.value.features",
        "models.value.url",
        "sesam.jwt is missing",
        "sesam.url is missing",
        "sesam.verify_tls",
    ]


@pytest.mark.statement("sesam-23")
def test_a_call_ends_before_the_platform_cuts_it_and_the_page_for_the_hub_says_how_to_wait(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    churn = load_settings().models["churn"]
    assert churn.timeout_s < churn.deadline_s < 230
    assert churn.batch_rows >= 100
    for name in ("MODELS__CHURN__DEADLINE_S", "MODELS__CHURN__TIMEOUT_S"):
        monkeypatch.setenv(name, "226")
    assert len(problems()) == 2
    readme = Path(settings.__file__).with_name("README.md").read_text()
    for told in ("`batch_size` 100", "`side_effects` false", "`verify_ssl` true", "`read_timeout` 240"):
        assert told in readme


KEYS = [
    *ModelSettings.model_fields,
    "return",
    *ExportSettings.model_fields,
    "churn",
    "customers",
    "url",
    "jwt",
]
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "churn:x", "[", "{}", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=12,
)
NAMED = st.dictionaries(st.sampled_from(["churn", "value"]), st.dictionaries(st.sampled_from(KEYS), ODD))


@given(models=NAMED | ODD, exports=NAMED | ODD, sesam=ODD)
@example(models={"churn": {"features": 5}}, exports={}, sesam={})
@example(models={"churn": {"contract": ["customers"]}}, exports={}, sesam={})
@example(models={"churn": {"contract": "c", "features": 5}}, exports={"c": {"label": ["x"]}}, sesam=[])
@example(models={"churn": {"map": [1]}, "value": 7}, exports=[1], sesam="x")
@trying(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_settings_hold_they_are_read_or_told_to_be_wrong(
    toml: Path, models: object, exports: object, sesam: object
) -> None:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {"MODELS": models, "EXPORTS": exports, "SESAM": sesam}.items():
            environment.setenv(name, json.dumps(value))
        with suppress(SettingsWrong):
            load_settings()


def test_a_file_that_is_no_toml_is_named(toml: Path) -> None:
    toml.write_text(f"[models.churn\nkey = '{SECRET}'")
    assert problems()[0].startswith("bridge.toml cannot be read: ")


def test_certificates_that_are_not_there_are_an_error(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"/nowhere/{SECRET}.pem")
    assert problems() == ("REQUESTS_CA_BUNDLE: names a file that is not there",)


def test_a_named_file_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_CONFIG", "nowhere.toml")
    assert problems() == ("BRIDGE_CONFIG names nowhere.toml, which is not there",)


def test_plain_http_is_allowed_to_this_machine_and_where_it_is_asked_for(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS__CHURN__URL", "http://127.0.0.1:8080/score")
    assert load_settings().models["churn"].url == "http://127.0.0.1:8080/score"
    monkeypatch.setenv("MODELS__CHURN__URL", "http://ml.internal/score")
    monkeypatch.setenv("MODELS__CHURN__ALLOW_HTTP", "true")
    assert load_settings().models["churn"].allow_http


@pytest.mark.fault(48)
@pytest.mark.parametrize("schedule", ["0 2 * * *", "0 0 2 ? * *", "0 0 0 31 2 *", "99 * * * * *", "nightly"])
def test_a_schedule_that_never_comes_is_named(
    toml: Path, monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    monkeypatch.setenv("TRAINING_EXPORT_SCHEDULE", schedule)
    assert [p for p in problems() if p.startswith("TRAINING_EXPORT_SCHEDULE: ")]


def test_without_a_schedule_exports_run_at_two_in_the_night(monkeypatch: pytest.MonkeyPatch) -> None:
    assert export_schedule() == "0 0 2 * * *"
    monkeypatch.setenv("TRAINING_EXPORT_SCHEDULE", "0 0 * * * *")
    assert export_schedule() == "%TRAINING_EXPORT_SCHEDULE%"


@pytest.mark.parametrize(
    ("environment", "blob"),
    [
        ({"AzureWebJobsStorage__accountName": "acc"}, "https://acc.blob.core.windows.net"),
        ({"AzureWebJobsStorage__blobServiceUri": "https://acc.example"}, "https://acc.example"),
    ],
    ids=["account name", "service address"],
)
def test_storage_falls_back_on_the_hosts_own_connection(
    toml: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], blob: str
) -> None:
    monkeypatch.delenv("AzureWebJobsStorage", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert load_settings().storage.blob_service_uri == blob
    monkeypatch.setenv("STORAGE__CONNECTION_STRING", SECRET)
    assert load_settings().storage.connection_string.get_secret_value() == SECRET


def test_the_sample_configuration_of_the_repository_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESAM__JWT", "x")
    monkeypatch.setenv("MODELS__CHURN__KEY", "x")
    assert isinstance(load_settings(), Settings)


def test_what_could_be_read_on_the_way_is_said_at_the_start_by_name(
    toml: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.settings.cache_clear()
    assert list(settings.settings().weaknesses()) == []
    assert caplog.text == ""
    monkeypatch.setenv("SESAM__VERIFY_TLS", "false")
    monkeypatch.setenv("MODELS__CHURN__VERIFY_TLS", "false")
    monkeypatch.setenv("MODELS__CHURN__URL", f"http://ml.example/score?code={SECRET}")
    monkeypatch.setenv("MODELS__CHURN__ALLOW_HTTP", "true")
    settings.settings.cache_clear()
    try:
        settings.settings()
        settings.settings()
    finally:
        settings.settings.cache_clear()
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "sesam.verify_tls is false",
        "models.churn.verify_tls is false",
        "models.churn.allow_http is true",
    ]
    assert "the network path to ml.example can" in caplog.text
    assert SECRET not in caplog.text


def test_the_query_of_a_url_stands_in_no_repr(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS__CHURN__URL", f"https://ml.example/score?code={SECRET}")
    assert SECRET not in repr(load_settings())


PLAIN = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=" + SECRET


@pytest.mark.parametrize(
    ("connection", "weak"),
    [
        (PLAIN, True),
        (PLAIN.replace("=http;", "=https;"), False),
        (f"{PLAIN};BlobEndpoint=http://azurite:10000/a", True),
        (f"{PLAIN};BlobEndpoint=http://127.0.0.1:10000/a", False),
        (f"BlobEndpoint=https://a.blob.core.windows.net;SharedAccessSignature={SECRET}", False),
        ("UseDevelopmentStorage=true", False),
    ],
)
def test_storage_over_plain_http_to_another_machine_is_said(
    toml: Path, monkeypatch: pytest.MonkeyPatch, connection: str, weak: bool
) -> None:
    monkeypatch.setenv("AzureWebJobsStorage", connection)
    said = list(load_settings().weaknesses())
    assert [each.partition(":")[0] for each in said] == (
        ["the storage's connection string is plain http"] if weak else []
    )
    assert SECRET not in str(said)


def test_storage_by_identity_is_https_or_this_machine(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORAGE__BLOB_SERVICE_URI", "AzureWebJobsStorage__queueServiceUri"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "http://a.blob.core.windows.net")
            assert "must be https" in problems()[0]
            patch.setenv(name, "https://a.blob.core.windows.net")
            load_settings()
    monkeypatch.setenv("STORAGE__BLOB_SERVICE_URI", "http://127.0.0.1:10000/a")
    load_settings()


HOSTS, OURS, OTHERS = "AzureWebJobsStorage__clientId", "STORAGE__CLIENT_ID", "AZURE_CLIENT_ID"


@pytest.mark.parametrize("own", [True, False], ids=["an account of its own", "the host's account"])
@pytest.mark.parametrize(
    ("given", "client_id"),
    [((), ""), ((OTHERS,), OTHERS), ((OTHERS, HOSTS), HOSTS), ((OTHERS, HOSTS, OURS), OURS)],
)
def test_the_apps_identity_is_the_settings_else_the_hosts(
    toml: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], client_id: str, own: bool
) -> None:
    for name in (HOSTS, OURS, OTHERS):
        monkeypatch.delenv(name, raising=False)
    for name in given:
        monkeypatch.setenv(name, name)
    if own:
        monkeypatch.setenv("STORAGE__BLOB_SERVICE_URI", "https://acc.blob.core.windows.net")
    assert load_settings().storage.client_id == client_id
