"""Call the queue from the event loop without blocking it: in threads, and opened at the first call."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Concatenate, ParamSpec, TypeVar

from pauseflow_nb.engine.authorization import Callback, Question, judge
from pauseflow_nb.engine.group_commit import Answer, NeedsOwnTransaction
from pauseflow_nb.engine.link_lookup import LinkTarget, Token
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.settling import Response
from pauseflow_nb.errors import StoreUnavailable, TooManyAnswers
from pauseflow_nb.links import Claim

P = ParamSpec("P")
T = TypeVar("T")

#: Calls at the same time. SQLite allows one write at a time anyway, and PostgreSQL is fast.
_THREADS = 8
#: Answers that are checked and applied at the same time, each to another execution; most of them wait for a checking process.
_ANSWERING_THREADS = 32
#: Bodies that are parsed at the same time; parsing holds the interpreter's lock, which the event loop needs, too.
_PARSING_THREADS = 2
#: Seconds that the replies to answers may take when the server is stopped.
_DRAIN_SECONDS = 10.0
#: Answers to one execution that may wait for their turn.
_MOST_WAITING = 16


class LazyQueue:
    """Opens a queue at the first call, and again at the next one if that failed."""

    def __init__(self, opener: Callable[[], Queue]) -> None:
        """Set the function that opens the queue; it may take long, and raise StoreUnavailable."""
        self._opener = opener
        self._queue: Queue | None = None
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="pauseflow-queue")
        self._answering = ThreadPoolExecutor(_ANSWERING_THREADS, thread_name_prefix="pauseflow-answering")
        self._parsing = ThreadPoolExecutor(_PARSING_THREADS, thread_name_prefix="pauseflow-parsing")
        self._turns: dict[str, _Turn] = {}
        self._answers = 0
        self._is_stopping = False
        self._idle = asyncio.Event()
        self._cleanups: set[asyncio.Task[None]] = set()

    @classmethod
    def of(cls, queue: Queue) -> "LazyQueue":
        """Wrap an open queue."""
        return cls(lambda: queue)

    def get(self) -> Queue:
        """Return the open queue. Blocks while it opens, so the event loop must not call this.

        Raises:
            StoreUnavailable: If it cannot be opened.
        """
        with self._lock:
            if self._queue is None:
                self._queue = self._opener()
            return self._queue

    async def call(self, function: Callable[Concatenate[Queue, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function with the queue in a thread: `await lazy.call(Queue.view, id)`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: function(self.get(), *args, **kwargs))

    async def answer(
        self, execution: str, function: Callable[Concatenate[Queue, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call a function that checks and applies an answer, which may take seconds.

        Answers to one execution are handled one after the other, so that one sender cannot occupy all threads.

        Raises:
            TooManyAnswers: If too many answers to this execution wait.
        """
        with self.answering():
            async with self._turn(execution):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._answering, lambda: function(self.get(), *args, **kwargs))

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Make `drain` wait for the end of this `with` block, which applies an answer and sends the reply.

        Raises:
            StoreUnavailable: If this server is being stopped.
        """
        if self._is_stopping:
            raise StoreUnavailable("the store", "this server is being stopped: try again when it has restarted")
        self._answers += 1
        try:
            yield
        finally:
            self._answers -= 1
            if not self._answers:
                self._idle.set()

    async def drain(self, *, seconds: float = _DRAIN_SECONDS) -> None:
        """Refuse new answers, and wait until the senders of earlier ones have their replies."""
        self._is_stopping = True
        if self._answers:
            self._idle.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), seconds)

    def clean_up(self, removing: Coroutine[Any, Any, None]) -> None:
        """Remove files that a request has left in the storage; `finish_cleanups` waits for it."""
        task = asyncio.get_running_loop().create_task(removing)
        self._cleanups.add(task)
        task.add_done_callback(self._cleanups.discard)

    async def finish_cleanups(self, *, seconds: float = _DRAIN_SECONDS) -> None:
        """Wait until the files of requests whose connections were closed are removed.

        Args:
            seconds: Longest time to wait.
        """
        # Tornado calls back in the next round of the loop.
        await asyncio.sleep(0)
        if self._cleanups:
            await asyncio.wait(self._cleanups, timeout=seconds)

    @asynccontextmanager
    async def _turn(self, execution: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(execution, _Turn())
        if turn.count > _MOST_WAITING:
            raise TooManyAnswers(execution)
        turn.count += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.count -= 1
            if turn.count == 0:
                self._turns.pop(execution, None)

    async def opened(self) -> Queue:
        """Return the open queue.

        Raises:
            StoreUnavailable: If it cannot be opened.
        """
        if self._queue is None:
            return await self.call(lambda queue: queue)
        return self._queue

    async def read_link(self, token: str, action: str) -> LinkTarget:
        """Verify the token of a link, and read its question.

        Raises:
            UnknownLink: If this store did not sign it for this action.
            LinkWithdrawn: If it was revoked, or its key withdrawn.
        """
        queue = await self.opened()
        return await queue.link_lookups.ask(Token(token, action))

    async def settle(self, target: LinkTarget, callback: Callback) -> Response:
        """Settle the suspension of a link; see `Queue.settle`.

        Raises:
            TooManyAnswers: If too many answers to this execution wait.
        """
        claim, question = target.claim, target.question
        if callback.action == "cancel":
            # There is nothing to check, so it need not wait for answers that are being checked.
            return await self.call(Queue.settle, claim, callback)
        if question is not None and question.schema is None:
            with suppress(NeedsOwnTransaction):
                return await self._settle_unchecked(question, claim, callback)
        return await self.answer(claim.execution, Queue.settle, claim, callback)

    async def _settle_unchecked(self, question: Question, claim: Claim, callback: Callback) -> Response:
        """Settle with an answer to a question without a schema, which is judged at once, without a thread.

        Raises:
            NeedsOwnTransaction: If it needs its own transaction; nothing was changed.
        """
        queue = await self.opened()
        answer = Answer(claim, callback, judge(question, callback, queue.checker))
        if not answer.may_resume:
            raise NeedsOwnTransaction
        async with self._turn(claim.execution):
            return await queue.settling.ask(answer)

    async def compute(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that parses a request or renders a page, in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._parsing, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Stop the threads; running calls finish."""
        for threads in (self._threads, self._answering, self._parsing):
            threads.shutdown(wait=False, cancel_futures=True)


class _Turn:
    """The answers to one execution that are being applied or wait."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        #: Number of these answers.
        self.count = 0
