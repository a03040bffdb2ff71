"""The settings: `bridge.toml`, overridden by the environment; read once, strictly.

Every key of `bridge.toml` can be an app setting, sections joined by two underscores (`MODELS__CHURN__KEY`,
`SESAM__JWT`), lists and tables as JSON. Whatever is unknown, missing or wrong is listed at once in one
`SettingsWrong`, by name, with what was expected and never with the value (design §4).
"""

import json
import logging
import math
import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic import ValidationError as PydanticError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from errors import SettingsWrong

log = logging.getLogger("sesam-azureml.settings")

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


def _json_if_text(value: object) -> object:
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


def _is_plain(connection: str) -> bool:
    """Say whether a connection string leads over plain http to another machine."""
    words = dict(part.partition("=")[::2] for part in connection.split(";"))
    spoken = [value for name, value in words.items() if name.endswith("Endpoint")]
    if not spoken:
        return words.get("DefaultEndpointsProtocol", "").lower() == "http"
    return any(url.startswith("http:") and not is_loopback(url) for url in spoken)


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
Names = Annotated[tuple[str, ...], BeforeValidator(_json_if_text)]
type Table[T] = Annotated[dict[Name, T], BeforeValidator(_json_if_text)]
NODE_URL = Annotated[str, AfterValidator(_node_address)]
ACCOUNT_URL = Annotated[str, AfterValidator(_account_address)]
SERVICE_URL = Annotated[str, AfterValidator(_service_address)]


def _with_csv(formats: tuple[str, ...]) -> tuple[str, ...]:
    if "csv" not in formats:
        raise ValueError("must keep 'csv': the bytes as the node sent them are the version")
    return formats


class Section(BaseModel):
    """A section of `bridge.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SesamSettings(Section):
    """`[sesam]`: the node that publishes training data."""

    url: NODE_URL = ""
    jwt: Secret = SecretStr("")
    verify_tls: bool = True


class StorageSettings(Section):
    """`[storage]`: where versions live. With nothing set, the account of AzureWebJobsStorage."""

    container: Annotated[str, Field(pattern=r"^[a-z0-9](-?[a-z0-9]){2,62}$")] = "training-data"
    connection_string: Secret = SecretStr("")
    blob_service_uri: ACCOUNT_URL = ""
    client_id: str = ""


class HostStorage(StorageSettings):
    """The Functions host's own account, which also has the queue of exports."""

    queue_service_uri: ACCOUNT_URL = ""


