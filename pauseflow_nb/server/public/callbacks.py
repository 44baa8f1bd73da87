"""Answer the public links: /pauseflow/resume|cancel|send_back|approve/TOKEN."""

import asyncio
import logging
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.web import RequestHandler

from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.link_lookup import LinkTarget
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.settling import Response
from pauseflow_nb.errors import (
    BodyTooLarge,
    InvalidAnswer,
    InvalidBody,
    StoreUnavailable,
    UnknownLink,
)
from pauseflow_nb.forms.codec import Entries
from pauseflow_nb.identity import LINK
from pauseflow_nb.json_values import JSON
from pauseflow_nb.links import Claim
from pauseflow_nb.server.http_errors import status_of
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.server.public.bodies import Body
from pauseflow_nb.server.public.client_address import NO_PROXIES, TrustedProxies
from pauseflow_nb.server.public.decision import Request, read_entries, read_request
from pauseflow_nb.server.public.envelope import envelope, parse_query
from pauseflow_nb.server.public.facts import collect_facts
from pauseflow_nb.server.public.http_start import StartHandler
from pauseflow_nb.server.public.negotiation import is_from_program, may_act, prefers_json, wants_html
from pauseflow_nb.server.public.page import render_suspension
from pauseflow_nb.server.public.rate_limit import LinkLimits
from pauseflow_nb.server.public.receiving import METHODS, Receiver
from pauseflow_nb.server.public.responses import (
    write_error_response,
    write_json,
    write_page,
)
from pauseflow_nb.server.public.upload import INLINE_BYTES, Sink
from pauseflow_nb.server.public.wording import Facts, describe_problem, is_over, note_on

#: Facts that a program which reads a link does not get: markup, and addresses of pages.
_FOR_THE_PAGE = ("evidence", "sign_in_url", "signed_in_as", "notebook_url")

#: Why a GET did not act: by choice of the server, or because of the client.
_NO_GET = {
    True: "on this server a GET cannot act: send a POST",
    False: "a GET acts only for clients that are known to be programs, because crawlers, mail scanners and previews open "
    "links too: send a POST",
}

log = logging.getLogger(__name__)


