"""4. Cold start: what importing `function_app` costs beside the HTTP extension, and the first answer."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.tables import Table
from local.host.process import running_app

ROOT = Path(__file__).resolve().parents[1]
EXTENSION = "import azure.functions, azurefunctions.extensions.http.fastapi"
OURS = "import function_app"
_MEASURED = """
import time
begun = time.process_time(), time.perf_counter()
{}
print(time.process_time() - begun[0], time.perf_counter() - begun[1])
"""

NEEDED_LATER = (
    *("azure.storage", "azure.identity", "opentelemetry.sdk", "sklearn", "numpy", "pyarrow"),
    *("requests", "tenacity", "pydantic_settings"),
)


def imported(statement: str) -> tuple[float, float]:
    """Run an import in a fresh interpreter; CPU and wall seconds."""
    printed = subprocess.run(
        [sys.executable, "-c", _MEASURED.format(statement)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    cpu, wall = map(float, printed.split())
    return cpu, wall


def needlessly_imported() -> list[str]:
    """Say what of NEEDED_LATER the import of `function_app` brings."""
    code = f"{OURS}\nimport sys; print(*[name for name in {NEEDED_LATER!r} if name in sys.modules])"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()


def first_answer(directory: Path) -> float:
    """Give the seconds from starting the engine with an app to its first answer."""
    import requests

    settings = {
        "AzureWebJobsStorage": "",
        "TRAINING_EXPORT_SCHEDULE": "",
        "AzureWebJobs.run_export.Disabled": "true",
    }
    begun = time.perf_counter()
    with running_app(directory, settings=settings) as app:
        requests.get(f"{app.base_url}/api/health", timeout=30)
        return time.perf_counter() - begun


def run(repeats: int = 9, starts: int = 3) -> Table:
    """Measure, in turn."""
    extension, ours = [], []
    for _ in range(repeats):
        extension.append(imported(EXTENSION))
        ours.append(imported(OURS))
    starts_of = {
        path: [first_answer(path) for _ in range(starts)] for path in (ROOT / "bench" / "empty", ROOT)
    }
    empty, app = map(median, starts_of.values())
    cpu = median(a[0] / b[0] for a, b in zip(ours, extension, strict=True))
    wall = median(a[1] / b[1] for a, b in zip(ours, extension, strict=True))
    rows: Sequence[Sequence[str]] = [
        ("import, CPU", _ms(extension, 0), _ms(ours, 0), f"**{cpu:.2f}**"),
        ("import, wall", _ms(extension, 1), _ms(ours, 1), f"{wall:.2f}"),
        (
            "engine started → first answer, wall",
            f"{empty * 1000:.0f}",
            f"{app * 1000:.0f}",
            f"{app / empty:.2f}",
        ),
    ]
    needless = ", ".join(needlessly_imported()) or "none"
    return Table(
        "4. Cold start",
        f"Milliseconds, each in a fresh process. Of what is needed later ({', '.join(NEEDED_LATER)}) "
        f"the import of `function_app` brings: {needless}.",
        ("", "HTTP extension alone", "`function_app`", "×"),
        rows,
        "import at most 1.3 ×.",
    )


def _ms(times: Sequence[tuple[float, float]], which: int) -> str:
    return f"{median(each[which] for each in times) * 1000:.0f}"
