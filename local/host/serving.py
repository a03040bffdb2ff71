"""The host put together: an app's functions behind one port, beside its timers and queues, until a signal."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from local.host import routes
from local.host.admin import Admin, Fire
from local.host.configuration import READY, CannotStart, HostSettings
from local.host.engine import Engine
from local.host.functions import Function, function, is_disabled
from local.host.http import HttpFunctions
from local.host.keys import Keys
from local.host.messages import RpcFunctionMetadata
from local.host.running import Running
from local.host.timers import Timer

if TYPE_CHECKING:
    from local.host.queues import QueueListener

log = logging.getLogger("host")


@dataclass(frozen=True)
class Service:
    """What is served, where and how.

    Without `keys` none are checked. `grace`: the seconds that running calls get at the end.
    `hidden`: the seconds for which a message that is being worked on is hidden from others, again and again.
    `until_input_ends`: the end of standard input ends the host as a signal does.
    """

    directory: Path
    settings: HostSettings
    environment: Mapping[str, str]
    keys: Keys | None
    host: str
    port: int
    grace: float
    hidden: int
    until_input_ends: bool


@dataclass(frozen=True)
class _Parts:
    """The functions by kind of trigger; those in error and those switched off are left out."""

    functions: list[Function] = field(default_factory=list)
    http: list[tuple[Function, routes.Route]] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    queues: list["QueueListener"] = field(default_factory=list)
    fires: dict[str, Fire] = field(default_factory=dict)


async def serve(service: Service) -> int:
    """Serve until SIGTERM or SIGINT; give the number of runs that the grace was too short for."""
    stop = asyncio.Event()
    _stop_on_signals(stop)
    if service.until_input_ends:
        _stop_on_end_of_input(stop)
    engine, running = Engine(service.settings.function_timeout), Running()
    metadata = await engine.load(service.directory)
    _stop_on_signals(stop)  # the engine's server has taken the signals when it started
    parts = _parts(metadata, service, engine, running)
    if parts.http and not engine.http_address:
        raise CannotStart(
            "this host knows HTTP functions only by azurefunctions.extensions.http.fastapi; "
            "the app does not import it"
        )
    async with HttpFunctions(parts.http, engine, running, service.settings, service.keys) as http:
        admin = Admin(parts.functions, parts.fires, running, service.keys)
        runner = await _open(service, admin, http)
        serving = [part.serve() for part in parts.timers] + [part.serve() for part in parts.queues]
        listeners = [asyncio.create_task(work) for work in serving]
        _print_functions(parts, str(runner.addresses[0][0]), int(runner.addresses[0][1]))
        await _until(stop, listeners)
        http.stop()
        for site in list(runner.sites):
            await site.stop()
        log.info("stopping: what runs may finish")
        for listener in listeners:
            listener.cancel()
        abandoned = await running.finish(service.grace)
        await runner.cleanup()
    for queue in parts.queues:
        queue.close()
    return abandoned


def _stop_on_signals(stop: asyncio.Event) -> None:
    def on_signal() -> None:
        if stop.is_set():  # asked a second time: at once
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)


def _stop_on_end_of_input(stop: asyncio.Event) -> None:
    loop, source = asyncio.get_running_loop(), sys.stdin.fileno()

    def on_input() -> None:
        if not os.read(source, 1024):
            loop.remove_reader(source)
            stop.set()

    loop.add_reader(source, on_input)


def _parts(
    metadata: Sequence[RpcFunctionMetadata], service: Service, engine: Engine, running: Running
) -> _Parts:
    parts = _Parts()
    for entry in metadata:
        if is_disabled(entry.name, service.environment):
            log.info("The '%s' function is switched off", entry.name)
            continue
        try:
            _add(parts, function(entry), service, engine, running)
        except ValueError as error:
            log.error("The '%s' function is in error: %s", entry.name, error)  # noqa: TRY400  # no bug of ours
    return parts


def _add(parts: _Parts, added: Function, service: Service, engine: Engine, running: Running) -> None:
    if added.kind == "http":
        parts.http.append((added, added.route(service.settings.route_prefix)))
    elif added.kind == "timer":
        timer = Timer(added, service.environment, engine, running)
        parts.timers.append(timer)
        parts.fires[added.name] = lambda _: timer.fire()
    else:
        # Imported where there is a queue: an app without one does not need the SDK.
        from local.host.queues import QueueListener

        queue = QueueListener(
            added, service.environment, service.settings.queues, engine, running, hidden=service.hidden
        )
        parts.queues.append(queue)
        parts.fires[added.name] = queue.fire
    parts.functions.append(added)


async def _open(service: Service, admin: Admin, http: HttpFunctions) -> web.AppRunner:
    application = web.Application()
    application.add_routes(admin.routes())
    application.router.add_route("*", r"/{path:[\s\S]*}", http.handle)
    runner = web.AppRunner(
        application,
        handle_signals=False,
        access_log=None,
        shutdown_timeout=1,
        auto_decompress=False,  # the real host forwards a body as it came
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, service.host, service.port).start()
    except OSError as error:
        raise CannotStart(
            f"port {service.port} of {service.host} cannot be had: {os.strerror(error.errno or 0)}. "
            "Another: --port"
        ) from None
    return runner


async def _until(stop: asyncio.Event, listeners: Sequence[asyncio.Task[None]]) -> None:
    """Wait for the signal. A listener ends only by a bug: that ends the host, loudly."""
    stopped = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopped, *listeners], return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def _print_functions(parts: _Parts, host: str, port: int) -> None:
    address = f"http://{host}:{port}"
    print("\nFunctions:\n")
    for shown, route in parts.http:
        methods = ",".join(sorted(route.methods)) or "any method"
        print(f"\t{shown.name}: [{methods}] {address}/{route.template.lstrip('/')}")
    for shown in parts.functions:
        if shown.kind != "http":
            print(f"\t{shown.name}: {shown.kind}Trigger")
    print(f"\n{READY}{address}", flush=True)
