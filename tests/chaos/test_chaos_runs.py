"""A few chaos runs, always the same ones; `make chaos` does many."""

from collections.abc import Iterator

import pytest
from chaos.campaign import open_ground
from chaos.faults import impossible
from chaos.plan import make_plan
from chaos.run import run
from chaos.world import Ground

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with open_ground(tmp_path_factory.mktemp("chaos")) as ground:
        yield ground


@pytest.mark.parametrize("seed", [1, 16])
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_whatever_goes_wrong_nothing_is_lost(ground: Ground, database: str, seed: int) -> None:
    if database == "postgresql" and ground.postgresql is None:
        pytest.skip("no programs of PostgreSQL")
    storage = "folder" if ground.s3 is None else None
    plan = make_plan(seed, database, without=impossible(ground), most=6, storage=storage)
    outcome = run(ground, plan)

    assert outcome.violations == [], "\n".join([str(plan), *outcome.timeline, *outcome.violations])
    assert outcome.executions >= len(plan.executions)
