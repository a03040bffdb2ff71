"""The sections of the settings: every key of `bridge.toml`, its type and its bounds. settings.py reads them.

A validator says what it expected and never quotes the value, which may be a secret.
"""

import json
import math
import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

NAME_PATTERN = r"[a-z][a-z0-9]*(_[a-z0-9]+)*"

# What the server inside the Functions host takes by default, all headers of a request together.
HEADER_BYTES = 32_768

# The platform cuts an HTTP answer at 230 s (facts/functions.md §6): ours must be out before that.
LONGEST_ANSWER_S = 225.0

# Each is a module of scoring/dialects: `mlflow-server` is mlflow_server.py.
Dialect = Literal[
    "classic", "classic-swagger", "designer", "automl", "automl-v1", "mlflow", "mlflow-server", "score-script"
]
# As `input_name` of score-script: every column is an input of its own.
EVERY_COLUMN = "*"
HAVE_METHODS = ("automl", "automl-v1")
# A script of one's own may answer as designer does.
HAVE_OUTPUTS = ("classic", "classic-swagger", "designer", "score-script")

# What the app itself writes behind a model's prefix: an entity's error, remarks on it, where a score is from.
MARKS = ("error", "outside-contract")
PROVENANCE = ("model", "contract", "snapshot")


def own_names(provenance: bool) -> tuple[str, ...]:
    """Give the names behind a model's prefix where no score may stand."""
    return (*MARKS, *(PROVENANCE if provenance else ()))


def prefix_of(name: str, given: str) -> str:
    """Give what begins every property of a model: what is set, else its name."""
    return given or f"{name}:"


def json_if_text(value: object) -> object:
    """Decode what the environment holds as JSON; what is no text, or begins otherwise, stays as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("as text it must be JSON") from None
    return value


def _without(*names: str) -> frozenset[str]:
    return frozenset(get_args(Dialect)) - {*names}


def _keys_of_rows(model: Mapping[str, Any]) -> set[str]:
    """Give the keys of the rows where a dialect has its parameters beside them, as far as settings tell."""
    if model.get("dialect") not in ("score-script", "automl-v1") or "input_name" not in model:
        return set()
    if model["input_name"] == EVERY_COLUMN:
        return {*model.get("features", ()), *model.get("constants", ())}
    return {model["input_name"] or "data"}


def _resolved(value: SecretStr) -> SecretStr:
    if value.get_secret_value().startswith("@Microsoft.KeyVault("):
        raise ValueError(
            "is an unresolved Key Vault reference: check the app's identity, its role on the vault "
            "(Key Vault Secrets User) and the setting keyVaultReferenceIdentity"
        )
    return value


def _node_address(value: str) -> str:
    if not value:
        return value
    address = (value if "://" in value else f"https://{value}").rstrip("/").removesuffix("/api").rstrip("/")
    parts = _parts(address)
    if parts is None or parts.query or parts.fragment:
        raise ValueError("must be the node's address: a host, https://host, or either followed by /api")
    if parts.scheme == "http" and not is_loopback(address):
        raise ValueError("must be https: over plain http the token could be read on the way")
    return address


def _service_address(value: str) -> str:
    if _parts(value) is None:
        raise ValueError("must be an http(s) address with a host and without a user name")
    return value


def _account_address(value: str) -> str:
    if value and _parts(value) is None:
        raise ValueError(
            "must be the https address of a storage service, such as https://ACCOUNT.blob.core.windows.net"
        )
    if value.startswith("http:") and not is_loopback(value):
        raise ValueError("must be https: over plain http the identity's token could be read on the way")
    return value


def _parts(url: str) -> SplitResult | None:
    """Take an http(s) address apart; None where it is none. urlsplit's own errors quote the value."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        parts.port  # noqa: B018  # raises where it is no port
    except ValueError:
        return None
    return parts if sound else None


def is_loopback(url: str) -> bool:
    """Say whether a URL's host is this machine, where plain http is harmless."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sendable(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]*", value.get_secret_value()):
        raise ValueError("holds blanks or characters that no key has")
    return value


def _without_twins(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError(f"names {', '.join(sorted({n for n in names if names.count(n) > 1}))} twice")
    return names


def _finite[T](value: T) -> T:
    """Refuse a NaN or an infinity, however deep: no request could hold it."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        _finite(child)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("holds a number that is not finite")
    return value


