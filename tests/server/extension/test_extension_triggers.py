"""Triggers over REST, at a real Jupyter server."""

from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import nbformat
import pytest
import yaml
from jupyter_server.auth.authorizer import Authorizer

from pauseflow_nb.engine.triggers import managing

if TYPE_CHECKING:
    from server.conftest import Stage
    from server.extension.conftest import Fetch

API = "pauseflow/api/triggers"


@pytest.fixture
def notebook(jp_root_dir: Path) -> str:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%step a\n1")]), jp_root_dir / "in.ipynb")
    return "in.ipynb"


def described() -> dict[str, Any]:
    import pauseflow_nb.server.api

    path = Path(str(pauseflow_nb.server.api.__file__)).parent / "openapi.yaml"
    found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return found


def require_described(view: dict[str, Any]) -> None:
    schema = described()["components"]["schemas"]["Trigger"]
    assert set(view) == set(schema["properties"])
    plain = {name: each["type"] for name, each in schema["properties"].items() if not each.get("nullable")}
    jsonschema.validate(view, {"properties": {name: {"type": kind} for name, kind in plain.items()}})


def test_a_schedule_is_added_listed_and_removed(fetch: "Fetch", notebook: str, stage: "Stage") -> None:
    asked = {"notebook": notebook, "cron": "0 8 * * 1-5", "tz": "Europe/Berlin", "parameters": {"a": 1}}
    response = fetch(API, json=asked)
    view = loads(response.body)

    assert (response.code, response.headers["Location"].rpartition("/")[2]) == (201, view["id"])
    require_described(view)
    assert (view["kind"], view["url"], view["created_by"][:5]) == ("schedule", None, "user:")
    assert view["schedule"]["zone"] == "Europe/Berlin"
    assert view["next_at"] is not None
    assert loads(fetch(API).body) == {"triggers": [view]}
    assert fetch(f"{API}/{view['id']}", method="DELETE").code == 204
    assert managing.list_triggers(stage.queue) == []


def test_an_http_trigger_has_a_url_that_starts_an_execution(
    fetch: "Fetch", stranger: "Fetch", notebook: str, stage: "Stage"
) -> None:
    view = loads(fetch(API, json={"notebook": notebook, "http": True}).body)
    require_described(view)
    url = view["url"].partition("/pauseflow/")[2]
    headers = {"Content-Type": "application/json", "Host": "public.example.org"}
    answer = stranger(f"pauseflow/{url}", method="POST", body='{"n": 1}', headers=headers)

    assert answer.code == 202
    assert stage.queue.state(loads(answer.body)["id"]) == "queued"


def test_it_is_paused_resumed_replaced_and_run(fetch: "Fetch", notebook: str) -> None:
    view = loads(fetch(API, json={"notebook": notebook, "http": True}).body)

    def act(what: str) -> Any:
        response = fetch(f"{API}/{view['id']}/{what}", method="POST", body="")
        assert response.code in {200, 201}, response.body
        return loads(response.body)

    assert [act("pause")["state"], act("resume")["state"]] == ["paused", "active"]
    assert act("rotate")["url"] != view["url"]
    execution = act("run")
    assert execution["state"] == "queued"
    assert loads(fetch(f"{API}/{view['id']}").body)["last"]["execution"] == execution["id"]


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({}, "http"),
        ({"http": True, "cron": "* * * * *"}, "http"),
        ({"cron": "nonsense"}, "cron"),
        ({"every": "5"}, "every"),
        ({"every": "5m", "waits": True}, "waits"),
        ({"every": "5m", "missed": "perhaps"}, "missed"),
        ({"http": True, "overlap": "skip"}, "overlap"),
        ({"every": "5m", "nonsense": 1}, "nonsense"),
        ({"http": True, "notebook": "../up.ipynb"}, "notebook"),
    ],
)
def test_a_request_that_cannot_be_read_says_which_field(
    fetch: "Fetch", notebook: str, stage: "Stage", more: dict[str, Any], word: str
) -> None:
    response = fetch(API, json={"notebook": notebook, **more})

    assert (response.code, word in loads(response.body)["error"]) == (400, True)
    assert managing.list_triggers(stage.queue) == []


@pytest.mark.parametrize(
    ("path", "method"),
    [("", "GET"), ("", "DELETE"), *(("/" + each, "POST") for each in ("pause", "resume", "rotate", "run"))],
)
def test_an_unknown_one_is_404(fetch: "Fetch", path: str, method: str) -> None:
    assert fetch(f"{API}/nosuch{path}", method=method, body=None if method != "POST" else "").code == 404


class TestWhoMayOnlyLook:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: Any) -> Any:
        class ReadOnly(Authorizer):
            def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
                return action == "read"

        jp_server_config.ServerApp.authorizer_class = ReadOnly
        return jp_server_config

    def test_sees_no_url_and_changes_nothing(
        self, fetch: "Fetch", stage: "Stage", notebook: str, jp_root_dir: Path
    ) -> None:
        new = managing.NewTrigger(str(jp_root_dir / notebook))
        trigger = managing.add(stage.queue, new, by="user:ann")["id"]

        assert loads(fetch(f"{API}/{trigger}").body)["url"] is None
        assert loads(fetch(API).body)["triggers"][0]["url"] is None
        assert fetch(API, json={"notebook": notebook, "http": True}).code == 403
        for path, method in (("/pause", "POST"), ("/rotate", "POST"), ("/run", "POST"), ("", "DELETE")):
            assert fetch(f"{API}/{trigger}{path}", method=method, body="" if method == "POST" else None).code == 403
        assert managing.view(stage.queue, trigger)["state"] == "active"
