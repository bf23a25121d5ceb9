"""What every test of the platform's parts may ask for."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["quorum", pytest.param("classic", marks=pytest.mark.slow)])
def queue_type(request: pytest.FixtureRequest) -> str:
    """Each type of queue the platform can be told to use; whoever asks runs once on each."""
    return str(request.param)
