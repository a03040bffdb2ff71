"""One target under atheris: `python -m tests.fuzz.engine TARGET [libFuzzer's arguments]`.

Runs in the environment of requirements.txt beside it, where nothing but atheris, msgspec and numpy is.
"""

import sys

import atheris

with atheris.instrument_imports(include=["contract", "errors", "scoring", "training_export"]):
    from tests.fuzz.targets import TARGETS

target = TARGETS[sys.argv.pop(1)]
atheris.Setup(sys.argv, target)
atheris.Fuzz()
