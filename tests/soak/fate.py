"""What breaks: one fault at a time, chosen, held and taken away by a seed."""

import random
from collections.abc import Callable
from threading import Event
from typing import NamedTuple

from tests.soak.books import Books
from tests.soak.parts import JOINTS, Parts
from tests.soak.service import MOODS
from tests.toxics import (
    Bandwidth,
    Down,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
    ToxicProxy,
)

# How long a fault lasts and how long there is peace, at most: in a long soak and in a short one.
LONGEST_S = {True: (4.0, 3.0), False: (1.0, 0.3)}

# A host killed in mid-run leaves a lease of a minute and a message hidden for half of one: a short soak
# would do little else than wait for these.
LONG_SOAK_S = 120.0


class Fault(NamedTuple):
    """What it is called, how often it is chosen, how it begins and how it ends."""

    name: str
    weight: float
    begin: Callable[[], None]
    end: Callable[[], None]


def toxics(chance: random.Random) -> list[Toxic]:
    """Give one of each kind."""
    return [
        Latency(chance.uniform(0.02, 0.3)),
        Bandwidth(chance.randrange(20_000, 500_000)),
        SlowClose(chance.uniform(0.1, 1)),
        Timeout(chance.uniform(0.1, 2)),
        ResetPeer(chance.choice([0, 0, 0.2])),
        Slicer(chance.randrange(500, 2000), 0.001),
        LimitData(chance.randrange(200, 20_000)),
        Down(),
    ]


def faults(parts: Parts, chance: random.Random, seconds: float) -> list[Fault]:
    """Give all that can break in a soak of this length."""
    found = [
        Fault(f"{joint}: {type(toxic).__name__.lower()}", 1, _poisoned(proxy, toxic), proxy.heal)
        for joint in JOINTS
        for proxy in [parts.proxies[joint]]
        for toxic in toxics(chance)
    ]
    found += [Fault(f"service: {mood}", 1, _in_mood(parts, mood), parts.set_mood) for mood in MOODS]
    found.append(Fault("node: being deployed", 2, _deployed(parts, True), _deployed(parts, False)))
    if seconds >= LONG_SOAK_S:
        found.append(Fault("app: SIGTERM", 1, parts.stop_app, parts.start_app))
        found.append(Fault("app: SIGKILL", 1, lambda: parts.stop_app(kill=True), parts.start_app))
    return found


def rage(parts: Parts, books: Books, seed: str, seconds: float, stop: Event) -> None:
    """Break things until told to stop; leave everything sound."""
    chance = random.Random(seed)
    fault_s, peace_s = LONGEST_S[seconds >= LONG_SOAK_S]
    while not stop.wait(chance.uniform(0.1, peace_s)):
        known = faults(parts, chance, seconds)
        fault = chance.choices(known, [each.weight for each in known])[0]
        books.note(books.faults, fault.name)
        fault.begin()
        stop.wait(chance.uniform(0.2, fault_s))
        fault.end()


def _poisoned(proxy: ToxicProxy, toxic: Toxic) -> Callable[[], None]:
    return lambda: proxy.poison(toxic)


def _in_mood(parts: Parts, mood: str) -> Callable[[], None]:
    return lambda: parts.set_mood(mood)


def _deployed(parts: Parts, away: bool) -> Callable[[], None]:
    def change() -> None:
        parts.node.unavailable = away

    return change
