"""What the soak sends, and what must come back: entities made from numbers, scores that anybody can work out.

The service's score of a row depends on all its cells, so that a score on a wrong `_id` is seen.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

PREFIX = "churn:"
FEATURES = ("Age", "City", "Income")
CITIES = ("Oslo", "Bergen", "Trondheim", "Stavanger", "Tromsø", "Bodø", "Hamar")

# The service answers 400 to every request that holds a row of this age, as a script does that raises.
POISONED_AGE = 999

type Fate = Literal["scored", "marked", "passed"]
type Entity = dict[str, Any]


class Made(NamedTuple):
    """An entity to send and what must become of it."""

    entity: Entity
    fate: Fate
    scores: Mapping[str, object]


class Wrong(Exception):
    """An answer that must not be; the message says of which entity."""


def score(age: object, city: object, income: object) -> dict[str, object]:
    """Give the service's answer for a row."""
    number = int(str(age)) * 7 + len(str(city or "")) * 13 + int(float(str(income))) * 3
    return {"label": "yes" if number % 2 else "no", "risk": number % 1000 / 1000}


def make_batch(seed: str, size: int) -> list[Made]:
    """Make a batch: nearly all of it sound, a few entities of each other fate, every `_id` once."""
    chance = random.Random(seed)
    batch = [_sound(f"soak:{seed}-{number}", chance) for number in range(size)]
    # Each at a place of its own: an entity that is deleted and of a wrong age is passed, not marked.
    spoils = (_deleted, 0.3), (_of_no_age, 0.3), (_of_a_wrong_age, 0.3), (_poisoned, 0.03)
    for at, (spoil, share) in zip(chance.sample(range(size), len(spoils)), spoils, strict=True):
        if chance.random() < share:
            batch[at] = spoil(batch[at].entity)
    return batch


def check_answer(sent: Sequence[Made], answer: object) -> None:
    """See that every entity came back once, in its place, with its own properties and its own scores.

    Raises:
        Wrong: it did not.
    """
    if not isinstance(answer, list) or len(answer) != len(sent):
        raise Wrong(f"{len(sent)} entities were sent, the answer holds {len(answer or ())}")  # type: ignore[arg-type]  # a list or None
    told = set()
    for made, back in zip(sent, answer, strict=True):
        name = made.entity["_id"]
        added = {key: back[key] for key in back if key.startswith(PREFIX)}
        if {key: back[key] for key in back if key not in added} != made.entity:
            raise Wrong(f"{name} came back as another entity")
        if made.fate == "passed":
            if added:
                raise Wrong(f"{name} is deleted and was scored")
            continue
        told.add((added.pop(PREFIX + "contract", None), added.pop(PREFIX + "snapshot", None)))
        added.pop(PREFIX + "model", None)
        if made.fate == "marked":
            if set(added) != {PREFIX + "error"}:
                raise Wrong(f"{name} was to be marked and has {sorted(added)}")
        elif added != {PREFIX + key: value for key, value in made.scores.items()}:
            raise Wrong(f"{name} has scores that are not its own")
    if len(told) > 1:
        raise Wrong("one answer tells of more than one contract")


def customers(seed: str, count: int) -> list[Entity]:
    """Make the entities that a pipe publishes for training; each seed has other values of the same types."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        entity = _sound(f"soak:{number}", chance).entity
        made.append(entity | {"soak:ChurnFlag": chance.random() < 0.4})
    made[0]["soak:City"] = None
    return made


def _sound(identifier: str, chance: random.Random) -> Made:
    age, city = chance.randrange(18, 90), chance.choice(CITIES)
    income = f"{chance.randrange(200, 900)}.50"
    properties = [("soak:Age", age), ("soak:City", city), ("soak:Income", f"~f{income}"), ("_updated", 17)]
    chance.shuffle(properties)
    return Made({"_id": identifier, **dict(properties)}, "scored", score(age, city, income))


def _deleted(entity: Entity) -> Made:
    return Made(entity | {"_deleted": True}, "passed", {})


def _of_no_age(entity: Entity) -> Made:
    return Made({key: value for key, value in entity.items() if key != "soak:Age"}, "marked", {})


def _of_a_wrong_age(entity: Entity) -> Made:
    return Made(entity | {"soak:Age": "of age"}, "marked", {})


def _poisoned(entity: Entity) -> Made:
    return Made(entity | {"soak:Age": POISONED_AGE}, "marked", {})
