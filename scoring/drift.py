"""The use case: how what scoring has lately seen differs from what the adopted version taught (issue 5).

Every process writes what it saw as blobs of its own; here they are added up over a window of whole hours.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import msgspec

from contract.documents import Manifest, decode, timestamp
from contract.moved import Moved, moved
from contract.seen import Observation, SeenColumn, bins, sum_of
from errors import NotFound
from scoring.batch import Model
from scoring.contracts import Contracts
from scoring.deadline import Deadline
from storage import Container, observed_prefix

MOST_DAYS = 90

# A busy model writes some thousand a week; of more than this a part is read, spread evenly over the window.
MOST_READ = 1000
READS_AT_ONCE = 16


class Blobs(msgspec.Struct, frozen=True):
    """Of the observations in the window: how many there are, and what became of them."""

    found: int
    read: int
    other_versions: int
    damaged: tuple[str, ...]


class DriftReport(msgspec.Struct, frozen=True, kw_only=True):
    """What scoring saw from `since` to `until`, beside the adopted version."""

    model: str
    version: str
    since: str
    until: str
    entities: int
    outside: int
    told: tuple[str, ...]
    features: tuple[Moved, ...]
    observations: Blobs


def drift(
    model: Model, days: int, contracts: Contracts, container: Container, now: datetime, deadline: Deadline
) -> DriftReport:
    """Compare what was seen in the last days with the version that a model has adopted.

    Raises:
        NotFound: the model has no export, or the adopted version is gone.
        NoContract: nothing is adopted yet, or the version's manifest is damaged.
        StorageDown, StorageRefused: storage cannot be asked.
    """
    adopted = model.adopted(deadline)
    if adopted is None:
        raise NotFound(
            f"The model {model.name} has no contract in its settings: there is nothing to compare."
        )
    taught = contracts.manifest(model.settings.contract, adopted.version)
    since = (now - timedelta(days=days)).replace(minute=0, second=0, microsecond=0)
    names = _names(model.name, since, now, container)
    read = _spread_over(names)
    observations, damaged = _read(read, taught, container)
    same = [each for each in observations if each.version == taught.version]
    entities = sum(each.entities for each in same)
    features = tuple(_features(taught, same))
    return DriftReport(
        model=model.name,
        version=taught.version,
        since=timestamp(since),
        until=timestamp(now),
        entities=entities,
        outside=sum(each.outside for each in same),
        told=tuple(_told(taught, entities, features, days)),
        features=features,
        observations=Blobs(len(names), len(read), len(observations) - len(same), tuple(damaged)),
    )


def _names(model: str, since: datetime, until: datetime, container: Container) -> list[str]:
    """List the observations written in the window, oldest first."""
    days = [since + timedelta(days=day) for day in range((until.date() - since.date()).days + 1)]
    first = f"{observed_prefix(model, since)}{since:%H}/"
    listed = (blob.name for day in days for blob in container.list(observed_prefix(model, day)))
    return [name for name in listed if name >= first]


def _spread_over(names: Sequence[str]) -> Sequence[str]:
    return names[:: -(-len(names) // MOST_READ)] if names else names


def _read(
    names: Sequence[str], taught: Manifest, container: Container
) -> tuple[list[Observation], list[str]]:
    with ThreadPoolExecutor(READS_AT_ONCE) as threads:
        blobs = list(threads.map(container.read, names))
    observations, damaged = [], []
    for name, blob in zip(names, blobs, strict=True):
        if blob is None:
            continue  # it was removed since it was listed
        try:
            observations.append(_sound(decode(blob.data, Observation), taught))
        except (msgspec.DecodeError, ValueError):
            damaged.append(name)
    return observations, damaged


def _sound(observation: Observation, taught: Manifest) -> Observation:
    known = {column.name: bins(column) for column in taught.columns}
    if observation.version == taught.version:
        for column in observation.columns:
            if len(column.counts) != known.get(column.name):
                raise ValueError("it is not counted in the version's bins")
    return observation


def _features(taught: Manifest, observations: Sequence[Observation]) -> list[Moved]:
    seen: dict[str, list[SeenColumn]] = {}
    for observation in observations:
        for column in observation.columns:
            seen.setdefault(column.name, []).append(column)
    compared = [
        moved(column, taught.rows, sum_of(column, seen[column.name]))
        for column in taught.columns
        if column.name in seen
    ]
    found = [each for each in compared if each is not None]
    return sorted(found, key=lambda each: (-each.population_stability_index, each.feature))


def _told(taught: Manifest, entities: int, features: Sequence[Moved], days: int) -> Iterator[str]:
    if not entities:
        yield (
            f"Nothing was seen through {taught.version} in the last {days} days. A process writes what it "
            "saw at the end of a call, once 5 minutes or 10,000 entities have passed, and when it ends."
        )
        return
    for feature in features:
        yield from feature.told
    far = [feature.feature for feature in features if feature.moved != "little"]
    if far:
        yield (
            "If this is not a fault in a pipe, train on a newer version and adopt it: "
            f"{', '.join(far)} no longer {'look' if len(far) > 1 else 'looks'} like the {taught.rows} rows "
            "that the model was trained on."
        )
    else:
        yield f"No feature has moved: {entities} entities look like the {taught.rows} rows trained on."
