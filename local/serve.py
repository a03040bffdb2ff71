"""`make serve`: serve the app with your settings, as `func start` does; wrong ones are told first.

Settings are those of the environment, local.settings.json and bridge.toml, in that order (design §4).
"""

import os
import sys
from pathlib import Path

from errors import SettingsWrong
from local.host.__main__ import main as serve
from local.host.configuration import CannotStart, read_local_settings
from settings import load_settings

ROOT = Path(__file__).resolve().parents[1]


def read_settings() -> None:
    """Take local.settings.json into the environment, which goes before it, and check all settings.

    Raises:
        SettingsWrong: with every problem found.
        CannotStart: local.settings.json cannot be read.
    """
    for name, value in read_local_settings(ROOT).values.items():
        os.environ.setdefault(name, value)
    load_settings()


def main() -> int:
    """Check the settings, then serve; 2 where they are wrong, each named on a line of its own."""
    try:
        read_settings()
    except SettingsWrong as wrong:
        print("The settings are wrong:", *wrong.problems, sep="\n  ", file=sys.stderr)
        return 2
    except CannotStart as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 2
    return serve()


if __name__ == "__main__":
    sys.exit(main())
