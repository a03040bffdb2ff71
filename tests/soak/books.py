"""The soak's books: what was sent and what became of it, counted by many threads, judged at the end."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

# An app that has served for so long has to be flat; a younger one is still filling its pools.
LONG_ENOUGH_S = 100.0
MOST_GROWTH = 1.25
SPARE_MB = 20
SPARE_THREADS = 12
SPARE_DESCRIPTORS = 30


class Sample(NamedTuple):
    """The app's process at one moment, `at` seconds after the soak began; `life` counts its restarts."""

    life: int
    at: float
    megabytes: float
    threads: int
    descriptors: int


@dataclass
class Books:
    """Entities, answers, runs, versions, reads, faults, samples. `wrong` holds all that must not be."""

    entities: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, page: Counter[str], **counts: int) -> None:
        """Add to a page."""
        with self._lock:
            page.update(counts)

    def note(self, page: Counter[str], what: str) -> None:
        """Add one to a page."""
        with self._lock:
            page[what] += 1

    def blame(self, what: str) -> None:
        """Note what must not be."""
        with self._lock:
            self.wrong.append(what)

    def close(self) -> list[str]:
        """Balance: give what does not add up; nothing when all does."""
        settled = sum(self.entities[fate] for fate in ("scored", "marked", "passed"))
        missing = self.entities["sent"] - settled
        return [
            *self.wrong,
            *([f"{missing} entities were sent and never accounted for"] if missing else []),
            *([] if settled else ["not one entity was scored"]),
            *([] if self.versions["published"] else ["not one version was published"]),
            *_not_flat(self.samples),
        ]


def _not_flat(samples: Sequence[Sample]) -> Iterator[str]:
    for life, (early, late) in lives(samples).items():
        before, after = (median(s.megabytes for s in part) for part in (early, late))
        if after > before * MOST_GROWTH + SPARE_MB:
            yield f"the app's memory grew from {before:.0f} to {after:.0f} MB in its life {life}"
        most, now = (max(s.threads for s in part) for part in (early, late))
        if now > most + SPARE_THREADS:
            yield f"the app's threads grew from {most} to {now} in its life {life}"
        most, now = (max(s.descriptors for s in part) for part in (early, late))
        if now > most * MOST_GROWTH + SPARE_DESCRIPTORS:
            yield f"the app's open descriptors grew from {most} to {now} in its life {life}"


def lives(samples: Sequence[Sample]) -> dict[int, tuple[Sequence[Sample], Sequence[Sample]]]:
    """Give the second and the last quarter of each life that was long enough to tell."""
    found: dict[int, tuple[Sequence[Sample], Sequence[Sample]]] = {}
    for life in sorted({sample.life for sample in samples}):
        its = [sample for sample in samples if sample.life == life]
        if its[-1].at - its[0].at >= LONG_ENOUGH_S:
            quarter = len(its) // 4
            found[life] = its[quarter : 2 * quarter], its[-quarter:]
    return found


def told(books: Books, *, seed: int, seconds: float) -> str:
    """Write the account for a reader."""
    entities, versions, wrong = books.entities, books.versions, books.close()
    lost = entities["sent"] - entities["scored"] - entities["marked"] - entities["passed"]
    lines = [
        f"Seed {seed}; {seconds / 60:.1f} minutes.",
        "",
        f"{entities['sent']:>11,} entities sent",
        f"{entities['scored']:>11,} scored, each with its own score",
        f"{entities['marked']:>11,} marked, each with its own error",
        f"{entities['passed']:>11,} deleted ones passed through",
        f"{lost:>11,} unaccounted for",
        "",
        f"Answers to {sum(books.answers.values()):,} requests:",
        *_page(books.answers),
        "",
        f"{versions['published']:>11,} versions published, each proven whole. The runs:",
        *_page(books.runs),
        f"{versions['read']:>11,} times latest was followed, each time to a whole version",
        f"{versions['kept']:>11,} versions at the end; retention has taken the others",
        f"{versions['orphans']:>11,} folders that killed runs have left and no reader can meet",
        f"{versions['poisoned']:>11,} messages on the poison queue",
        "",
        f"{sum(books.faults.values()):>11,} faults:",
        *_page(books.faults),
        "",
        *_lives(books.samples),
        "",
        "The books balance." if not wrong else f"THE BOOKS DO NOT BALANCE: {len(wrong)} entries",
        *(f"  {entry}" for entry in wrong[:20]),
    ]
    return "\n".join(lines)


def _page(page: Counter[str]) -> list[str]:
    return [f"{count:>11,}   {what}" for what, count in page.most_common()]


def _lives(samples: Sequence[Sample]) -> list[str]:
    known = lives(samples)
    if not known:
        return [f"No process of the app lived the {LONG_ENOUGH_S:.0f} s that tell whether memory is flat."]
    return ["The app's process, second quarter of its life → last quarter:"] + [
        f"  life {life}: {median(s.megabytes for s in early):.0f} → "
        f"{median(s.megabytes for s in late):.0f} MB, "
        f"{max(s.threads for s in early)} → {max(s.threads for s in late)} threads, "
        f"{max(s.descriptors for s in early)} → {max(s.descriptors for s in late)} descriptors, "
        f"{late[-1].at - early[0].at:.0f} s"
        for life, (early, late) in known.items()
    ]
