"""`make doctor`: your settings against the live world: what is right, what is wrong, what to do.

The checks are those of `GET /api/health/ready?deep=1`: here they are made as whoever calls, there as the app
itself. A few rows are scored, a blob and a message written and taken back; nothing is changed.
"""

import logging
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterable

from checks import Check
from errors import SettingsWrong
from local.host.configuration import CannotStart
from local.serve import read_settings

NAME = 22
LEFT = "  {mark:5}  {name:{width}}  "


def told(mark: str, name: str, detail: str, columns: int) -> str:
    """Lay out one check: a long text goes on below itself."""
    head = LEFT.format(mark=mark, name=name, width=NAME)
    return textwrap.fill(
        detail,
        max(columns, 80),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_checks(checks: Iterable[Check]) -> int:
    """Print each check when it is made, then the sum; give 0 where all are right, else 2."""
    columns = shutil.get_terminal_size((110, 24)).columns
    wrong, number = 0, 0
    for check in checks:
        print(told("right" if check.ok else "WRONG", check.check, check.detail, columns), flush=True)
        number += 1
        wrong += not check.ok
    verb = "is" if wrong == 1 else "are"
    print(f"\n{wrong} of {number} {verb} wrong." if wrong else f"\nAll {number} are right.")
    return 2 if wrong else 0


def main() -> int:
    """Check and tell; 0 where all is right, 2 where something is wrong."""
    warnings.simplefilter("ignore")  # what is to be told is told below, each on its line
    logging.disable(logging.CRITICAL)
    print("bridge.toml, local.settings.json and the environment, against the live world:\n", flush=True)
    try:
        read_settings()
    except SettingsWrong as wrong:
        return print_checks(Check("settings", False, problem) for problem in wrong.problems)
    except CannotStart as error:
        return print_checks([Check("local.settings.json", False, str(error))])
    import health  # only now: it takes the settings as they are

    return print_checks(health.checks(deep=True))


if __name__ == "__main__":
    sys.exit(main())