def handlers(
    queue: LazyQueue, *, limits: LinkLimits | None = None, proxies: TrustedProxies = NO_PROXIES
) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Make the routes of the public links; they match any token, so that no other handler logs it."""
    options = {"queue": queue, "limits": limits or LinkLimits(), "proxies": proxies}
    return [
        (r"/pauseflow/(resume|cancel|send_back|approve)/(.*)", CallbackHandler, options),
        (r"/pauseflow/start/(.*)", StartHandler, options),
    ]


class CallbackHandler(Receiver):
    """One request to one link."""

    _target: LinkTarget | None = None

    async def read_token(self) -> None:
        """Verify the token, and find the suspension of the link."""
        self._target = await self._lazy.read_link(self.path_args[1], self.path_args[0])

    def open_sink(self, queue: Queue) -> Sink:
        """Open a file beside the other bodies of this suspension."""
        return queue.bodies.open(self._known_claim())

    async def act(self, action: str, _token: str) -> None:
        """Answer a request of any method."""
        if not self.received_all():
            return
        links = (await self._lazy.opened()).settings.links
        method = self.request.method or ""
        if method == "OPTIONS":
            self.set_header("Allow", ", ".join(METHODS))
            self.set_status(204)
        elif action == "approve" and method in {"GET", "HEAD"}:
            await self._show()
        elif may_act(method, self.request.headers, links):
            with self._lazy.answering():
                await self._settle(action)
        elif method == "GET" and (prefers_json(self.request.headers) or is_from_program(self.request.headers)):
            # With 200, a program would believe that it had acted.
            self.set_header("Allow", "POST, PUT, PATCH, DELETE, HEAD, OPTIONS")
            write_error_response(self, 405, _NO_GET[links == "strict"], html=False)
        else:
            await self._show()

    get = head = post = put = patch = delete = options = allow_unauthenticated(act)

    async def _show(self) -> None:
        facts = await self._facts()
        status = 410 if is_over(facts) else 200
        if prefers_json(self.request.headers):
            # Outputs are markup, which only the page needs.
            write_json(self, status, {name: fact for name, fact in facts.items() if name not in _FOR_THE_PAGE})
        else:
            await self._write_suspension(status, facts)

    async def _settle(self, action: str) -> None:
        assert self._upload is not None
        is_used, entries = False, None
        try:
            schema = await self._schema()
            body = await self._body(schema)
            entries = read_entries(body)
            compute = self.compute if schema is None else self._lazy.compute
            callback = await compute(self._read_callback, action, body, schema)
            answer = await self._lazy.settle(self._known_link(), callback)
            if callback.reading is not None and answer.body.get("errors"):
                answer.body["errors"] = callback.reading.place(answer.body["errors"])
            is_used = answer.status in {200, 202} and not answer.body.get("already")
        except StoreUnavailable:
            # The store may have settled the suspension before it stopped answering. Otherwise `gc` removes the file.
            is_used = True
            raise
        except InvalidBody as problem:
            if not wants_html(self.request.headers):
                raise
            more = {"entries": entries, "problem": str(problem)}
            await self._write_suspension(status_of(problem) or 400, await self._facts(), **more)
            return
        except InvalidAnswer as problem:
            answer = Response(422, {"error": str(problem), "errors": problem.errors})
        finally:
            if self._upload.is_large and not is_used:
                await asyncio.to_thread(self._upload.discard)
        await self._write_answer(answer, entries)

    async def _schema(self) -> dict[str, JSON] | None:
        question = self._known_link().question
        if question is None:
            # The suspension may have been opened since.
            return await self._lazy.call(Queue.read_schema, self._known_claim())
        return question.schema

    async def _body(self, schema: dict[str, JSON] | None) -> Body:
        assert self._upload is not None
        if schema is not None and self._upload.is_large:
            # An answer is checked in memory, so it must not go to a file.
            raise BodyTooLarge(INLINE_BYTES)
        return await self.parse()

    def _read_callback(self, action: str, body: Body, schema: dict[str, JSON] | None) -> Callback:
        return self._make_callback(read_request(action, body, parse_query(self.request.query), schema))

    def _make_callback(self, request: Request) -> Callback:
        described = envelope(self.request, request.body, by="link")
        if request.comment is not None:
            described["comment"] = request.comment
        return Callback(
            action=request.action, envelope=described, by="link", reading=request.reading, seen=request.seen
        )

    async def _write_answer(self, answer: Response, entries: Entries | None) -> None:
        if answer.status == 404:
            # In the same words as for a forged link.
            raise UnknownLink
        if answer.status == 429:
            self.set_header("Retry-After", "5")
        if answer.status == 405:
            self.set_header("Allow", "POST, PUT, PATCH, DELETE, HEAD, OPTIONS")
        if not wants_html(self.request.headers):
            write_json(self, answer.status, answer.body)
            return
        if answer.status == 405:
            await self._show()
            return
        goal = self._landing.after({"action": self._known_claim().action, **answer.body})
        if goal and entries is not None and answer.status in {200, 202} and not answer.body.get("already"):
            self.redirect(goal, status=303)
            return
        facts = await self._facts()
        if answer.status == 422:
            more = {
                "entries": entries,
                "errors": answer.body.get("errors", []),
                "problem": describe_problem(answer.body),
            }
            await self._write_suspension(422, facts, **more)
            return
        note = note_on(answer.status, answer.body)
        await self._write_suspension(answer.status, facts, note=note, closed=answer.status == 202)

    async def _facts(self) -> Facts:
        facts = await collect_facts(self._lazy, self._known_claim(), LINK)
        # The listener of a single run has no login.
        has_login = "identity_provider" in self.settings
        return {**facts, "sign_in_url": f"../signed-in/{'/'.join(self.path_args)}" if has_login else None}

    async def _write_suspension(self, status: int, facts: Facts, **more: Any) -> None:
        action = self._known_claim().action
        # A link allows only its own action: only an approve link shows all buttons.
        actions = facts["allow"] if action == "approve" else (action,)
        more.update(actions=actions, landing=self._landing)
        page = await self._lazy.compute(render_suspension, facts, **more)
        write_page(self, status, page, self._landing)

    def _known_link(self) -> LinkTarget:
        assert self._target is not None
        return self._target

    def _known_claim(self) -> Claim:
        return self._known_link().claim
