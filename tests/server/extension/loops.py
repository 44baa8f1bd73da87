"""Wait in a test for what happens in the event loop of its server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def run_in(loop: asyncio.AbstractEventLoop, begin: Callable[[], Awaitable[T]]) -> T:
    """Begin something while the loop runs, and return its result.

    tornado makes its futures in the current loop, and a notebook that ran in this process may have left none.
    """

    async def wait() -> T:
        return await begin()

    return loop.run_until_complete(wait())
