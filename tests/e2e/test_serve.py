"""`make serve`: wrong settings are told before anything is served."""

import os
import subprocess
import sys
from pathlib import Path

from local.serve import ROOT

SECRET = "planted-secret-91c2"


def test_wrong_settings_are_listed_and_nothing_is_served(tmp_path: Path) -> None:
    settings = {"SESAM__JWT": SECRET, "MODELS__CHURN__KYE": SECRET, "BRIDGE_CONFIG": "bridge.toml"}
    done = subprocess.run(
        [sys.executable, "-m", "local.serve", "--port", "0"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "models.churn.kye: unknown key" in done.stderr
    assert SECRET not in done.stdout + done.stderr
