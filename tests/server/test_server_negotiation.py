import pytest

from pauseflow_nb.server.negotiation import PREVIEW_AGENTS, is_look_only, may_act, prefers_json, wants_html

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
CURL = {"Accept": "*/*", "User-Agent": "curl/8.5.0"}


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
@pytest.mark.parametrize("links", ["strict", "confirm", "open"])
def test_head_and_options_never_act(method: str, links: str) -> None:
    assert not may_act(method, CURL, links)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("links", ["strict", "confirm", "open"])
def test_every_other_method_acts_also_from_a_browser(method: str, links: str) -> None:
    assert may_act(method, BROWSER, links)


@pytest.mark.parametrize(
    ("links", "headers", "acts"),
    [
        ("strict", CURL, False),
        ("strict", BROWSER, False),
        ("confirm", CURL, True),
        ("confirm", {}, True),
        ("confirm", BROWSER, False),
        ("open", CURL, True),
        ("open", BROWSER, True),
    ],
)
def test_the_setting_says_which_get_acts(links: str, headers: dict[str, str], acts: bool) -> None:
    assert may_act("GET", headers, links) is acts


@pytest.mark.parametrize(
    "headers",
    [
        {"Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"X-Moz": "prefetch"},
        {"X-Purpose": "preview"},
        {"User-Agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"},
        {"User-Agent": "facebookexternalhit/1.1"},
        {"User-Agent": "Twitterbot/1.0"},
        {"User-Agent": "LinkedInBot/1.0 (compatible; Mozilla/5.0)"},
        {"User-Agent": "WhatsApp/2.23.20.0"},
        {"User-Agent": "TelegramBot (like TwitterBot)"},
        {"User-Agent": "Mozilla/5.0 (compatible; Discordbot/2.0)"},
        {"User-Agent": "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5"},
        {"User-Agent": "Microsoft Office Word/16.0"},
        {"User-Agent": "Mozilla/5.0 BingPreview/1.0b"},
        {"User-Agent": "Mozilla/5.0 (via ggpht.com GoogleImageProxy)"},
        {"User-Agent": "BarracudaCentral/1.0"},
        {"User-Agent": "Proofpoint URL Defense"},
        {"User-Agent": "Mimecast-URL-Scanner"},
    ],
)
def test_what_fetches_without_a_click_only_looks(headers: dict[str, str]) -> None:
    assert is_look_only({"Accept": "*/*", **headers})


def test_agents_are_written_as_they_are_compared() -> None:
    assert [agent.lower() for agent in PREVIEW_AGENTS] == list(PREVIEW_AGENTS)


@pytest.mark.parametrize(
    ("accept", "html", "json"),
    [
        ("", False, False),
        ("*/*", False, False),
        ("text/html", True, False),
        ("text/html;q=0", False, False),
        ("application/json", False, True),
        ("application/json, text/html;q=0.5", False, True),
        ("text/html, application/json", False, False),
        ("TEXT/HTML ; q=0.9, application/json;q=0.1", True, False),
        ("text/html;q=nonsense", False, False),
    ],
)
def test_the_answer_comes_as_accepted(accept: str, html: bool, json: bool) -> None:
    assert wants_html({"Accept": accept}) is html
    assert prefers_json({"Accept": accept}) is json
