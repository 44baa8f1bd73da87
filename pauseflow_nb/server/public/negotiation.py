"""Decide from the headers of a request whether it may settle a suspension, and whether its response is HTML or JSON.

Not only people open a link in a mail: mail scanners, chat previews, crawlers and prefetching browsers do, too. None of them
may answer a question. No list of them stays complete, so a GET acts only for clients that are known to be programs, and
every other GET only shows the approval page.
"""

import re
from collections.abc import Mapping

#: First product in the User-Agent of HTTP libraries, command-line clients and automation services, in lower case.
PROGRAMS = frozenset(
    """
    curl wget wget2 httpie xh aria2
    python-requests python-httpx python-urllib python-urllib3 python aiohttp pycurl tornado
    go-http-client go-resty
    axios node-fetch node undici got superagent bun deno
    java java-http-client okhttp apache-httpclient apache-httpasyncclient reactornetty jetty jersey ahc
    ruby rest-client faraday http.rb
    guzzlehttp symfony php
    powershell windowspowershell
    libwww-perl lwp-request reqwest ureq dart r r-curl httr libcurl
    postmanruntime insomnia
    zapier n8n make integromat pipedream ifttt
    """.split()  # noqa: SIM905 - read as a table
)

#: No person has opened the link if the User-Agent contains one of these.
_CRAWLERS = ("bot", "crawl", "spider", "preview", "scan", "+http")
#: Part of the User-Agent of node-fetch, a library for programs.
_NODE_FETCH = "(+https://github.com/bitinn/node-fetch)"
_FETCHES_AHEAD = frozenset({"purpose", "sec-purpose", "x-purpose", "x-moz"})
_PAGES = ("text/html", "application/xhtml+xml", "text/*")
_LONGEST_AGENT = 500


def may_act(method: str, headers: Mapping[str, str], links: str) -> bool:
    """Whether a request to a resume or cancel link may settle the suspension.

    Args:
        method: The HTTP method.
        headers: The request's headers.
        links: The setting: `"strict"` no GET acts, `"confirm"` a GET of a program does, `"open"` every GET does.
    """
    if method in {"HEAD", "OPTIONS"}:
        return False
    if method != "GET" or links == "open":
        return True
    return links == "confirm" and is_from_program(headers)


def is_from_program(headers: Mapping[str, str]) -> bool:
    """Whether a GET comes from a client that is known to be a program, requests no page, and is not a prefetch."""
    lower = {name.lower(): value for name, value in headers.items()}
    accept = lower.get("accept", "").lower()
    if any(name in _FETCHES_AHEAD or name.startswith("sec-fetch-") for name in lower):
        return False
    return not any(page in accept for page in _PAGES) and _is_program(lower.get("user-agent", ""))


def _is_program(agent: str) -> bool:
    agent = agent.lower().replace(_NODE_FETCH, "")
    if len(agent) > _LONGEST_AGENT or any(word in agent for word in _CRAWLERS):
        return False
    products = [product.partition("/")[0] for product in re.split(r"[\s,]+", re.sub(r"\([^()]*\)", " ", agent).strip())]
    if "mozilla" in products[1:]:
        # Two headers, which a proxy has joined.
        return False
    if products[:1] == ["mozilla"]:
        # PowerShell begins with `Mozilla`, as browsers do.
        return products[1:] in (["windowspowershell"], ["powershell"])
    return products[0] in PROGRAMS


def wants_html(headers: Mapping[str, str]) -> bool:
    """Whether the response should be a page; otherwise JSON, because programs rarely send an Accept header."""
    accept = headers.get("Accept", "")
    return _find_quality(accept, "text/html") > _find_quality(accept, "application/json")


def prefers_json(headers: Mapping[str, str]) -> bool:
    """Whether a client that only reads accepts JSON explicitly; the `*/*` of a preview gets the page."""
    accept = headers.get("Accept", "")
    return _find_quality(accept, "application/json") > _find_quality(accept, "text/html")


def _find_quality(accept: str, media_type: str) -> float:
    """Return the weight of a type that an Accept header names; wildcards do not count."""
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name == media_type:
            weights = (p.removeprefix("q=") for p in parameters if p.startswith("q="))
            return _parse_number(next(weights, "1"))
    return 0.0


def _parse_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
