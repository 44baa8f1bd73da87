"""Of a test with many rows `make test` runs every n-th, and `make test-slow` the others.

    @pytest.mark.every(3)
    @pytest.mark.parametrize("value", VALUES)

The rows are the same ones each time.
"""

import zlib
from collections import Counter

import pytest

#: Of how many rows of each test was decided.
_decided: Counter[str] = Counter()


def mark_thorough(item: pytest.Item) -> None:
    """Mark one row as `thorough`, which `make test` leaves out, or do not; call this for each item in its order."""
    marker = item.get_closest_marker("every")
    if marker is None:
        return
    test, (n,) = item.nodeid.partition("[")[0], marker.args
    # Not always the first one: of the tests that run on both databases, half are to run on PostgreSQL.
    first = zlib.crc32(test.encode()) % n
    if _decided[test] % n != first:
        item.add_marker("thorough")
    _decided[test] += 1
