"""Limit the requests that one address sends and has open, in bounded memory."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tornado.web import HTTPError

from pauseflow_nb.errors import BodyTooLarge

#: Seconds that a connection may take to send the headers of its first or next request.
IDLE_SECONDS = 60
#: Most digits of a Content-Length. Longer values are not real sizes, and Python may refuse to convert them.
_MOST_DIGITS = 18


def check_length(headers: Mapping[str, str], limit: int) -> None:
    """Check the Content-Length before the body is read.

    Raises:
        BodyTooLarge: If it exceeds `limit`, in bytes.
        HTTPError: 400 if it is not a possible size.
    """
    length = headers.get("Content-Length", "")
    if len(length) > _MOST_DIGITS:
        raise HTTPError(400)
    if length.isdecimal() and int(length) > limit:
        raise BodyTooLarge(limit)


class RateLimit:
    """Allows `burst` requests of one address at once, and `per_second` in the long run."""

    def __init__(
        self,
        per_second: float = 100,
        burst: int = 400,
        *,
        addresses: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the limits. The defaults are large because all requests have one address behind a proxy that is not trusted."""
        self._per_second, self._burst, self._addresses, self._clock = per_second, burst, addresses, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str) -> int:
        """Count a request; returns 0 if it is allowed, otherwise the whole seconds until the next one is."""
        now = self._clock()
        tokens, since = self._buckets.pop(address, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - since) * self._per_second)
        allowed = tokens >= 1
        self._buckets[address] = (tokens - allowed, now)
        # The address without requests for longest is removed first, because its bucket is the fullest.
        while len(self._buckets) > self._addresses:
            self._buckets.popitem(last=False)
        return 0 if allowed else math.ceil((1 - tokens) / self._per_second)


class OpenRequests:
    """Counts open requests or connections, for each address and for all together."""

    def __init__(self, most: int = 64, most_in_all: int = 1024) -> None:
        """Set how many requests one address, and all addresses together, may have open."""
        self._most, self._most_in_all = most, most_in_all
        self._open: dict[str, int] = {}
        self._in_all = 0

    def begin(self, address: str) -> bool:
        """Count one more; return False without counting it if there are too many."""
        count = self._open.get(address, 0)
        if count >= self._most or self._in_all >= self._most_in_all:
            return False
        self._open[address] = count + 1
        self._in_all += 1
        return True

    def end(self, address: str) -> None:
        """Uncount one that `begin` has counted."""
        self._in_all -= 1
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


@dataclass(frozen=True)
class LinkLimits:
    """The limits that all links of one server share."""

    #: Requests of each address.
    requests: RateLimit = field(default_factory=RateLimit)
    #: Requests with unknown tokens, of all addresses together: guessing from many addresses must not be faster.
    unknown: RateLimit = field(default_factory=lambda: RateLimit(per_second=20, burst=1000))
    open: OpenRequests = field(default_factory=OpenRequests)
    #: Requests that wait for the response of an execution.
    waiting: OpenRequests = field(default_factory=lambda: OpenRequests(64, 256))
    #: Interval, in seconds, in which a body must arrive with `bytes_per_second` on average.
    patience_seconds: float = 30.0
    bytes_per_second: int = 1024
