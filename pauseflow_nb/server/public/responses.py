"""Write responses as JSON or as a page, with the headers that all responses have."""

from http import HTTPStatus

from tornado.web import RequestHandler

from pauseflow_nb.json_values import JSON, dump_json
from pauseflow_nb.server.http_errors import RETRY_AFTER_SECONDS, status_of
from pauseflow_nb.server.public.page import OURS, Landing, content_security_policy, render_notice

_HEADINGS = {
    400: "This cannot be read",
    404: "This link is unknown",
    405: "This link wants a POST",
    408: "This did not come in time",
    410: "This link was withdrawn",
    413: "This is too large",
    415: "This cannot be read",
    422: "This answer does not fit",
    429: "Too many requests",
    503: "Not available at the moment",
    507: "No space left",
}
#: For people, who have only the link. Trying again helps if the database was unreachable, not if a value is damaged.
_WHAT_TO_DO = "Try again in a minute. If this does not change, tell the person who sent you the link"


def set_private_headers(handler: RequestHandler) -> None:
    """Keep a response out of caches, search engines and the Referer of later requests."""
    handler.set_header("Cache-Control", "no-store")
    handler.set_header("Referrer-Policy", "no-referrer")
    handler.set_header("X-Content-Type-Options", "nosniff")
    handler.set_header("X-Robots-Tag", "noindex, nofollow")
    handler.clear_header("Server")


def write_json(handler: RequestHandler, status: int, body: JSON) -> None:
    """Write JSON as the response; it is always valid."""
    handler.set_status(status)
    handler.set_header("Content-Type", "application/json; charset=UTF-8")
    handler.write(dump_json(body))


def write_page(handler: RequestHandler, status: int, html: str, landing: Landing = OURS) -> None:
    """Write a page as the response; only our own script may run on it, and no page may frame it."""
    handler.set_status(status)
    handler.set_header("Content-Type", "text/html; charset=UTF-8")
    handler.set_header("Content-Security-Policy", content_security_policy(landing))
    handler.set_header("X-Frame-Options", "DENY")
    handler.write(html)


def write_error_response(
    handler: RequestHandler, status: int, sentence: str, *, html: bool, landing: Landing = OURS
) -> None:
    """Write an error as the response; 503 says when to try again."""
    if status == 503:
        handler.set_header("Retry-After", str(RETRY_AFTER_SECONDS))
    if html:
        if status == 503:
            sentence += f". {_WHAT_TO_DO}"
        notice = render_notice(_HEADINGS.get(status, "Something went wrong"), sentence, landing)
        write_page(handler, status, notice, landing)
    else:
        write_json(handler, status, {"error": sentence})


def find_error_response(error: BaseException | None, fallback: int = 500) -> tuple[int, str]:
    """Return status and sentence of an exception; the message of one that is not ours is not shown."""
    status = status_of(error) if error is not None else None
    if status is not None:
        return status, str(error)
    if fallback < 500:
        return fallback, HTTPStatus(fallback).phrase.lower()
    return fallback, "something went wrong on this server; its log has the error"
