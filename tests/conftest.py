"""What tests share: a real storage server, and the app as it is deployed."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from hypothesis import settings

from local.azurite import Azurite, running_azurite
from tests.packaged import Package, unpacked

# How long one example takes says more of the machine's other work than of the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """One Azurite for each pytest-xdist worker, on free ports: nothing of one worker meets the other's."""
    with running_azurite() as azurite:
        yield azurite


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The deployment package, with requirements.txt alone: what runs here would run in Azure."""
    return unpacked(tmp_path_factory.mktemp("package"))


@pytest.fixture
def container_name() -> str:
    """A container of the test's own; the test creates it, or has it created."""
    return f"test-{uuid4().hex}"
