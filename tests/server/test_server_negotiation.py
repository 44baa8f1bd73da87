import pytest

from pauseflow_nb.server.public.negotiation import PROGRAMS, is_from_program, may_act, prefers_json, wants_html

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
        ("confirm", {}, False),
        ("confirm", {"User-Agent": ""}, False),
        ("confirm", BROWSER, False),
        ("open", CURL, True),
        ("open", BROWSER, True),
    ],
)
def test_the_setting_says_which_get_acts(links: str, headers: dict[str, str], acts: bool) -> None:
    assert may_act("GET", headers, links) is acts


@pytest.mark.parametrize(
    "agent",
    [
        "curl/8.5.0",
        "Wget/1.21.3",
        "Wget/1.21.4 (linux-gnu)",
        "python-requests/2.31.0",
        "python-httpx/0.27.0",
        "Python-urllib/3.11",
        "python-urllib3/2.2.1",
        "Python/3.11 aiohttp/3.9.3",
        "Go-http-client/1.1",
        "Go-http-client/2.0",
        "axios/1.6.7",
        "node-fetch",
        "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
        "undici",
        "node",
        "got (https://github.com/sindresorhus/got)",
        "okhttp/4.12.0",
        "Java/17.0.9",
        "Java-http-client/21.0.1",
        "Apache-HttpClient/4.5.14 (Java/17.0.9)",
        "HTTPie/3.2.2",
        "Ruby",
        "rest-client/2.1.0 (linux x86_64) ruby/3.1.2p20",
        "Faraday v2.7.4",
        "GuzzleHttp/7",
        "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.3803",
        "Mozilla/5.0 (Linux; Debian GNU/Linux 12; en-US) PowerShell/7.4.1",
        "PostmanRuntime/7.36.1",
        "Zapier",
        "n8n",
        "Make/production",
        "Tornado/6.4",
    ],
)
def test_a_get_of_a_program_acts(agent: str) -> None:
    assert may_act("GET", {"Accept": "*/*", "User-Agent": agent}, "confirm")
    assert may_act("GET", {"accept": "application/json, text/plain, */*", "user-agent": agent}, "confirm")
    assert not may_act("GET", {"Accept": "*/*", "User-Agent": agent}, "strict")


@pytest.mark.parametrize(
    "agent",
    [
        "",
        " ",
        "()",
        "/",
        "Mozilla/5.0",
        "curl/8.5.0,Mozilla/5.0",
        "curl/8.5.0 Mozilla/5.0 Safari/537.36",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
        "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
        "Mozilla/5.0 (compatible; ClaudeBot/1.0; +claudebot@example.com)",
        "Mastodon/4.2.1 (http.rb/5.1.1; +https://mastodon.example/)",
        "http.rb/5.1.1 (Mastodon/4.2.1; +https://mastodon.example/) Bot",
        "WebexTeams",
        "Cisco Webex Teams",
        "ZoomBot",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Safari/605.1.15",
        "Safari/605.1.15",
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "facebookexternalhit/1.1",
        "Twitterbot/1.0",
        "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
        "WhatsApp/2.23.20.0",
        "TelegramBot (like TwitterBot)",
        "Mozilla/5.0 (compatible; Discordbot/2.0)",
        "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
        "Microsoft Office Word/16.0",
        "Mozilla/5.0 BingPreview/1.0b",
        "Mozilla/5.0 (via ggpht.com GoogleImageProxy)",
        "BarracudaCentral/1.0",
        "Proofpoint URL Defense",
        "Mimecast-URL-Scanner",
        "curl/8.5.0 (link scanner)",
        "python-requests/2.31.0 (spider)",
        "Go-http-client/1.1 crawler",
        "curious/1.0",
        "not curl/8.5.0",
        "(curl/8.5.0)",
        "Mozilla/5.0 curl/8.5.0",
        "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 PowerShell/7.4.1",
        "curl/8 " + "x" * 10_000,
        "(" * 10_000,
    ],
)
def test_a_get_of_any_other_client_only_looks(agent: str) -> None:
    assert not may_act("GET", {"Accept": "*/*", "User-Agent": agent}, "confirm")
    assert may_act("GET", {"Accept": "*/*", "User-Agent": agent}, "open")


@pytest.mark.parametrize(
    "headers",
    [
        {"Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"X-Moz": "prefetch"},
        {"X-Purpose": "preview"},
        {"Sec-Fetch-Mode": "navigate"},
        {"sec-fetch-dest": "empty"},
        {"Accept": "text/html"},
        {"Accept": "TEXT/HTML;q=0.1, */*"},
        {"Accept": "application/xhtml+xml"},
        {"accept": "text/*"},
    ],
)
def test_a_get_that_fetches_ahead_or_asks_for_a_page_only_looks(headers: dict[str, str]) -> None:
    assert not is_from_program({"User-Agent": "curl/8.5.0", **headers})


def test_programs_are_written_as_they_are_compared() -> None:
    assert {name.lower() for name in PROGRAMS} == PROGRAMS


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
