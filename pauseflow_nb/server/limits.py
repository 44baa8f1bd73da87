"""Limit how many requests one address may send, and how many it may have open, in bounded memory."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tornado.web import HTTPError

from pauseflow_nb.errors import BodyTooLarge

__all__ = ["IDLE_SECONDS", "LinkLimits", "OpenRequests", "RateLimit", "check_length"]

#: Seconds that a connection may take to send the headers of a request, also of its next one.
IDLE_SECONDS = 60
#: Of a Content-Length. With more it is no size of anything, and Python may refuse to read it as a number.
_MOST_DIGITS = 18


def check_length(headers: Mapping[str, str], limit: int) -> None:
    """Refuse a body by what its header says of it.

    Raises:
        BodyTooLarge: If it says that it has more bytes than `limit`.
        HTTPError: 400 if it names no size that a body can have.
    """
    length = headers.get("Content-Length", "")
    if len(length) > _MOST_DIGITS:
        raise HTTPError(400)
    if length.isdecimal() and int(length) > limit:
        raise BodyTooLarge(limit)


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


class OpenRequests:
    """Counts requests whose body has not come yet, or connections, for each address and for all together."""

    def __init__(self, most: int = 64, most_in_all: int = 1024) -> None:
        """Set how many one address, and all addresses together, may have open."""
        self._most, self._most_in_all = most, most_in_all
        self._open: dict[str, int] = {}
        self._in_all = 0

    def begin(self, address: str) -> bool:
        """Count one more; False if there are too many already, and then it is not counted."""
        count = self._open.get(address, 0)
        if count >= self._most or self._in_all >= self._most_in_all:
            return False
        self._open[address] = count + 1
        self._in_all += 1
        return True

    def end(self, address: str) -> None:
        """Forget one that `begin` counted."""
        self._in_all -= 1
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


def _for_unknown_tokens() -> RateLimit:
    # All addresses share one bucket: guessing from many addresses is no quicker than from one.
    return RateLimit(per_second=20, burst=1000)


@dataclass(frozen=True)
class LinkLimits:
    """What all links of one server share."""

    #: Of each address.
    requests: RateLimit = field(default_factory=RateLimit)
    #: Of all addresses together, for tokens that nobody has issued.
    unknown: RateLimit = field(default_factory=_for_unknown_tokens)
    open: OpenRequests = field(default_factory=OpenRequests)
    #: Seconds after which a body must have brought `bytes_per_second` for each of them, again and again until it ends.
    patience_seconds: float = 30.0
    bytes_per_second: int = 1024