Secret = Annotated[SecretStr, AfterValidator(_resolved)]
Key = Annotated[Secret, AfterValidator(_sendable)]
Name = Annotated[str, Field(pattern=rf"^{NAME_PATTERN}$", max_length=63)]
Names = Annotated[tuple[str, ...], BeforeValidator(json_if_text)]
NodeUrl = Annotated[str, AfterValidator(_node_address)]
AccountUrl = Annotated[str, AfterValidator(_account_address)]
ServiceUrl = Annotated[str, AfterValidator(_service_address)]


def _with_csv(formats: tuple[str, ...]) -> tuple[str, ...]:
    if "csv" not in formats:
        raise ValueError("must keep 'csv': the bytes as the node sent them are the version")
    return formats


class Section(BaseModel):
    """A section of `bridge.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SesamSettings(Section):
    """`[sesam]`: the node that publishes training data."""

    url: NodeUrl = ""
    jwt: Secret = SecretStr("")
    verify_tls: bool = True


class StorageSettings(Section):
    """`[storage]`: where versions live. With nothing set, the account of AzureWebJobsStorage."""

    container: Annotated[str, Field(pattern=r"^[a-z0-9](-?[a-z0-9]){2,62}$")] = "training-data"
    connection_string: Secret = SecretStr("")
    blob_service_uri: AccountUrl = ""
    client_id: str = ""


class HostStorage(StorageSettings):
    """The Functions host's own account, which also has the queue of exports."""

    queue_service_uri: AccountUrl = ""


