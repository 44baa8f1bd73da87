"""Python imports this when it starts, where it is on its path: the clock of the process is wrong from then on.

libfaketime would do the same for all programs, but a worker under it needs half a minute for each segment.
"""

import os
import time

_shift = int(os.environ.get("PYTEST_CHAOS_CLOCK", "0"))
_seconds, _nanoseconds = time.time, time.time_ns
time.time = lambda: _seconds() + _shift
time.time_ns = lambda: _nanoseconds() + _shift * 10**9