class ExportSettings(Section):
    """`[exports.<name>]`: one published pipe, snapshotted as versions."""

    pipe: Annotated[str, Field(min_length=1, pattern=r"^[^/]+$")]
    label: str = ""
    columns: Names = ()
    min_rows: Annotated[int, Field(ge=0)] = 1
    max_shrink: Annotated[float, Field(gt=0, le=1)] = 0.5
    keep_versions: Annotated[int, Field(ge=1)] = 30
    formats: Annotated[
        tuple[Literal["csv", "parquet"], ...], BeforeValidator(_json_if_text), AfterValidator(_with_csv)
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
    def _with_the_label(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        label = info.data.get("label")
        if value and label and label not in value:
            raise ValueError(f"must have the label, {label}, among them")
        return value

    @field_validator("include_header")
    @classmethod
    def _names_are_somewhere(cls, value: bool | None, info: ValidationInfo) -> bool | None:
        if value is False and info.data.get("columns") == ():
            raise ValueError("false needs columns: the names are then nowhere else")
        return value


class ModelSettings(Section):
    """`[models.<name>]`: one Azure ML web service and how to speak with it.

    A field is checked against those above it that are right (`ValidationInfo.data`), so that one wrong value
    hides no other trouble.
    """

    allow_http: bool = False
    url: Annotated[SERVICE_URL, Field(repr=False)]  # its query may hold a key
    dialect: Dialect = "classic"
    auth: Literal["key", "entra", "none"] = "key"
    key: Key = Field(SecretStr(""), validate_default=True)
    verify_tls: bool = True
    contract: str = ""
    features: Annotated[Names, AfterValidator(_without_twins)] = Field((), validate_default=True)
    constants: Annotated[
        dict[str, str | int | float | bool | None], BeforeValidator(_json_if_text), AfterValidator(_finite)
    ] = Field(default_factory=dict)
    map: Annotated[dict[str, str], BeforeValidator(_json_if_text)] = Field(default_factory=dict)
    input_name: str = ""
    output_name: str = ""
    method: str = "predict"
    parameters: Annotated[dict[str, Any], BeforeValidator(_json_if_text), AfterValidator(_finite)] = Field(
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
    def _unread_on_the_way(cls, value: str, info: ValidationInfo) -> str:
        if value.startswith("http:") and info.data.get("allow_http") is False and not is_loopback(value):
            raise ValueError("must be https; allow_http = true permits plain http, key and data readable")
        return value

    @field_validator("key")
    @classmethod
    def _key_where_one_is_asked_for(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if info.data.get("auth") == "key" and not value.get_secret_value():
            raise ValueError("missing: set it as the app setting MODELS__<NAME>__KEY, or set auth")
        return value

    @field_validator("features")
    @classmethod
    def _bound_by_something(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not value and info.data.get("contract") == "":
            raise ValueError("contract (the export it was trained on) or features must be set")
        return value

    @field_validator("map")
    @classmethod
    def _of_features(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        features, constants = info.data.get("features", ()), info.data.get("constants", {})
        known = (set(features) if features else value.keys()) - constants.keys()
        if unknown := sorted(value.keys() - known):
            raise ValueError(f"{', '.join(unknown)} is no feature")
        return value

    @field_validator("input_name")
    @classmethod
    def _every_column_where_a_script_takes_them(cls, value: str, info: ValidationInfo) -> str:
        if value == EVERY_COLUMN and info.data.get("dialect") in _without("score-script"):
            raise ValueError("* (every column an input of its own) is of the dialect score-script")
        return value

    @field_validator("output_name")
    @classmethod
    def _of_several_outputs(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("dialect") in _without(*HAVE_OUTPUTS):
            raise ValueError(f"is of the dialects {', '.join(HAVE_OUTPUTS)}: others have no named outputs")
        return value

    @field_validator("method")
    @classmethod
    def _of_automl(cls, value: str, info: ValidationInfo) -> str:
        if value not in ("", "predict") and info.data.get("dialect") in _without(*HAVE_METHODS):
            raise ValueError(f"is of the dialects {' and '.join(HAVE_METHODS)}: no other sends it")
        return value

    @field_validator("parameters")
    @classmethod
    def _beside_the_rest(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        dialect, method = info.data.get("dialect"), info.data.get("method")
        if dialect in HAVE_METHODS and method not in ("", "predict", value.get("method", method)):
            raise ValueError("has another method than the setting method: one of the two")
        if both := sorted(_keys_of_rows(info.data) & value.keys()):
            raise ValueError(f"has the key {', '.join(both)}, which is that of the rows")
        return value

    @field_validator("outputs")
    @classmethod
    def _a_property_each(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        properties = [name.replace(" ", "-") for name in value]
        if twins := sorted({name for name in properties if properties.count(name) > 1}):
            raise ValueError(f"has two names that become one property, {', '.join(twins)}")
        ours = (*MARKS, *(PROVENANCE if info.data.get("provenance") else ()))
        if taken := sorted({*ours} & {*properties}):
            raise ValueError(f"names {', '.join(taken)}, a property that the app writes itself")
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


class Settings(BaseSettings):
    """All settings, read once and frozen."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        env_nested_delimiter="__",
        enable_decoding=False,  # JSON is read field by field: one bad list must not hide other trouble
    )

    sesam: SesamSettings = SesamSettings()
    storage: StorageSettings = StorageSettings()
    exports: Annotated[dict[Name, ExportSettings], BeforeValidator(_json_if_text)] = Field(
        default_factory=dict
    )
    models: Annotated[dict[Name, ModelSettings], BeforeValidator(_json_if_text)] = Field(default_factory=dict)
    limits: LimitSettings = LimitSettings()
    azure_ml: AzureMLSettings | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment beat the file; nothing else is read."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, _config_file())

    @model_validator(mode="wrap")
    @classmethod
    def _with_what_no_section_sees(cls, given: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        across = list(_problems_across(given))
        try:
            made = read(given)
        except PydanticError as error:
            raise SettingsWrong([*_problems(error), *across]) from None
        if across:
            raise SettingsWrong(across)
        return made

    def weaknesses(self) -> Iterator[str]:
        """Say where what is sent could be read or altered on the way, because the settings allow it."""
        if not self.sesam.verify_tls:
            yield "sesam.verify_tls is false: whoever sits between could read the token and alter data"
        if _is_plain(self.storage.connection_string.get_secret_value()):
            yield "the storage's connection string is plain http: whoever sits between could alter versions"
        for name, model in self.models.items():
            seen = f"anybody on the way to {urlsplit(model.url).hostname} can read the key and the data"
            if not model.verify_tls:
                yield f"models.{name}.verify_tls is false: {seen}"
            if model.url.startswith("http:") and not is_loopback(model.url):
                yield f"models.{name}.allow_http is true: {seen}"


def load_settings() -> Settings:
    """Read the settings from the environment and `bridge.toml`.

    Raises:
        SettingsWrong: with every problem found, by name.
    """
    problems = _schedule_problems()
    if os.environ.get("BRIDGE_CONFIG") and not _config_file().is_file():
        problems.append(f"BRIDGE_CONFIG names {_config_file().name}, which is not there")
    roots = trusted_roots()
    if isinstance(roots, str) and not Path(roots).exists():
        problems.append("REQUESTS_CA_BUNDLE: names a file that is not there")
    settings: Settings | None = None
    try:
        settings = Settings()
    except SettingsWrong as wrong:
        problems += wrong.problems
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        problems.append(f"{_config_file().name} cannot be read: {_reason(error)}")
    try:
        host = host_storage()
    except PydanticError as error:
        problems += [f"AzureWebJobsStorage: {problem}" for problem in _problems(error)]
    if problems or settings is None:
        raise SettingsWrong(problems)
    own = settings.storage
    has_account = own.connection_string.get_secret_value() or own.blob_service_uri
    account = own if has_account else host.model_copy(update={"container": own.container})
    whole = account.model_copy(update={"client_id": own.client_id or host.client_id})
    return settings.model_copy(update={"storage": whole})


@cache
def settings() -> Settings:
    """Give the process's settings, read at the first call.

    Raises:
        SettingsWrong: at every call, as a wrong setting cannot mend itself.
    """
    given = load_settings()
    for weakness in given.weaknesses():
        log.warning(weakness)
    return given


def trusted_roots() -> str | bool:
    """Give whom TLS trusts: the certificates that REQUESTS_CA_BUNDLE names, else the well-known ones."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or True


def host_storage() -> HostStorage:
    """Give the Functions host's own account: where the queue is, and the versions unless [storage] is set.

    A connection string or an identity-based connection, in the host's spellings (facts/functions.md §6).
    """
    named = {k.lower(): v for k, v in os.environ.items() if k.lower().startswith("azurewebjobsstorage")}
    account = named.get("azurewebjobsstorage__accountname")

    def service(kind: str) -> str:
        given = named.get(f"azurewebjobsstorage__{kind}serviceuri")
        return given or (f"https://{account}.{kind}.core.windows.net" if account else "")

    return HostStorage(
        connection_string=SecretStr(named.get("azurewebjobsstorage", "")),
        blob_service_uri=service("blob"),
        queue_service_uri=service("queue"),
        client_id=named.get("azurewebjobsstorage__clientid") or os.environ.get("AZURE_CLIENT_ID", ""),
    )


def _config_file() -> Path:
    return Path(__file__).parent / (os.environ.get("BRIDGE_CONFIG") or "bridge.toml")


def _reason(error: Exception) -> str:
    # tomllib tells the place and the kind of trouble; a UnicodeDecodeError would quote bytes.
    return str(error) if isinstance(error, tomllib.TOMLDecodeError) else type(error).__name__


def _problems_across(given: Mapping[str, Any]) -> Iterator[str]:
    """Check what concerns several sections, on the values as given: a wrong one must not hide these."""
    sesam, exports, models = (_table(given, name) for name in ("sesam", "exports", "models"))
    if exports and not sesam.get("url"):
        yield "sesam.url is missing: exports need the node's address (SESAM__URL)"
    if exports and not sesam.get("jwt"):
        yield "sesam.jwt is missing: set the app setting SESAM__JWT"
    yield from _prefixes_shared({name: _prefix(name, _table(models, name)) for name in models})
    for name in models:
        model = _table(models, name)
        contract = str(model.get("contract") or "")
        if contract and contract not in exports:
            yield f"models.{name}.contract names no export under [exports]"
        prefix = _prefix(name, model)
        features, chosen = _texts(_plain(model.get("features"))), _texts(_table(model, "map").values())
        for place, named in (("features", features), ("map", chosen)):
            if any(each.startswith(prefix) for each in named):
                yield f"models.{name}.{place}: names what begins with {prefix}, where only its scores stand"
        label = _table(exports, contract).get("label")
        if label and label in features:
            yield f"models.{name}.features: names {label}, the label of its export, which is never sent"


def _prefix(name: str, model: Mapping[str, Any]) -> str:
    return str(model.get("prefix") or f"{name}:")


def _prefixes_shared(prefixes: Mapping[str, str]) -> Iterator[str]:
    """Find models that would take each other's scores for their own of an earlier round."""
    for name, prefix in prefixes.items():
        for other, longer in prefixes.items():
            if name != other and longer.startswith(prefix) and (longer != prefix or name > other):
                yield f"models.{name}.prefix: {prefix} covers the scores of models.{other}: set another"


def _table(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = _plain(given.get(name))
    return table if isinstance(table, Mapping) else {}


def _texts(values: object) -> list[str]:
    return [each for each in values if isinstance(each, str)] if isinstance(values, Collection) else []


def _plain(value: object) -> Any:
    """Read a value as its field will; what cannot be read is told there."""
    try:
        return _json_if_text(value) or ()
    except ValueError:
        return ()


def _problems(error: PydanticError) -> Sequence[str]:
    return [_problem(e["loc"], e["type"], e["msg"]) for e in error.errors(include_input=False)]


def _problem(loc: tuple[int | str, ...], kind: str, message: str) -> str:
    name = ".".join(str(part) for part in loc if part != "[key]")
    told = {
        "extra_forbidden": "unknown key",
        "missing": "missing",
        "string_pattern_mismatch": "not of the form asked for; see docs/configure.md",
    }.get(kind, message.removeprefix("Value error, "))
    return f"{name}: {told}" if name else told


def _schedule_problems() -> list[str]:
    schedule = os.environ.get("TRAINING_EXPORT_SCHEDULE")
    if not schedule:
        return []
    from datetime import UTC, datetime

    from cronsim import CronSim, CronSimError

    wanted = "TRAINING_EXPORT_SCHEDULE: must be six NCRONTAB fields, second to weekday, that come to pass"
    if len(schedule.split()) != 6:
        return [wanted]
    try:
        next(CronSim(schedule, datetime.now(UTC)))
    except (CronSimError, StopIteration):
        return [wanted]
    return []
