"""What the unit tests of the wire share."""

import pytest

from tests.unit.scoring.wires import ScriptedWire


@pytest.fixture(params=[False, True], ids=["on a lane", "once by the caller"])
def either_road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send a call's only parcel on a lane, and in a second run by the calling thread first."""
    monkeypatch.setattr(ScriptedWire, "kept", request.param)
