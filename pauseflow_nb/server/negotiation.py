"""Read a request's headers: may it act, and in which language does it want its answer?

A link in a mail is opened by more than people: mail scanners, chat previews and browsers that fetch
ahead. None of them may answer a question, so most GETs only show the approval page (SPEC 7).
"""

from collections.abc import Mapping

__all__ = ["PREVIEW_AGENTS", "is_look_only", "may_act", "prefers_json", "wants_html"]

#: Parts of the User-Agent of programs that open links nobody clicked: previews in chats, scanners of mails.
PREVIEW_AGENTS = (
    "applebot",
    "barracuda",
    "bingpreview",
    "bitlybot",
    "cloudmark",
    "discordbot",
    "embedly",
    "facebookexternalhit",
    "facebot",
    "fireeye",
    "forcepoint",
    "googleimageproxy",
    "google-safety",
    "iframely",
    "linkedinbot",
    "mattermost-bot",
    "microsoft office",
    "microsoft outlook",
    "mimecast",
    "msoffice",
    "ms-office",
    "pinterest",
    "proofpoint",
    "redditbot",
    "rocket.chat",
    "safelinks",
    "skypeuripreview",
    "slackbot",
    "slack-imgproxy",
    "sophos",
    "symantec",
    "telegrambot",
    "trendmicro",
    "twitterbot",
    "viber",
    "vkshare",
    "whatsapp",
    "zulipurlpreview",
    "zscaler",
)

_FETCHES_AHEAD = ("Purpose", "Sec-Purpose", "X-Purpose", "X-Moz")


def may_act(method: str, headers: Mapping[str, str], links: str) -> bool:
    """Whether a request to a resume or cancel link settles something.

    Args:
        method: The HTTP method.
        headers: The request's headers; names in any case if the mapping allows it.
        links: The setting: `"strict"` no GET acts, `"confirm"` a GET of a program does, `"open"` every GET does.
    """
    if method in {"HEAD", "OPTIONS"}:
        return False
    if method != "GET" or links == "open":
        return True
    return links == "confirm" and not is_look_only(headers)


def is_look_only(headers: Mapping[str, str]) -> bool:
    """Whether a GET comes from a browser, fetches ahead, or is a preview's or scanner's."""
    agent = headers.get("User-Agent", "").lower()
    return (
        _quality(headers.get("Accept", ""), "text/html") > 0
        or any(_is_ahead(headers.get(name, "")) for name in _FETCHES_AHEAD)
        or any(known in agent for known in PREVIEW_AGENTS)
    )


def wants_html(headers: Mapping[str, str]) -> bool:
    """Whether the answer should be a page; JSON when in doubt, because programs rarely say what they accept."""
    accept = headers.get("Accept", "")
    return _quality(accept, "text/html") > _quality(accept, "application/json")


def prefers_json(headers: Mapping[str, str]) -> bool:
    """Whether who only looks asks for JSON by name; a preview's `*/*` gets the page."""
    accept = headers.get("Accept", "")
    return _quality(accept, "application/json") > _quality(accept, "text/html")


def _is_ahead(value: str) -> bool:
    return any(word in value.lower() for word in ("prefetch", "prerender", "preview"))


def _quality(accept: str, media_type: str) -> float:
    """The weight that an Accept header gives to a type that it names; wildcards say nothing about either."""
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name == media_type:
            weights = (p.removeprefix("q=") for p in parameters if p.startswith("q="))
            return _number(next(weights, "1"))
    return 0.0


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
