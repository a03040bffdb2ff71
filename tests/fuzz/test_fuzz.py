"""What others wrote is read or refused, never a crash: over the corpus, and by a second of fuzzing each."""

from pathlib import Path
from typing import get_args

import pytest

import sections
from local.bootstrap import ROOT
from tests.environments import EnvironmentFailed
from tests.fuzz.run import CORPUS, FUZZ, fuzz
from tests.fuzz.targets import DIALECTS, TARGETS

SEED = "-seed=1"

# About a second each. A number and not a time: every run, on any machine, tries much the same inputs; what
# only chance finds is found by `make fuzz`.
RUNS = {"wire": 50_000, "entities": 25_000, "rows": 5_000, "csv": 2_000, "answers": 20_000, "verdicts": 5_000}


@pytest.mark.fault(1, 8, 17, 34)
@pytest.mark.parametrize("target", TARGETS)
def test_every_input_of_the_corpus_keeps_the_promises(target: str) -> None:
    inputs = sorted((CORPUS / target).iterdir())
    assert inputs
    for each in inputs:
        try:
            TARGETS[target](each.read_bytes())
        except Exception as error:
            raise AssertionError(f"{each.relative_to(ROOT)} breaks a promise") from error


@pytest.mark.fault(1, 8, 17, 34)
@pytest.mark.parametrize("target", TARGETS)
def test_a_second_of_coverage_guided_fuzzing_breaks_no_promise(target: str, tmp_path: Path) -> None:
    try:
        done = fuzz(target, f"-runs={RUNS[target]}", SEED, found=tmp_path)
    except EnvironmentFailed as failed:
        pytest.skip(f"no atheris on this machine, the corpus alone was run: {str(failed)[-200:]}")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "DONE" in done.stderr


def test_no_target_and_no_dialect_is_left_out() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == TARGETS.keys()
    assert set(DIALECTS) == set(get_args(sections.Dialect))


@pytest.mark.parametrize("package", ["msgspec", "numpy"])
def test_what_is_fuzzed_has_the_apps_own_packages(package: str) -> None:
    (pin,) = pins_of(FUZZ, package)
    assert [pin] == pins_of(ROOT, package)


def pins_of(folder: Path, package: str) -> list[str]:
    lines = (folder / "requirements.txt").read_text().splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.startswith(f"{package}==")]
