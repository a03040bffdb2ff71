"""What the engine says of the app's functions: names, triggers, routes, levels (facts/functions.md §2.4)."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local.host import routes
from local.host.messages import RpcFunctionMetadata

TRIGGERS = {"httptrigger": "http", "timertrigger": "timer", "queuetrigger": "queue"}
# The binding of an HTTP function's answer; it travels by HTTP and needs nothing from the host.
_ANSWER = ("http", "$return")


@dataclass(frozen=True)
class Function:
    """One function of the app; `kind` is http, timer or queue, `trigger` the trigger's binding as JSON."""

    name: str
    id: str
    kind: str
    trigger: Mapping[str, Any]
    bindings: tuple[Mapping[str, Any], ...]

    @property
    def parameter(self) -> str:
        """The name of the parameter that the trigger's input is passed as."""
        return str(self.trigger["name"])

    @property
    def level(self) -> str:
        """Who may call an HTTP function: anonymous, function or admin."""
        return str(self.trigger.get("authLevel", "function")).lower()

    def route(self, prefix: str) -> routes.Route:
        """Give an HTTP function's route under the app's prefix; ValueError when it is not known here."""
        own = self.trigger.get("route")
        template = f"{prefix}/{self.name if own is None else own}"
        return routes.route(self.name, template, self.trigger.get("methods") or ())


def function(metadata: RpcFunctionMetadata) -> Function:
    """Read one function's metadata; ValueError when it needs what this host does not have."""
    bindings = tuple(json.loads(raw) for raw in metadata.raw_bindings)
    triggers = [binding for binding in bindings if str(binding["type"]).lower() in TRIGGERS]
    for binding in bindings:
        if binding not in triggers and (str(binding["type"]).lower(), binding["name"]) != _ANSWER:
            raise ValueError(f'this host has no binding "{binding["type"]}" ({binding["name"]})')
    if len(triggers) != 1:
        raise ValueError("it has no trigger")
    if metadata.retry_options is not None:
        raise ValueError("this host has no retry policies")
    kind = TRIGGERS[str(triggers[0]["type"]).lower()]
    return Function(metadata.name, metadata.function_id, kind, triggers[0], bindings)


def is_disabled(name: str, settings: Mapping[str, str]) -> bool:
    """Say whether the setting `AzureWebJobs.NAME.Disabled` switches a function off."""
    return settings.get(f"AzureWebJobs.{name}.Disabled", "").strip().lower() in {"true", "1"}


def resolved(text: str, settings: Mapping[str, str]) -> str:
    """Put the settings named as `%NAME%` in their places; ValueError when one is not set."""
    first, *pairs = text.split("%")
    if len(pairs) % 2:
        raise ValueError(f'"{text}" has a % without its partner')
    parts = [first]
    for name, plain in _in_twos(pairs):
        if name not in settings:
            raise ValueError(f"%{name}% names a setting that is not set")
        parts += [settings[name], plain]
    return "".join(parts)


def _in_twos(items: list[str]) -> Iterable[tuple[str, str]]:
    return zip(items[::2], items[1::2], strict=True)
