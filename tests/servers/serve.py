"""Runs every server from one process that has imported their libraries once; stops when its input ends.

    python serve.py FOLDER plain=5001 automl=5002 …      # the servers' own Python; models are made in FOLDER

Six servers that import pandas, scikit-learn and mlflow for themselves take a minute to start on two cores;
forked from one that has, ten seconds. Each is what it would be alone: gunicorn with Microsoft's inference
server and an entry script, or uvicorn with MLflow's.
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

# Imported here to be there in every child; Microsoft's server itself reads its settings when it is imported.
import azure.monitor.opentelemetry.exporter  # noqa: F401  # the slowest part of Microsoft's server
import flask  # noqa: F401  # see above
import inference_schema.schema_decorators  # noqa: F401  # see above
import make_models
import mlflow.pyfunc.scoring_server  # noqa: F401  # see above
import uvicorn
from gunicorn.app import wsgiapp

HERE = Path(__file__).parent
LOOPBACK = "127.0.0.1"
INFERENCE_SERVER = "azureml_inference_server_http.server.entry:app"
SCRIPTS: Mapping[str, tuple[str, str]] = {
    "plain": ("plain_script.py", ""),
    "automl": ("automl_script.py", ""),
    "automl-v1": ("automl_v1_script.py", ""),
    "mlflow": ("mlflow_script.py", "signed"),
    "mlflow-unsigned": ("mlflow_script.py", "unsigned"),
}


def main(folder: Path, ports: Mapping[str, int]) -> None:
    """Make the models, start the servers, wait until nobody holds our input any more, stop them."""
    make_models.main(folder)
    children = [_child(folder, name, port) for name, port in ports.items()]
    sys.stdin.read()
    for child in children:
        os.kill(child, signal.SIGTERM)
    for child in children:
        os.waitpid(child, 0)


def _child(folder: Path, name: str, port: int) -> int:
    child = os.fork()
    if child:
        return child
    log = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    status = 1
    try:
        if name == "mlflow-server":
            _run_mlflow_server(folder, port)
        else:
            _run_inference_server(folder, port, *SCRIPTS[name])
        status = 0
    finally:
        os._exit(status)


def _run_mlflow_server(folder: Path, port: int) -> None:
    os.environ["__pyfunc_model_path__"] = str(folder / "signed")  # noqa: SIM112  # mlflow's own name for it
    uvicorn.run("mlflow.pyfunc.scoring_server.app:app", host=LOOPBACK, port=port)


def _run_inference_server(folder: Path, port: int, script: str, model: str) -> None:
    os.environ |= {
        "AML_APP_ROOT": str(HERE),
        "AZUREML_ENTRY_SCRIPT": str(HERE / script),
        "AZUREML_MODEL_DIR": str(folder),
        "MLFLOW_MODEL_FOLDER": model,
        "HTTP_X_MS_SERVER_VERSION": "azmlinfsrv/1.5.1",
    }
    sys.argv = [
        "gunicorn",
        f"--bind={LOOPBACK}:{port}",
        "--workers=1",
        "--timeout=300",
        "--graceful-timeout=1",
    ]
    sys.argv.append("azureml_inference_server_http.server.entry:app")
    wsgiapp.run()


if __name__ == "__main__":
    given = (word.partition("=") for word in sys.argv[2:])
    main(Path(sys.argv[1]), {name: int(port) for name, _, port in given})
