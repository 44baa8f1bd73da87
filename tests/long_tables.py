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
    # A test may be marked, and its rows on PostgreSQL, too.
    n = max((marker.args[0] for marker in item.iter_markers("every")), default=1)
    if n == 1:
        return
    test = item.nodeid.partition("[")[0]
    # Not always the first one: of the tests that run on both databases, half are to run on PostgreSQL.
    first = zlib.crc32(test.encode()) % n
    if _decided[test] % n != first:
        item.add_marker("thorough")
    _decided[test] += 1
