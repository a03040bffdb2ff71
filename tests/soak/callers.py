"""Those who use the app: a hub that sends batches until each is answered, exporters, a reader of `latest`."""

import hashlib
import random
import time
from threading import Event

import msgspec
import requests

from contract.documents import Latest
from storage import latest_blob, run_blob
from tests.exports import whole_version
from tests.soak.books import Books
from tests.soak.parts import EXPORTS, MODEL, ROWS, Parts
from tests.soak.world import Wrong, check_answer, customers, make_batch
from training_export.runs import Run

BATCH = 1000

# What a failed call may be told: all of it is worth another try. Any other status is a defect.
RETRIED = (429, 502, 503, 504)
LONGEST_PAUSE_S = 2.0

# A run whose host was killed comes back when its message is seen again and its lease has ended.
RUN_PATIENCE_S = 240.0
JOINED_AFTER_S = 15.0
FINAL = ("published", "unchanged", "held", "failed")


class Hub:
    """Sends batches as a pipe does: one after the other, each until it is answered."""

    def __init__(self, parts: Parts, books: Books, name: str) -> None:
        self._parts, self._books, self._name = parts, books, name
        self._session = requests.Session()
        self._session.trust_env = False

    def send_until(self, stop: Event, given_up: Event) -> None:
        """Send batches until told to stop; retry the last one until it is answered or all is given up."""
        number = 0
        while not stop.is_set():
            number += 1
            batch = make_batch(f"{self._name}-{number}", BATCH)
            body = msgspec.json.encode([made.entity for made in batch])
            self._books.add(self._books.entities, sent=len(batch))
            while (answer := self._post(body)) is None:
                if given_up.wait(self._pause):
                    return
            try:
                check_answer(batch, answer)
            except Wrong as wrong:
                self._books.blame(str(wrong))
                continue
            fates = [made.fate for made in batch]
            self._books.add(self._books.entities, **{fate: fates.count(fate) for fate in set(fates)})

    def _post(self, body: bytes) -> object | None:
        """Send once; None where it is to be sent again, after `_pause` seconds."""
        self._pause = 0.2
        try:
            answer = self._session.post(f"{self._parts.base_url}/score/{MODEL}", data=body, timeout=60)
        except requests.RequestException as error:
            self._books.note(self._books.answers, f"none: {type(error).__name__}")
            return None
        if answer.status_code == 200:
            self._books.note(self._books.answers, "200")
            decoded: object = msgspec.json.decode(answer.content)
            return decoded
        self._note_failure(answer)
        return None

    def _note_failure(self, answer: requests.Response) -> None:
        asked = answer.headers.get("Retry-After", "")
        self._pause = min(float(asked) if asked.isdigit() else 0.2, LONGEST_PAUSE_S)
        kind = "the host's own, empty"
        if answer.headers.get("Content-Type") == "application/problem+json":
            kind = answer.json()["type"].removeprefix("urn:sesam-azureml:")
        elif answer.content:
            self._books.blame(f"{answer.status_code} came with a body that is no problem document")
        if answer.status_code not in RETRIED:
            told = f"{answer.status_code} ({kind}): {answer.text[:300]}"
            self._books.blame(f"a sound batch was answered {told}")
        self._books.note(self._books.answers, f"{answer.status_code} {kind}")


class Exporter:
    """Runs one export again and again, with other data nearly every time, and proves what it published."""

    def __init__(self, parts: Parts, books: Books, export: str, seed: str) -> None:
        self._parts, self._books, self._export, self._seed = parts, books, export, seed
        self._chance = random.Random(f"{seed} {export}")
        self._offered: set[str] = set()
        self._proven: set[str] = set()

    def export_until(self, stop: Event, given_up: Event, pause: float) -> None:
        """Run exports until told to stop; the last one is waited for."""
        number = 0
        while not stop.is_set():
            number += 1
            if number == 1 or self._chance.random() < 0.85:
                self._offer(number)
            run = self._start(stop)
            if run:
                self._settle(run, given_up)
            stop.wait(pause)

    def _offer(self, number: int) -> None:
        count = ROWS + self._chance.randrange(-20, 20)
        data = self._parts.publish(self._export, customers(f"{self._seed} {self._export} {number}", count))
        self._offered.add(hashlib.sha256(data).hexdigest())

    def _start(self, stop: Event) -> str:
        while not stop.is_set():
            try:
                answer = requests.post(f"{self._parts.base_url}/exports/{self._export}", timeout=60)
                if answer.status_code == 202:
                    return str(answer.json()["run"])
                if answer.status_code not in RETRIED:
                    self._books.blame(f"starting {self._export} was answered {answer.status_code}")
            except requests.RequestException:
                pass
            stop.wait(0.5)
        return ""

    def _settle(self, run: str, given_up: Event) -> None:
        done = self._ended(run, given_up)
        if done is None:
            self._books.blame(f"a run of {self._export} never ended: {self._last()}")
            return
        joined = done.id != run
        self._books.note(self._books.runs, "joined another" if joined else done.outcome)
        if not joined and done.outcome == "failed" and not done.detail:
            self._books.blame(f"a run of {self._export} failed and does not say why")
        if done.version and done.outcome in ("published", "unchanged"):
            self._prove(done.version)
            if self._export == EXPORTS[0] and self._chance.random() < 0.3:
                self._adopt(done.version)

    def _ended(self, run: str, given_up: Event) -> Run | None:
        """Wait for the end of a run; or of another one, where its message found that one under way."""
        began = time.monotonic()
        other = 0.0
        while time.monotonic() - began < RUN_PATIENCE_S:
            last = self._last()
            now = time.monotonic()
            if last and last.outcome in FINAL:
                if last.id == run:
                    return last
                other = other or now
                if now - other > JOINED_AFTER_S:
                    return last
            else:
                other = 0.0
            if given_up.wait(0.1):
                return None
        return None

    def _last(self) -> Run | None:
        blob = self._parts.container.read(run_blob(self._export))
        return msgspec.json.decode(blob.data, type=Run) if blob else None

    def _prove(self, version: str) -> None:
        if version in self._proven:
            return
        self._proven.add(version)
        try:
            manifest = whole_version(self._parts.container, version, self._export)
        except AssertionError as error:
            self._books.blame(f"version {version} of {self._export} is not whole: {error}")
            return
        if manifest.sha256 not in self._offered:
            self._books.blame(f"version {version} of {self._export} is nothing that the node published")
        self._books.note(self._books.versions, "published")

    def _adopt(self, version: str) -> None:
        try:
            answer = requests.put(
                f"{self._parts.base_url}/models/{MODEL}/contract", json={"version": version}, timeout=60
            )
        except requests.RequestException:
            return
        if answer.status_code not in (200, 404, 409, *RETRIED):
            self._books.blame(f"adopting was answered {answer.status_code}")


def follow_latest(parts: Parts, books: Books, stop: Event) -> None:
    """Follow `latest` of every export, as a training job does: it is always whole and never goes back."""
    seen: dict[str, str] = {}
    while not stop.wait(0.2):
        for export in EXPORTS:
            blob = parts.container.read(latest_blob(export))
            if blob is None:
                continue
            version = msgspec.json.decode(blob.data, type=Latest).version
            if version < seen.get(export, ""):
                books.blame(f"latest of {export} went back to {version}")
            seen[export] = version
            try:
                whole_version(parts.container, version, export)
            except AssertionError as error:
                books.blame(f"latest of {export} was followed to {version}: {error}")
            books.note(books.versions, "read")
