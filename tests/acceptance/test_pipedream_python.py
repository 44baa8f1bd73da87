"""Every kind of Python example in Pipedream's docs of its Python steps, headless and by hand.

Theirs are told in our words: the same calls with the same arguments, against services of our own. What cannot run is
listed in docs/pipedream.md.
"""

import os
from typing import Any

import pytest
from acceptance.road import Road
from acceptance.service import Service
from roads.rider import returned

pytestmark = pytest.mark.acceptance

HEAD = "def handler(pd: 'pipedream'):\n"

#: What a step's handler does, and what it returns, given the event `EVENT` of its trigger.
EXAMPLES: dict[str, tuple[str, Any]] = {
    "the shape of a step": (
        "  print(pd.steps['trigger']['context']['id'])\n  return {'foo': {'test': True}}",
        {"foo": {"test": True}},
    ),
    "data of the trigger": (
        (
            "  name = pd.steps['trigger']['event']['name']\n  kind = pd.steps['trigger']['event']['type']\n"
            "  return f'{name} is a {kind} type'"
        ),
        "Bulbasaur is a plant type",
    ),
    "data of the trigger that may be missing": (
        "  default = 60 * 1000\n  return pd.steps['trigger'].get('event', {}).get('body', {}).get('delayMs', default)",
        60_000,
    ),
    "a response": (
        "  pd.respond({\n    'status': 200,\n    'body': {\n      'message': 'Everything is ok'\n    }\n  })",
        None,
    ),
    "an environment variable": ("  import os\n  return os.environ['PATH'] == os.environ.get('PATH')", True),
    "a named export": ("  pd.export('response', {'ok': True})\n  return 1", 1),
    "a file": (
        (
            "  import os, tempfile\n  path = os.path.join(tempfile.mkdtemp(), 'logo.png')\n"
            "  with open(path, 'wb') as f:\n    f.write(b'logo')\n  with open(path) as f:\n    data = f.read()\n"
            "  os.unlink(path)\n  return data"
        ),
        "logo",
    ),
    "an account": ("  return pd.inputs['slack']['$auth']['oauth_access_token']", "a token"),
    "what the context says": ("  return [pd.context['run']['runs'], pd.context.test]", None),
    "a sleep of its own": ("  import time\n  time.sleep(0.01)\n  return 'slept'", "slept"),
}

PARAMETERS = {"name": "Bulbasaur", "type": "plant", "slack": {"$auth": {"oauth_access_token": "a token"}}}


def test_it_runs_as_written_headless(road: Road) -> None:
    """All in one notebook, because each kernel takes longer to start than an example to run."""
    names = [f"code_{number}" for number in range(len(EXAMPLES))]
    cells = [f"%%step {name}\n{HEAD}{body}" for name, (body, _) in zip(names, EXAMPLES.values(), strict=True)]
    ended = road.through(*cells, **PARAMETERS)

    assert ended["state"] == "completed", ended["error"]
    expected = {name: value for name, (_, value) in zip(names, EXAMPLES.values(), strict=True) if value is not None}
    assert {name: returned(ended, name) for name in expected} == expected


@pytest.mark.parametrize("example", EXAMPLES)
def test_it_runs_as_written_by_hand(new_shell: Any, example: str) -> None:
    body, expected = EXAMPLES[example]
    shell = new_shell()
    shell.run("from pauseflow_nb import flow, steps")
    for name, value in PARAMETERS.items():
        shell.run(f"{name} = {value!r}")
    shell.run(f"%%step code\n{HEAD}{body}")

    got = shell.shell.user_ns["steps"]["code"]["$return_value"]
    assert expected is None or got == expected


class TestExits:
    @pytest.mark.parametrize(
        "call", ["return pd.flow.exit('reason')", "return pd.flow.exit()", "pd.flow.exit('reason')"]
    )
    def test_no_later_step_runs(self, road: Road, call: str) -> None:
        ended = road.through(f"%%step code\n{HEAD}  {call}\n  print('below')", "%%step after\n1")

        assert (ended["state"], ended["reason"]["kind"]) == ("completed", "exit")
        assert "after" not in ended["steps"]

    def test_an_error_stops_the_workflow(self, road: Road) -> None:
        ended = road.through("%%step code\nraise NameError('Something happened that should not.')", "%%step after\n1")

        assert (ended["state"], ended["error"]["type"]) == ("failed", "NameError")


class TestDelays:
    def test_the_last_of_several_delays_counts(self, road: Road) -> None:
        source = (
            "import warnings\n"
            + HEAD
            + "  warnings.simplefilter('ignore')\n  pd.flow.delay(60 * 1000)\n  pd.flow.delay(15 * 60 * 1000)\n"
            "  pd.flow.delay(20)"
        )
        assert road.through(f"%%step code\n{source}", "%%step after\n1")["state"] == "completed"

    def test_its_links_can_be_sent_to_a_system_of_ones_own_as_json(self, road: Road, service: Service) -> None:
        source = (
            "import json, urllib.request\n" + HEAD + "  links = pd.flow.delay(15 * 60 * 1000)\n"
            f"  pd.send.http({{'method': 'POST', 'url': {service.url!r} + '/mailbox', 'data': dict(links)}})\n"
            "  cancel_url, resume_url = links['cancel_url'], links['resume_url']\n"
            "  assert json.loads(json.dumps(links))['resume_url'] == resume_url"
        )
        view = road.run(f"%%step code\n{source}", "%%step after\n1")
        letter: dict[str, str] = service.next_mail()

        assert view["state"] == "waiting", view["error"]
        assert letter["resume_url"] == view["suspended"][0]["resume_url"]

    def test_a_response_can_be_sent_after_a_delay_was_asked_for(self, road: Road) -> None:
        ended = road.through(f"%%step code\n{HEAD}  pd.flow.delay(10)\n  pd.respond({{'status': 200, 'body': {{}}}})")

        assert ended["state"] == "completed", ended["error"]


def test_data_of_a_step_is_read_by_later_steps(road: Road) -> None:
    ended = road.through(
        f"%%step code\n{HEAD}  return {{'pokemon': {{'name': 'charizard'}}}}",
        f"%%step after\n{HEAD}  return [pd.steps['code']['pokemon']['name'], pd.steps['code']['$return_value']['pokemon']['name']]",
    )

    assert returned(ended, "after") == ["charizard", "charizard"]


def test_a_rerun_takes_pipedreams_spelling(road: Road) -> None:
    ended = road.through(
        f"%%step code\n{HEAD}  pd.flow.rerun(10, None, maxRetries=1)\n  return pd.context['run']['runs']"
    )

    assert returned(ended, "code") == 2


def test_the_environment_has_a_path() -> None:
    """Or the example would prove nothing."""
    assert os.environ["PATH"]
