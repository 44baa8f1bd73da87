"""Links that a step keeps in variables: not saved with them, and said to be spent after the pause."""

from pathlib import Path
from typing import Any

import pytest
from roads.rider import Rider, returned, shown

pytestmark = pytest.mark.acceptance

KEEP = """
import copy, dataclasses, functools
@dataclasses.dataclass
class Order:
    links: object
    url: str
class Mine(dict): pass
links = flow.suspend('1h')
Derived = type('Derived', (type(links),), {})
url = links.resume_url
kept = {
    'list': [links, (links, {'deep': links})],
    'dict': dict(links), 'spread': {**links}, 'values': list(links.values()), 'items': list(links.items()),
    'copies': [copy.copy(links), copy.deepcopy(links), links.copy(), links | {}, Mine(links)],
    'deep': copy.deepcopy([links, url]),
    'order': Order(links, url),
    'derived': Derived(links),
    'partial': functools.partial(print, url, links=links),
    'set': {links['cancel_url']},
}
def later(url=url, links=links): return url
again = links
"""

LOOK = """
def refused(get):
    try:
        return ['no error', str(get())]
    except LookupError as problem:
        return [type(problem).__name__, str(problem)]
every = [links, kept['list'][0], kept['list'][1][1]['deep'], kept['order'].links, kept['derived'], kept['copies'][1]]
print(links)
{
    'asked': [refused(lambda: one['resume_url']) for one in every] + [refused(lambda: links.approval_url), refused(lambda: links.get('cancel_url'))],
    'texts': [url, later(), kept['order'].url, kept['dict']['resume_url'], *kept['set']],
    'same': [again is links, kept['list'][0] is links],
    'shown': repr(links), 'names': sorted(links), 'has': hasattr(links, 'resume_url'), 'other': links.get('nothing', 3),
}
"""


def tokens_left(folder: Path, view: dict[str, Any]) -> list[str]:
    """Name the files below a folder that hold the signature of a link."""
    (waits,) = view["suspended"]
    signatures = [waits[name].rpartition(".")[2].encode() for name in ("resume_url", "cancel_url", "approval_url")]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if any(signature in path.read_bytes() for signature in signatures)]


def test_no_snapshot_holds_a_link_that_a_variable_holds(rider: Rider) -> None:
    view = rider.run(f"%%step ask\n{KEEP}\nassert url.startswith('http') and f'{{url}}' == url", f"%%step look\n{LOOK}")

    assert view["state"] == "suspended", view["error"]
    assert tokens_left(Path(rider.queue.settings.storage), view) == []

    ended = rider.answer(view["id"])
    found = returned(ended, "look")

    sentence = "can no longer be used: its pause is over; each `flow.suspend()` returns new links"
    for kind, message in found["asked"]:
        assert (kind, sentence in message) == ("LinkSpent", True), message
    for text in found["texts"]:
        assert sentence in text
    assert found["same"] == [True, True]
    assert "spent" in found["shown"]
    assert (found["names"], found["has"], found["other"]) == (["approval_url", "cancel_url", "resume_url"], False, 3)
    assert "spent links" in shown(rider.output())


def test_links_are_spent_in_a_kernel_that_lived_on(rider: Rider) -> None:
    """A lock keeps the kernel: nothing is restored, and the links are over all the same."""
    execution = rider.start(
        "%%step ask\nimport threading\nlock = threading.Lock()\nlinks = flow.suspend('1h')",
        "%%step look\nlock.locked()\ntry:\n    found = links.resume_url\nexcept LookupError as problem:\n    found = str(problem)\n"
        "[found, repr(links)]",
    )
    view = rider.ride(execution, until_pause=False, on_event=answer_once(rider))

    text, shown_ = returned(view, "look")
    assert "can no longer be used" in text
    assert "spent links" in shown_


def answer_once(rider: Rider) -> Any:
    def on_event(event: Any) -> None:
        if event.kind == "suspended" and event.data["view"]["kernel_bound"]:
            rider.queue.resume(event.data["view"]["id"], by="user:ann")

    return on_event


def test_a_link_that_is_exported_is_ordinary_text(rider: Rider) -> None:
    view = rider.run(
        "%%step ask\nlinks = flow.suspend('1h')\nflow.export('url', links.resume_url)\nflow.export('all', links)"
    )

    exports = view["steps"]["ask"]["exports"]
    assert exports["url"] == view["suspended"][0]["resume_url"]
    assert "hidden" in exports["all"]["resume_url"]


def test_a_rerun_has_links_of_its_own(rider: Rider) -> None:
    view = rider.run(
        "urls = []", "%%step poll\nlinks = flow.rerun('1h')\nurls.append(links.resume_url)\nlen(set(urls))"
    )
    first = view["suspended"][0]["resume_url"]
    again = rider.answer(view["id"])

    assert returned(again, "poll") == 2
    assert again["suspended"][0]["resume_url"] != first