class ExportSettings(Section):
    """`[exports.<name>]`: one published pipe, snapshotted as versions."""

    pipe: Annotated[str, Field(min_length=1, pattern=r"^[^/]+$")]
    label: str = ""
    columns: Names = ()
    min_rows: Annotated[int, Field(ge=0)] = 1
    max_shrink: Annotated[float, Field(gt=0, le=1)] = 0.5
    keep_versions: Annotated[int, Field(ge=1)] = 30
    formats: Annotated[
        tuple[Literal["csv", "parquet"], ...], BeforeValidator(json_if_text), AfterValidator(_with_csv)
    ] = ("csv",)
    allow_unframed: bool = False
    # The csv sink's own words; unset means: as the pipe says, else Sesam's defaults (facts/sesam.md §3.1).
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    quotechar: Annotated[str, Field(max_length=1)] | None = None  # "": nothing is quoted
    escapechar: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    doublequote: bool | None = None
    lineterminator: Literal["\r\n", "\n", "\r"] | None = None
    encoding: str | None = None
    byte_order_mark: bool | None = None
    include_header: bool | None = None

    @field_validator("columns")
    @classmethod
    def _label_among_the_columns(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        label = info.data.get("label")
        if value and label and label not in value:
            raise ValueError(f"must have the label, {label}, among them")
        return value

    @field_validator("include_header")
    @classmethod
    def _columns_without_a_header(cls, value: bool | None, info: ValidationInfo) -> bool | None:
        if value is False and info.data.get("columns") == ():
            raise ValueError("false requires columns: without a header nothing names them")
        return value


class ModelSettings(Section):
    """`[models.<name>]`: one Azure ML web service and how to speak with it.

    A field is checked against those above it that are right (`ValidationInfo.data`), so that one wrong value
    hides no other trouble.
    """

    allow_http: bool = False
    url: Annotated[ServiceUrl, Field(repr=False)]  # its query may hold a key
    dialect: Dialect = "classic"
    auth: Literal["key", "entra", "none"] = "key"
    key: Key = Field(SecretStr(""), validate_default=True)
    verify_tls: bool = True
    contract: str = ""
    features: Annotated[Names, AfterValidator(_without_twins)] = Field((), validate_default=True)
    constants: Annotated[
        dict[str, str | int | float | bool | None], BeforeValidator(json_if_text), AfterValidator(_finite)
    ] = Field(default_factory=dict)
    map: Annotated[dict[str, str], BeforeValidator(json_if_text)] = Field(default_factory=dict)
    input_name: str = ""
    output_name: str = ""
    method: str = "predict"
    parameters: Annotated[dict[str, Any], BeforeValidator(json_if_text), AfterValidator(_finite)] = Field(
        default_factory=dict
    )
    deployment: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]*$")] = ""
    datetimes: Literal["utc", "naive"] = "utc"
    batch_rows: Annotated[int, Field(ge=1)] = 1000
    batch_bytes: Annotated[int, Field(ge=1000)] = 1_000_000
    parallel: Annotated[int, Field(ge=1, le=64)] = 2
    in_flight: Annotated[int, Field(ge=1, le=512)] = 64
    timeout_s: Annotated[float, Field(gt=0, le=LONGEST_ANSWER_S)] = 60.0
    deadline_s: Annotated[float, Field(gt=0, le=LONGEST_ANSWER_S)] = 200.0
    attempts: Annotated[int, Field(ge=1, le=20)] = 4
    on_bad_entity: Literal["fail", "mark"] = "fail"
    on_outside_contract: Literal["ignore", "warn", "fail"] = "warn"
    provenance: bool = False
    outputs: Annotated[Names, AfterValidator(_without_twins)] = ()
    return_: Literal["all", "scores"] = Field("all", alias="return")
    prefix: Annotated[str, Field(pattern=r"^([^_$~\x00][^\x00]*)?$")] = ""
    decimals: Annotated[int, Field(ge=-1, le=15)] = -1

    @field_validator("url")
    @classmethod
    def _https_unless_allowed(cls, value: str, info: ValidationInfo) -> str:
        if value.startswith("http:") and info.data.get("allow_http") is False and not is_loopback(value):
            raise ValueError("must be https; allow_http = true permits plain http, key and data readable")
        return value

    @field_validator("key")
    @classmethod
    def _key_where_auth_needs_it(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if info.data.get("auth") == "key" and not value.get_secret_value():
            raise ValueError("missing: set it as the app setting MODELS__<NAME>__KEY, or set auth")
        return value

    @field_validator("features")
    @classmethod
    def _contract_or_features(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not value and info.data.get("contract") == "":
            raise ValueError("contract (the export it was trained on) or features must be set")
        return value

    @field_validator("map")
    @classmethod
    def _map_names_features(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        features, constants = info.data.get("features", ()), info.data.get("constants", {})
        known = (set(features) if features else value.keys()) - constants.keys()
        if unknown := sorted(value.keys() - known):
            raise ValueError(f"{', '.join(unknown)} is no feature")
        return value

    @field_validator("input_name")
    @classmethod
    def _every_column_of_a_script_alone(cls, value: str, info: ValidationInfo) -> str:
        if value == EVERY_COLUMN and info.data.get("dialect") in _without("score-script"):
            raise ValueError("* (every column an input of its own) works only with the dialect score-script")
        return value

    @field_validator("output_name")
    @classmethod
    def _output_name_applies(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("dialect") in _without(*HAVE_OUTPUTS):
            raise ValueError(
                f"applies only to the dialects {', '.join(HAVE_OUTPUTS)}: others have no named outputs"
            )
        return value

    @field_validator("method")
    @classmethod
    def _method_applies(cls, value: str, info: ValidationInfo) -> str:
        if value not in ("", "predict") and info.data.get("dialect") in _without(*HAVE_METHODS):
            raise ValueError(f"applies only to the dialects {' and '.join(HAVE_METHODS)}: no other sends it")
        return value

    @field_validator("parameters")
    @classmethod
    def _parameters_do_not_clash(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        dialect, method = info.data.get("dialect"), info.data.get("method")
        if dialect in HAVE_METHODS and method not in ("", "predict", value.get("method", method)):
            raise ValueError("sets a method other than the setting method: keep one of the two")
        if both := sorted(_keys_of_rows(info.data) & value.keys()):
            raise ValueError(f"must not contain {', '.join(both)}: that key holds the rows")
        return value

    @field_validator("outputs")
    @classmethod
    def _outputs_are_distinct_properties(
        cls, value: tuple[str, ...], info: ValidationInfo
    ) -> tuple[str, ...]:
        properties = [name.replace(" ", "-") for name in value]
        if twins := sorted({name for name in properties if properties.count(name) > 1}):
            raise ValueError(f"has two names that become one property, {', '.join(twins)}")
        if ours := sorted({*own_names(bool(info.data.get("provenance")))} & {*properties}):
            raise ValueError(f"names {', '.join(ours)}, a property that the app writes itself")
        return value


class LimitSettings(Section):
    """`[limits]`: what one request or answer may weigh."""

    body_bytes: Annotated[int, Field(ge=1, le=104_857_600)] = 50_000_000
    entities: Annotated[int, Field(ge=1)] = 20_000
    depth: Annotated[int, Field(ge=2, le=500)] = 64
    answer_bytes: Annotated[int, Field(ge=1)] = 100_000_000
    header_bytes: Annotated[int, Field(ge=4096)] = HEADER_BYTES


class AzureMLSettings(Section):
    """`[azure_ml]`: when set, published versions are registered as data asset versions."""

    subscription: str
    resource_group: str
    workspace: str
    datastore: str
