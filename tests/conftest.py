"""What tests share: a real storage server."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from hypothesis import settings

from local.azurite import Azurite, running_azurite

# How long one example takes says more of the machine's other work than of the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """One Azurite for each pytest-xdist worker, on free ports: nothing of one worker meets the other's."""
    with running_azurite() as azurite:
        yield azurite


@pytest.fixture
def container_name() -> str:
    """A container of the test's own; the test creates it, or has it created."""
    return f"test-{uuid4().hex}"
