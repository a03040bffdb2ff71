"""`make doctor`: your settings against the live world: what is right, what is wrong, what to do.

The checks are those of `GET /api/health/ready?deep=1`: here they are made as whoever calls, there as the app
itself. A few rows are scored, a blob and a message written and taken back; nothing is changed.
"""

import logging
import shutil
import sys
import textwrap
import warnings

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


def main() -> int:
    """Check and tell; 0 where all is right, 2 where something is wrong."""
    warnings.simplefilter("ignore")  # what is to be told is told below, each on its line
    logging.disable(logging.CRITICAL)
    columns = shutil.get_terminal_size((110, 24)).columns
    print("bridge.toml, local.settings.json and the environment, against the live world:\n", flush=True)
    try:
        read_settings()
    except SettingsWrong as wrong:
        for problem in wrong.problems:
            print(told("WRONG", "settings", problem, columns))
        return _summed_up(len(wrong.problems), len(wrong.problems))
    except CannotStart as error:
        print(told("WRONG", "local.settings.json", str(error), columns))
        return _summed_up(1, 1)
    import health  # only now: it takes the settings as they are

    wrong_ones, number = 0, 0
    for check in health.checks(deep=True):
        print(told("right" if check.ok else "WRONG", check.check, check.detail, columns), flush=True)
        number += 1
        wrong_ones += not check.ok
    return _summed_up(wrong_ones, number)


def _summed_up(wrong: int, number: int) -> int:
    verb = "is" if wrong == 1 else "are"
    print(f"\n{wrong} of {number} {verb} wrong." if wrong else f"\nAll {number} are right.")
    return 2 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
