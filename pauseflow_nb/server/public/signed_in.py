"""Serve the approval page to people who have signed in, whose answers are recorded under their names.

The token identifies the question, and Jupyter's login the person, by its cookie. So this is a handler of Jupyter,
with its login, its authoriser and its XSRF check.
"""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from jupyter_server.base.handlers import JupyterHandler
from tornado.web import RequestHandler

from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import BodyTooLarge, InvalidBody
from pauseflow_nb.forms.codec import Entries
from pauseflow_nb.identity import Who
from pauseflow_nb.json_values import JSON
from pauseflow_nb.links import Claim
from pauseflow_nb.server.http_errors import status_of
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.server.login import RESOURCE, identify, require_permission
from pauseflow_nb.server.public.bodies import Body, parse_body
from pauseflow_nb.server.public.decision import read_entries, read_request
from pauseflow_nb.server.public.envelope import envelope
from pauseflow_nb.server.public.facts import collect_facts
from pauseflow_nb.server.public.page import OURS, Landing, render_suspension
from pauseflow_nb.server.public.responses import (
    find_error_response,
    set_private_headers,
    write_error_response,
    write_page,
)
from pauseflow_nb.server.public.upload import INLINE_BYTES
from pauseflow_nb.server.public.wording import Facts, describe_problem, is_over, note_on


def signed_in_routes(queue: LazyQueue) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Make the route, for servers with a login."""
    return [(r"/pauseflow/signed-in/(resume|cancel|send_back|approve)/(.*)", SignedInHandler, {"queue": queue})]


class SignedInHandler(JupyterHandler):
    """A question for a person who has signed in."""

    SUPPORTED_METHODS = ("GET", "POST")
    auth_resource = RESOURCE

    def initialize(self, queue: LazyQueue) -> None:
        """Take the queue."""
        self._lazy = queue
        self._landing = OURS

    def set_default_headers(self) -> None:
        """Set the headers of every response."""
        super().set_default_headers()
        set_private_headers(self)

    @require_permission("execute")
    async def get(self, action: str, token: str) -> None:
        """Show the page, after the login if the person has not signed in."""
        claim = await self._read_claim(action, token)
        facts = await self._facts(claim)
        await self._write(410 if is_over(facts) else 200, claim, facts)

    @require_permission("execute")
    async def post(self, action: str, token: str) -> None:
        """Take an answer."""
        claim = await self._read_claim(action, token)
        if len(self.request.body) > INLINE_BYTES:
            raise BodyTooLarge(INLINE_BYTES)
        entries: Entries | None = None
        try:
            body = await self._lazy.compute(parse_body, self.request.body, self.request.headers.get("Content-Type"))
            entries = read_entries(body)
            schema = await self._lazy.call(Queue.read_schema, claim)
            callback = await self._lazy.compute(self._callback, action, body, schema)
            answer = await self._lazy.answer(claim.execution, Queue.settle, claim, callback)
        except InvalidBody as problem:
            more: dict[str, Any] = {"entries": entries, "problem": str(problem)}
            await self._write(status_of(problem) or 400, claim, await self._facts(claim), **more)
            return
        facts = await self._facts(claim)
        if answer.status == 422:
            more = {
                "entries": entries,
                "errors": answer.body.get("errors", []),
                "problem": describe_problem(answer.body),
            }
            await self._write(422, claim, facts, **more)
            return
        note = note_on(answer.status, answer.body)
        await self._write(answer.status, claim, facts, note=note, closed=answer.status == 202)

    def _callback(self, action: str, body: Body, schema: dict[str, JSON] | None) -> Callback:
        request = read_request(action, body, {}, schema)
        described = envelope(self.request, request.body, by=self._who())
        if described["body_raw"] != "null":
            # The text of the form contains the XSRF token.
            described["body_raw"] = None
        if request.comment is not None:
            described["comment"] = request.comment
        return Callback(request.action, described, self._who(), request.reading, request.seen)

    async def _read_claim(self, action: str, token: str) -> Claim:
        queue = await self._lazy.call(lambda queue: queue)
        self._landing = Landing(queue.settings.templates, queue.settings.redirect)
        return await self._lazy.call(Queue.read_link, token, action)

    async def _facts(self, claim: Claim) -> Facts:
        facts = await collect_facts(self._lazy, claim, self._who())
        return {
            **facts,
            "signed_in_as": str(self._who()).removeprefix("user:"),
            "notebook_url": self._notebook_url(facts),
        }

    def _notebook_url(self, facts: Facts) -> str | None:
        """Return the URL of the notebook in JupyterLab, if JupyterLab is installed and the server has the file."""
        server = self.serverapp
        root, path = Path(self.settings["server_root_dir"]).resolve(), Path(facts["notebook"])
        if server is None or "jupyterlab" not in server.extension_manager.extensions or not path.is_relative_to(root):
            return None
        return f"{self.base_url}lab/tree/{quote(path.relative_to(root).as_posix())}"

    async def _write(self, status: int, claim: Claim, facts: Facts, **more: Any) -> None:
        actions = facts["allow"] if claim.action == "approve" else (claim.action,)
        more.update(actions=actions, landing=self._landing, xsrf=self.xsrf_token.decode())
        page = await self._lazy.compute(render_suspension, facts, **more)
        write_page(self, status, page, self._landing)

    def _who(self) -> Who:
        return identify(self.current_user, self.identity_provider)

    def write_error(self, status_code: int, **info: Any) -> None:
        """Write an error as one of our pages."""
        status, sentence = find_error_response(info.get("exc_info", (None, None, None))[1], status_code)
        write_error_response(self, status, sentence, html=True, landing=self._landing)
        self.finish()

    def _log(self) -> None:
        # The access log prints paths, and the path identifies the question.
        pass
