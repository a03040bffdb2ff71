"""`make run`: the main job, end to end, on real parts where they can be had.

Azurite is storage, the app runs under Microsoft's own engine, and stand-ins play the Sesam node and the
classic web service. A snapshot is taken, a model trained from that very version and adopted, and customers
are sent through as a Sesam pipe would send them.
"""

import argparse
import contextlib
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from local import customers, train
from local.azurite import Azurite, AzuriteFailed, running_azurite
from local.host.process import AppNotRunning, RunningApp, Runtime, running_app
from local.node import Node, Run, running_node
from local.services.classic import ClassicService, running_classic
from local.tables import columns_table, scores_table

ROOT = Path(__file__).resolve().parents[1]
EXPORT, PIPE, MODEL, LABEL = "customers", "customers-training-csv", "churn", "ChurnFlag"
SCORING_PIPE = "customer-churn-scoring"
PORT = 7071
SECONDS_TO_EXPORT = 120
SHOWN = 5


class DemoFailed(Exception):
    """What went wrong, in one line."""


@dataclass(frozen=True)
class Parts:
    """Everything that runs."""

    azurite: Azurite
    node: Node
    service: ClassicService
    app: RunningApp
    models: Path


@contextmanager
def running_parts(
    count: int, port: int, *, directory: Path = ROOT, runtime: Runtime | None = None
) -> Iterator[Parts]:
    """Start storage, node, web service and the app in `directory`, all on loopback, and end them all."""
    key = secrets.token_urlsafe(32)
    with contextlib.ExitStack() as stack:
        models = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        azurite = stack.enter_context(running_azurite())
        service = stack.enter_context(running_classic(models, key=key))
        variables = {"azure-ml-system": "azure-ml-churn"}
        node = stack.enter_context(running_node(customers.datasets(count), environment=variables))
        settings = {
            "AzureWebJobsStorage": azurite.connection_string,
            "SESAM__URL": node.url,
            "SESAM__JWT": node.jwt,
            "MODELS__CHURN__URL": service.url,
            "MODELS__CHURN__KEY": key,
        }
        app = stack.enter_context(
            running_app(directory, settings=settings, port=port, auth=True, runtime=runtime or Runtime())
        )
        node.environment["azure-ml-app-url"] = app.base_url
        node.secrets["azure-ml-function-key"] = app.key
        yield Parts(azurite, node, service, app, models)


def export(parts: Parts) -> Mapping[str, Any]:
    """Start the export as the timer would, wait for its end, and give the published version's manifest.

    Raises:
        DemoFailed: it published nothing; the app's own words say why.
    """
    started = call(parts.app, "POST", f"exports/{EXPORT}")["run"]
    end = time.monotonic() + SECONDS_TO_EXPORT
    while time.monotonic() < end:
        run = call(parts.app, "GET", f"exports/{EXPORT}")["run"]
        if run and run["id"] == started and run["outcome"] not in ("queued", "running"):
            if run["outcome"] != "published":
                raise DemoFailed(f"The export ended as {run['outcome']}: {run['detail']}")
            manifest: Mapping[str, Any] = call(
                parts.app, "GET", f"exports/{EXPORT}/versions/{run['version']}"
            )
            return manifest
        time.sleep(0.2)
    raise DemoFailed(f"The export did not end within {SECONDS_TO_EXPORT} s.\n{_last_words(parts)}")


def _last_words(parts: Parts) -> str:
    lines = [line for line in parts.app.output().splitlines() if "Executing" not in line]
    return "\n".join([line for line in lines if "(Succeeded" not in line][-20:])


def _manifest(parts: Parts, version: str) -> Mapping[str, Any]:
    manifest: Mapping[str, Any] = call(parts.app, "GET", f"exports/{EXPORT}/versions/{version}")
    return manifest


def learn(parts: Parts) -> train.TrainingReport:
    """Train the web service's model from the latest version in storage, prove it, and adopt that version."""
    read = train.blobs(parts.azurite.connection_string, "training-data")
    report = train.train(read, EXPORT, label=LABEL, folder=parts.models)
    train.store_golden(parts.app.base_url, parts.app.key, MODEL, report.version, report.golden)
    train.adopt(parts.app.base_url, parts.app.key, MODEL, report.version)
    return report


def operate(parts: Parts) -> Run:
    """Run the scoring pipe over what is new in the hub, and let its scores flow back there.

    Raises:
        DemoFailed: a customer was lost or not scored.
    """
    run = parts.node.run_pipe(SCORING_PIPE)
    if not run.completed or run.failed or run.deleted or run.dropped:
        failed = run.failed[0].text if run.failed else "no customer failed"
        raise DemoFailed(f"The scoring pipe lost customers: {len(run.failed)} failed ({failed})")
    parts.node.run_pipe("customer-churn")
    parts.node.run_internal_pipes()
    return run


def loop(parts: Parts) -> Run:
    """Send the customers that have come back with their scores through the scoring pipe again.

    Raises:
        DemoFailed: a score changed by itself, or the loop does not come to rest.
    """
    again = operate(parts)
    if again.changed:
        raise DemoFailed(f"{again.changed} scores changed when the same customers were scored again.")
    if left := operate(parts).read:
        raise DemoFailed(f"The loop does not come to rest: {left} customers are still on their way.")
    return again


