"""A platform whose second net is off, watched by the witness: each scenario runs twice.

Re-announcement would bring back what these scenarios lose, and is a protection of its own: it is
off in the control as in the sabotage, so that the one protection that is meant decides alone.
"""

from __future__ import annotations

import pytest
from task_lab.collect.witness import install_witness
from task_platform.settings import Settings

DAY_S = 86_400.0


@pytest.fixture
async def settings(settings: Settings) -> Settings:
    """This test's settings, without re-announcement; the witness is in place."""
    await install_witness(settings.database_url.get_secret_value())
    return settings.model_copy(update={"reannounce_age_s": DAY_S, "reannounce_every_s": DAY_S})


@pytest.fixture(params=[True, False], ids=["protected", "sabotaged"])
def is_protected(request: pytest.FixtureRequest) -> bool:
    """Every scenario runs twice: as it is, and with its protection switched off."""
    return bool(request.param)
