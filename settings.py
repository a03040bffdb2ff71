"""The settings: `bridge.toml`, overridden by the environment; read once, strictly.

Every key of `bridge.toml` can be an app setting, sections joined by two underscores (`MODELS__CHURN__KEY`,
`SESAM__JWT`), lists and tables as JSON. Whatever is unknown, missing or wrong is listed at once in one
`SettingsWrong`, by name, with what was expected and never with the value (design §4).
"""

import json
import os
import tomllib
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic import ValidationError as PydanticError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from errors import SettingsWrong

NAME_PATTERN = r"[a-z][a-z0-9]*(_[a-z0-9]+)*"
DEFAULT_SCHEDULE = "0 0 2 * * *"

# The platform cuts an HTTP answer at 230 s (facts/functions.md §6): ours must be out before that.
LONGEST_ANSWER_S = 225.0

Dialect = Literal[
    "classic", "classic-swagger", "designer", "automl", "automl-v1", "mlflow", "mlflow-server", "score-script"
]


def _json_if_text(value: object) -> object:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("as text it must be JSON") from None
    return value


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


def _parts(url: str) -> SplitResult | None:
    """Take an http(s) address apart; None where it is none. urlsplit's own errors quote the value."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
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


Secret = Annotated[SecretStr, AfterValidator(_resolved)]
Name = Annotated[str, Field(pattern=rf"^{NAME_PATTERN}$", max_length=63)]
Names = Annotated[tuple[str, ...], BeforeValidator(_json_if_text)]
type Table[T] = Annotated[dict[Name, T], BeforeValidator(_json_if_text)]
NODE_URL = Annotated[str, AfterValidator(_node_address)]
SERVICE_URL = Annotated[str, AfterValidator(_service_address)]


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
    blob_service_uri: str = ""
    queue_service_uri: str = ""
    client_id: str = ""


class ExportSettings(Section):
    """`[exports.<name>]`: one published pipe, snapshotted as versions."""

    pipe: Annotated[str, Field(min_length=1, pattern=r"^[^/]+$")]
    label: str = ""
    columns: Names = ()
    min_rows: Annotated[int, Field(ge=0)] = 1
    max_shrink: Annotated[float, Field(gt=0, le=1)] = 0.5
    keep_versions: Annotated[int, Field(ge=1)] = 30
    formats: Annotated[tuple[Literal["csv", "parquet"], ...], BeforeValidator(_json_if_text)] = ("csv",)
    allow_unframed: bool = False
    # The csv sink's own words; unset means: as the pipe says, else Sesam's defaults (facts/sesam.md §3.1).
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    quotechar: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    escapechar: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    doublequote: bool | None = None
    lineterminator: Literal["\r\n", "\n", "\r"] | None = None
    encoding: str | None = None
    byte_order_mark: bool | None = None
    include_header: bool | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "csv" not in self.formats:
            raise ValueError("formats must keep 'csv': the bytes as the node sent them are the version")
        if self.include_header is False and not self.columns:
            raise ValueError("include_header = false needs columns: the names are then nowhere else")
        return self


class ModelSettings(Section):
    """`[models.<name>]`: one Azure ML web service and how to speak with it."""

    url: SERVICE_URL
    dialect: Dialect = "classic"
    auth: Literal["key", "entra", "none"] = "key"
    key: Secret = SecretStr("")
    allow_http: bool = False
    verify_tls: bool = True
    contract: str = ""
    features: Names = ()
    constants: Annotated[dict[str, str | int | float | bool | None], BeforeValidator(_json_if_text)] = Field(
        default_factory=dict
    )
    map: Annotated[dict[str, str], BeforeValidator(_json_if_text)] = Field(default_factory=dict)
    input_name: str = ""
    output_name: str = ""
    method: str = "predict"
    parameters: Annotated[dict[str, Any], BeforeValidator(_json_if_text)] = Field(default_factory=dict)
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
    outputs: Names = ()
    return_: Literal["all", "scores"] = Field("all", alias="return")
    prefix: Annotated[str, Field(pattern=r"^([^_$~\x00][^\x00]*)?$")] = ""
    decimals: Annotated[int, Field(ge=-1, le=15)] = -1
    provenance: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.url.startswith("http:") and not self.allow_http and not is_loopback(self.url):
            raise ValueError("url must be https; allow_http = true permits plain http, key and data readable")
        if self.auth == "key" and not self.key.get_secret_value():
            raise ValueError("key is missing: set it as the app setting MODELS__<NAME>__KEY, or set auth")
        if not self.contract and not self.features:
            raise ValueError("contract (the export it was trained on) or features must be set")
        return self


class LimitSettings(Section):
    """`[limits]`: what one request or answer may weigh."""

    body_bytes: Annotated[int, Field(ge=1, le=104_857_600)] = 50_000_000
    entities: Annotated[int, Field(ge=1)] = 20_000
    depth: Annotated[int, Field(ge=2, le=500)] = 64
    answer_bytes: Annotated[int, Field(ge=1)] = 100_000_000


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

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, model in self.models.items():
            if model.contract and model.contract not in self.exports:
                raise ValueError(f"models.{name}.contract names no export under [exports]")
        if self.exports and not self.sesam.url:
            raise ValueError("sesam.url is missing: exports need the node's address (SESAM__URL)")
        if self.exports and not self.sesam.jwt.get_secret_value():
            raise ValueError("sesam.jwt is missing: set the app setting SESAM__JWT")
        return self


def load_settings() -> Settings:
    """Read the settings from the environment and `bridge.toml`.

    Raises:
        SettingsWrong: with every problem found, by name.
    """
    problems = _schedule_problems()
    if os.environ.get("BRIDGE_CONFIG") and not _config_file().is_file():
        problems.append(f"BRIDGE_CONFIG names {_config_file().name}, which is not there")
    try:
        settings = Settings()
    except PydanticError as error:
        problems += [_problem(e["loc"], e["type"], e["msg"]) for e in error.errors(include_input=False)]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        problems.append(f"{_config_file().name} cannot be read: {_reason(error)}")
    if problems:
        raise SettingsWrong(problems)
    own = settings.storage
    if own.connection_string.get_secret_value() or own.blob_service_uri:
        return settings
    try:
        host = host_storage()
    except PydanticError as error:
        told = [_problem(e["loc"], e["type"], e["msg"]) for e in error.errors(include_input=False)]
        raise SettingsWrong([f"AzureWebJobsStorage: {problem}" for problem in told]) from None
    return settings.model_copy(update={"storage": host.model_copy(update={"container": own.container})})


@cache
def settings() -> Settings:
    """Give the process's settings, read at the first call.

    Raises:
        SettingsWrong: at every call, as a wrong setting cannot mend itself.
    """
    return load_settings()


def export_schedule() -> str:
    """Give the NCRONTAB expression of the export timer, UTC (design §4)."""
    return "%TRAINING_EXPORT_SCHEDULE%" if os.environ.get("TRAINING_EXPORT_SCHEDULE") else DEFAULT_SCHEDULE


def host_storage() -> StorageSettings:
    """Give the Functions host's own account: where the queue is, and the versions unless [storage] is set.

    A connection string or an identity-based connection, in the host's spellings (facts/functions.md §6).
    """
    named = {k.lower(): v for k, v in os.environ.items() if k.lower().startswith("azurewebjobsstorage")}
    account = named.get("azurewebjobsstorage__accountname")

    def service(kind: str) -> str:
        given = named.get(f"azurewebjobsstorage__{kind}serviceuri")
        return given or (f"https://{account}.{kind}.core.windows.net" if account else "")

    return StorageSettings(
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
