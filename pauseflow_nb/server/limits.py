"""How many requests one address may send: a bucket of tokens each, in bounded memory."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["RateLimit"]


class RateLimit:
    """Lets through `burst` requests of one address at once, and `per_second` in the long run."""

    def __init__(
        self,
        per_second: float = 100,
        burst: int = 400,
        *,
        addresses: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the limits. Behind a proxy that is not trusted all requests have one address, hence the large defaults."""
        self._per_second, self._burst, self._addresses, self._clock = per_second, burst, addresses, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str) -> int:
        """Take one token; 0 if there was one, otherwise the whole seconds until the next."""
        now = self._clock()
        tokens, since = self._buckets.pop(address, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - since) * self._per_second)
        allowed = tokens >= 1
        self._buckets[address] = (tokens - allowed, now)
        # The address that was silent for longest goes first: its bucket is the fullest.
        while len(self._buckets) > self._addresses:
            self._buckets.popitem(last=False)
        return 0 if allowed else math.ceil((1 - tokens) / self._per_second)
