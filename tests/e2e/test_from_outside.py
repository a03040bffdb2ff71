"""What a consultant does with a running app from outside: check it, and have every customer scored anew.

A new model scores nothing by itself: the lines of docs/sesam.md do.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from local import demo
from local.demo import EXPORT, MODEL, Parts, call, export, learn, loop, operate

PAGE = demo.ROOT / "docs" / "sesam.md"


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    """A hub whose customers have their scores."""
    with demo.running_parts(250, 0) as running:
        export(running)
        learn(running)
        operate(running)
        loop(running)
        yield running


def test_a_deployed_app_is_checked_from_outside_by_http_alone(parts: Parts, tmp_path: Path) -> None:
    live = [e for e in parts.node.entities("customers-global") if not e["_deleted"]]
    (tmp_path / "entities.json").write_text(json.dumps(live[:20]))
    rows, run = parts.service.rows, call(parts.app, "GET", f"exports/{EXPORT}")["run"]
    looked = check_deployed(parts)
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert looked.stdout.endswith("All 9 are right.\n")
    assert parts.service.rows == rows
    assert call(parts.app, "GET", f"exports/{EXPORT}")["run"] == run
    told = check_deployed(parts, ENTITIES=str(tmp_path / "entities.json"), EXPORT=EXPORT)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "20 of 20 entities have scores" in told.stdout
    assert re.search(rf"right  export {EXPORT} +unchanged", told.stdout)
    assert parts.app.key not in looked.stdout + told.stdout


def test_a_wrong_key_is_told_and_nothing_more_is_asked(parts: Parts) -> None:
    told = check_deployed(parts, KEY="wrong")
    assert told.returncode == 2
    assert re.search(r"WRONG  this key is taken +status 401, not 200: see that KEY", told.stdout)
    assert told.stdout.endswith("1 of 3 is wrong.\n")


def check_deployed(parts: Parts, **given: str) -> subprocess.CompletedProcess[str]:
    """Run it as `make check-deployed` does."""
    settings = {"BASE_URL": f"{parts.app.base_url}/api/", "KEY": parts.app.key, "COLUMNS": "300"} | given
    return subprocess.run(
        [sys.executable, "-m", "local.check_deployed"],
        cwd=demo.ROOT,
        env={"PATH": os.environ["PATH"]} | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_new_model_scores_nothing_by_itself_and_everything_after_the_lines_of_the_page(
    parts: Parts,
) -> None:
    before = scores(parts)
    customers = [e for e in parts.node.entities("crm-customer") if not e["_deleted"]][::3]
    parts.node.load("crm-customer", [e | {"crm-customer:ChurnFlag": True} for e in customers])
    parts.node.run_internal_pipes()
    version = export(parts)["version"]
    assert learn(parts).version == version
    assert call(parts.app, "GET", f"models/{MODEL}")["adopted"]["version"] == version
    assert 0 < operate(parts).changed <= len(customers)
    kept = [name for name, score in scores(parts).items() if score == before[name]]
    assert len(kept) > len(before) / 2

    rescore(parts)
    after = scores(parts)
    assert after == answered(parts)
    assert sum(after[name] == before[name] for name in kept) < len(kept) / 10


def rescore(parts: Parts) -> None:
    """Type what the page says."""
    (lines,) = re.findall(r'```console title="Rescore"\n(.*?)```', PAGE.read_text("utf-8"), re.DOTALL)
    done = subprocess.run(
        ["bash", "-e", "-c", lines],
        env={"PATH": os.environ["PATH"], "NODE": parts.node.url, "JWT": parts.node.jwt},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def scores(parts: Parts) -> dict[str, float]:
    """The scores as they stand in the scoring pipe's dataset."""
    found = (e for e in parts.node.entities(demo.SCORING_PIPE) if not e["_deleted"])
    return {e["_id"]: float(e["churn:Scored-Probabilities"].removeprefix("~f")) for e in found}


def answered(parts: Parts) -> dict[str, float]:
    """The scores that the app gives now."""
    live = [e for e in parts.node.entities("customers-global") if not e["_deleted"]]
    answer = requests.post(
        f"{parts.app.base_url}/api/score/{MODEL}",
        json=live,
        headers={"x-functions-key": parts.app.key},
        timeout=60,
    )
    return {e["_id"]: e["churn:Scored-Probabilities"] for e in answer.json()}
