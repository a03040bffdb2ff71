"""`python -m local.host`: serve a Function App on this machine, as `func start` does.

Ends with 0 on SIGTERM or SIGINT, when what was running has finished or the grace is over; with 2 when the app
cannot be served.
"""

import argparse
import asyncio
import logging
import os
import sys
import threading
import time
from pathlib import Path

from local.host.configuration import (
    DEFAULT_PORT,
    HIDDEN_SECONDS,
    CannotStart,
    LocalSettings,
    read_host_settings,
    read_local_settings,
)
from local.host.keys import HOST_KEY_VARIABLE, MASTER_KEY_VARIABLE, Keys, keys_from
from local.host.serving import Service, serve

# How long the interpreter may take to end: it waits for the app's threads, however long they run.
LAST_SECONDS = 2.0


def main() -> int:
    """Read the command line and the app's settings, and serve."""
    arguments = _arguments()
    _log_to_stdout()
    try:
        abandoned = asyncio.run(serve(_service(arguments)))
    except CannotStart as error:
        print(f"cannot start: {error}", file=sys.stderr, flush=True)
        return 2
    except SystemExit as ended:
        # The engine's own server does so when another process takes its port between choice and use.
        print(f"cannot start: the app or the engine has ended the process ({ended.code})", file=sys.stderr)
        return 2
    print(f"stopped; the grace was too short for {abandoned} calls" if abandoned else "stopped", flush=True)
    watchdog = threading.Timer(LAST_SECONDS, os._exit, [0])
    watchdog.daemon = True
    watchdog.start()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.host", description="Serve a Function App on this machine, as `func start` does."
    )
    parser.add_argument("--app", type=Path, default=Path(), help="the app's directory (default: this one)")
    parser.add_argument(
        "--port", type=int, help=f"default: local.settings.json's, else {DEFAULT_PORT}; 0: a free one"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument(
        "--enable-auth",
        action="store_true",
        help=f"check function keys: those of {HOST_KEY_VARIABLE} and {MASTER_KEY_VARIABLE}, or made up",
    )
    parser.add_argument(
        "--grace",
        type=float,
        default=30.0,
        help="seconds that running calls get at the end (default: %(default)s)",
    )
    parser.add_argument(
        "--hidden",
        type=int,
        default=HIDDEN_SECONDS,
        help="seconds until the message of a host that died is seen again (default: %(default)s)",
    )
    parser.add_argument(
        "--until-input-ends",
        action="store_true",
        help="end when standard input does: with the program that started it",
    )
    return parser.parse_args()


def _service(arguments: argparse.Namespace) -> Service:
    directory = arguments.app.resolve()
    settings, local = read_host_settings(directory), read_local_settings(directory)
    _enter(directory, local)
    port = next((port for port in (arguments.port, local.port) if port is not None), DEFAULT_PORT)
    keys = _keys() if arguments.enable_auth else None
    return Service(
        directory=directory,
        settings=settings,
        environment=os.environ,
        keys=keys,
        host=arguments.host,
        port=port,
        grace=arguments.grace,
        hidden=arguments.hidden,
        until_input_ends=arguments.until_input_ends,
    )


def _enter(directory: Path, local: LocalSettings) -> None:
    """Make the process the app's: its settings, its directory, its modules first on the path."""
    if unportable := local.unportable():
        print(f"local.settings.json: names with ':' are not read everywhere: {', '.join(unportable)}")
    for name, value in local.values.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("AZURE_FUNCTIONS_ENVIRONMENT", "Development")
    os.chdir(directory)
    sys.path.insert(0, str(directory))


def _keys() -> Keys:
    given = {name for name in (HOST_KEY_VARIABLE, MASTER_KEY_VARIABLE) if os.environ.get(name)}
    keys = keys_from(os.environ)
    if HOST_KEY_VARIABLE not in given:
        print(f"host key: {keys.host}")
    if MASTER_KEY_VARIABLE not in given:
        print(f"master key: {keys.master}")
    # The app has no business with them.
    for name in given:
        del os.environ[name]
    return keys


def _log_to_stdout() -> None:
    formatter = logging.Formatter("[%(asctime)s.%(msecs)03dZ] %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # The SDKs log each request, the engine each call: the app's own lines would drown.
    logging.getLogger("azure").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
