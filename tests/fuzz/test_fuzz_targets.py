"""A short slice of `make fuzz`: a few inputs for each target, the same ones each time."""

from pathlib import Path
from typing import Any

import pytest
from fuzz.target import Target
from fuzz.targets import TARGETS
from hypothesis import HealthCheck, given
from hypothesis import settings as effort


@pytest.mark.filterwarnings("default")  # what is fuzzed warns of what it is given
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name.replace(" ", "-"))
def test_no_input_breaks_it(target: Target, tmp_path: Path) -> None:
    with target.open(tmp_path) as check:

        @effort(
            max_examples=target.slice,
            database=None,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(target.inputs)
        def trying(value: Any) -> None:
            check(value)

        trying()
