"""Load folders as Azure ML does, with the real mltable, in its own environment; print their cells as JSON.

{"<folder>": {"<column>": [null | true | 7 | "text" | {"float": "1.5"} | {"time": "2026-…"}, …]}}
"""

import json
import sys

import mltable


def cell(value):
    if value is None or value != value or str(value) == "NaT":
        return None
    if hasattr(value, "isoformat"):
        return {"time": value.isoformat()}
    if hasattr(value, "item"):
        value = value.item()
    return {"float": repr(value)} if isinstance(value, float) else value


def columns(folder):
    frame = mltable.load(folder).to_pandas_dataframe()
    return {name: [cell(value) for value in frame[name].tolist()] for name in frame}


sys.stdout.write("\n" + json.dumps({folder: columns(folder) for folder in sys.argv[1:]}) + "\n")