def call(app: RunningApp, method: str, route: str, body: object = None) -> Any:
    """Call a route of the app and give its JSON.

    Raises:
        DemoFailed: it answered with a failure.
    """
    response = requests.request(
        method,
        f"{app.base_url}/api/{route}",
        headers={"x-functions-key": app.key},
        json=body,
        timeout=60,
    )
    if not response.ok:
        raise DemoFailed(f"{method} /api/{route} answered {response.status_code}: {response.text}")
    return response.json()


def tell(parts: Parts) -> None:
    """Do the main job and print what happens."""
    manifest = _timed("1. Export: the node's pipe → a version in Blob storage", lambda: export(parts))
    _tell_version(manifest)
    report = _timed("2. Train: a model from that very version, which the app adopts", lambda: learn(parts))
    _tell_training(report)
    run = _timed("3. Operate: the scoring pipe sends every customer to the app", lambda: operate(parts))
    _tell_scores(parts, run)
    again = _timed("4. The loop: customers with their scores go the same way again", lambda: loop(parts))
    print(f"   again      {again.written:,} scored customers sent; {again.changed} scores changed")
    print("   then       nothing is left to send")


def _tell_version(manifest: Mapping[str, Any]) -> None:
    version, columns = manifest["version"], manifest["columns"]
    print(f"   version    {version}, published and named by latest/{EXPORT}.json")
    print(f"   data       {manifest['rows']:,} rows × {len(columns)} columns, {manifest['bytes']:,} bytes")
    print(f"   where      snapshots/{EXPORT}/{version}/data.csv, with an MLTable beside it")
    print(f"   sha256     {manifest['sha256']}")
    print(f"   contract   {manifest['contract_id']}\n")
    print(columns_table(columns))


def _tell_training(report: train.TrainingReport) -> None:
    print(f"   trained on {report.rows - report.held_out:,} rows, {len(report.used)} of their columns")
    print(
        f"   accuracy   {report.accuracy:.1%} on {report.held_out:,} held-out rows"
        f" (always the most common label: {report.baseline:.1%})"
    )
    print(
        f"   proven     the web service answers {len(report.golden.entities)} rows as the model itself does"
    )
    if report.accuracy <= report.baseline:
        raise DemoFailed("The model is no better than always answering the most common label.")


def _tell_scores(parts: Parts, run: Run) -> None:
    print(f"   scored     {run.written:,} of {run.read:,} customers; {run.filtered:,} deleted ones left out")
    print(f"   requests   {run.requests:,} from the node, {parts.service.requests:,} to the web service\n")
    scored = [e for e in parts.node.entities(SCORING_PIPE) if "churn:Scored-Labels" in e]
    if len(scored) != run.written:
        raise DemoFailed(f"{run.written - len(scored)} customers came back without a score.")
    print(scores_table(scored[:SHOWN]))


def _timed[T](title: str, work: Callable[[], T]) -> T:
    print(f"\n{title} …", flush=True)
    begin = time.monotonic()
    result = work()
    print(f"   took       {time.monotonic() - begin:.1f} s", flush=True)
    return result


def _keep(parts: Parts) -> None:
    base, key = parts.app.base_url, parts.app.key
    entity = next(e for e in parts.node.entities("customers-global") if not e.get("_deleted"))
    print("\nEverything keeps running; Ctrl-C ends it. Try:\n")
    print(f"  curl -s {base}/api/health/ready -H 'x-functions-key: {key}'")
    print(f"  curl -s {base}/api/models/{MODEL} -H 'x-functions-key: {key}'")
    print(f"  curl -s -X POST {base}/api/exports/{EXPORT} -H 'x-functions-key: {key}'")
    print(f"  curl -s {base}/api/exports/{EXPORT} -H 'x-functions-key: {key}'")
    kind = "-H 'content-type: application/json'"
    print(f"  curl -s {base}/api/score/{MODEL} -H 'x-functions-key: {key}' {kind} --data-binary @- <<'END'")
    print(json.dumps([entity], ensure_ascii=False) + "\nEND")
    print(f"\n  node     {parts.node.url}   Authorization: Bearer {parts.node.jwt}")
    print(f"  storage  {parts.azurite.connection_string}", flush=True)
    while True:
        time.sleep(3600)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when every customer came back scored, 1 with one line when not."""
    parser = argparse.ArgumentParser(prog="make run")
    parser.add_argument("--keep", action="store_true", help="leave all parts running")
    parser.add_argument("--customers", type=int, default=customers.COUNT)
    given = parser.parse_args(arguments)
    print("Starting storage, a Sesam node, a classic web service and the app …", flush=True)
    try:
        with running_parts(given.customers, PORT if given.keep else 0) as parts:
            tell(parts)
            print("\nDone: every customer came back with a score of a model trained on the snapshot.")
            if given.keep:
                _keep(parts)
    except (DemoFailed, train.TrainingFailed, AzuriteFailed, AppNotRunning, OSError) as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nEnded.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
