"""The settings: `bridge.toml`, overridden by the environment; read once, strictly.

Every key of `bridge.toml` (sections.py has them) can be an app setting, sections joined by two underscores
(`MODELS__CHURN__KEY`, `SESAM__JWT`), lists and tables as JSON. Whatever is unknown, missing or wrong is
listed at once in one `SettingsWrong`, by name, with what was expected and never with the value (design §4).
"""

import logging
import os
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ModelWrapValidatorHandler, SecretStr, model_validator
from pydantic import ValidationError as PydanticError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from errors import SettingsWrong
from sections import (
    AzureMLSettings,
    ExportSettings,
    HostStorage,
    LimitSettings,
    ModelSettings,
    Name,
    SesamSettings,
    StorageSettings,
    is_loopback,
    json_if_text,
    prefix_of,
)

log = logging.getLogger("sesam-azureml.settings")


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
    exports: Annotated[dict[Name, ExportSettings], BeforeValidator(json_if_text)] = Field(
        default_factory=dict
    )
    models: Annotated[dict[Name, ModelSettings], BeforeValidator(json_if_text)] = Field(default_factory=dict)
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
    def _check_across_sections(cls, given: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
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
            yield "sesam.verify_tls is false: anyone on the network path could read the token and alter data"
        if _is_cleartext(self.storage.connection_string.get_secret_value()):
            yield "the storage's connection string is plain http: anyone on the network path could alter data"
        for name, model in self.models.items():
            seen = f"anyone on the network path to {urlsplit(model.url).hostname} can read key and data"
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
    return settings.model_copy(update={"storage": _account(settings.storage, host)})


def _account(own: StorageSettings, host: HostStorage) -> StorageSettings:
    """Give where the versions are: the account of [storage], else the host's."""
    has_account = own.connection_string.get_secret_value() or own.blob_service_uri
    account = own if has_account else host.model_copy(update={"container": own.container})
    return account.model_copy(update={"client_id": own.client_id or host.client_id})


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


def _is_cleartext(connection: str) -> bool:
    """Say whether a connection string leads over plain http to another machine."""
    words = dict(part.partition("=")[::2] for part in connection.split(";"))
    spoken = [value for name, value in words.items() if name.endswith("Endpoint")]
    if not spoken:
        return words.get("DefaultEndpointsProtocol", "").lower() == "http"
    return any(url.startswith("http:") and not is_loopback(url) for url in spoken)


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
        features, chosen = _texts(_as_read(model.get("features"))), _texts(_table(model, "map").values())
        for place, named in (("features", features), ("map", chosen)):
            if any(each.startswith(prefix) for each in named):
                yield f"models.{name}.{place}: names what begins with {prefix}, reserved for its scores"
        label = _table(exports, contract).get("label")
        if label and label in features:
            yield f"models.{name}.features: names {label}, the label of its export, which is never sent"


def _prefix(name: str, model: Mapping[str, Any]) -> str:
    return prefix_of(name, str(model.get("prefix") or ""))


def _prefixes_shared(prefixes: Mapping[str, str]) -> Iterator[str]:
    """Find models that would take each other's scores for their own of an earlier round."""
    for name, prefix in prefixes.items():
        for other, longer in prefixes.items():
            if name != other and longer.startswith(prefix) and (longer != prefix or name > other):
                yield f"models.{name}.prefix: {prefix} covers the scores of models.{other}: set another"


def _table(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = _as_read(given.get(name))
    return table if isinstance(table, Mapping) else {}


def _texts(values: object) -> list[str]:
    return [each for each in values if isinstance(each, str)] if isinstance(values, Collection) else []


def _as_read(value: object) -> Any:
    """Read a value as its field will; what cannot be read is told there."""
    try:
        return json_if_text(value) or ()
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

    wanted = (
        "TRAINING_EXPORT_SCHEDULE: must be six NCRONTAB fields, second to weekday, that match a time to come"
    )
    if len(schedule.split()) != 6:
        return [wanted]
    try:
        next(CronSim(schedule, datetime.now(UTC)))
    except (CronSimError, StopIteration):
        return [wanted]
    return []
