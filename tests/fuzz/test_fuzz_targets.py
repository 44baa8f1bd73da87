"""A short slice of `make fuzz`: a few inputs for each target, the same ones each time."""

from pathlib import Path
from typing import Any

import pytest
from fuzz.target import Target
from fuzz.targets import TARGETS
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as effort


@pytest.mark.every(3)
@pytest.mark.filterwarnings("default")  # what is fuzzed warns of what it is given
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name.replace(" ", "-"))
def test_no_input_breaks_it(target: Target, tmp_path: Path) -> None:
    with target.open(tmp_path) as check:
        # Making an input smaller takes hundreds of further ones, and minutes where each is a request or a command.
        @effort(
            max_examples=target.slice,
            database=None,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate, Phase.shrink] if target.is_pure else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(target.inputs)
        def trying(value: Any) -> None:
            check(value)

        trying()
