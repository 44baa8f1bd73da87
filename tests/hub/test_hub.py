"""Links act through the hub's proxy without login, the API does not; a managed service answers while servers sleep."""

from json import loads
from typing import TYPE_CHECKING, Any

import pytest
from hub.conftest import SERVICE
from lab.store import suspend

if TYPE_CHECKING:
    from hub.conftest import Hub

pytestmark = [pytest.mark.hub, pytest.mark.timeout(600)]

ASK = (
    "kept = [1, 2]",
    "%%step ask\nfrom pauseflow_nb import flow, steps\nflow.suspend(title='Ship it?')",
    "%%step after\nflow.export('got', [kept, steps.ask.data])",
)
BROWSER = "text/html,application/xhtml+xml"


def started(hub: "Hub", user: str, token: str) -> dict[str, Any]:
    """Let a user start a notebook on the user's own server, and wait until it waits."""
    notebook = hub.notebook(user, *ASK)
    api = f"user/{user}/pauseflow/api/executions"
    answer = hub.ask("POST", api, token=token, json={"notebook": notebook, "output": "out.ipynb"})
    assert answer.code == 201, answer.body
    path = f"{api}/{loads(answer.body)['id']}"

    def view() -> dict[str, Any]:
        found: dict[str, Any] = loads(hub.ask("GET", path, token=token).body)
        return found

    hub.wait_for("the notebook to wait", lambda: view()["state"] == "suspended")
    return view()


def test_links_act_through_the_proxy_without_login_and_the_api_does_not(hub: "Hub") -> None:
    ada, cy = hub.begin("ada"), hub.begin("cy")
    execution = started(hub, "ada", ada)
    api = f"user/ada/pauseflow/api/executions/{execution['id']}"
    link = execution["suspended"][0]

    assert link["resume_url"].startswith(f"{hub.url}/user/ada/pauseflow/resume/")
    assert hub.ask("GET", api).code == 403
    assert hub.ask("POST", f"{api}/resume", json={}).code == 403
    assert hub.ask("POST", f"{api}/resume", json={}, token=cy).code == 403
    page = hub.ask("GET", link["approval_url"], Accept=BROWSER)
    assert (page.code, b"Ship it?" in page.body) == (200, True)

    answer = hub.ask("POST", link["resume_url"], json={"approved": True}, **{"Content-Type": "application/json"})

    assert answer.code == 200, answer.body
    hub.wait_for("its end", lambda: loads(hub.ask("GET", api, token=ada).body)["state"] == "completed")
    view = loads(hub.ask("GET", api, token=ada).body)
    assert view["steps"]["after"]["exports"]["got"] == [[1, 2], {"approved": True}]
    assert view["created_by"] == "user:ada"


def test_a_managed_service_answers_while_the_servers_of_users_sleep(hub: "Hub") -> None:
    bea = hub.begin("bea")
    execution = started(hub, "bea", bea)
    link = execution["suspended"][0]
    assert link["resume_url"].startswith(f"{hub.url}/services/pauseflow/pauseflow/resume/")
    hub.end("bea")
    asleep = link["resume_url"].replace("/services/pauseflow/", "/user/bea/", 1)
    assert hub.ask("POST", asleep).code != 200

    page = hub.ask("GET", link["approval_url"], Accept=BROWSER)
    answer = hub.ask("POST", link["resume_url"], json="yes", **{"Content-Type": "application/json"})

    assert (page.code, b"Ship it?" in page.body) == (200, True)
    assert answer.code == 200, answer.body
    api = f"{SERVICE}/api/executions/{execution['id']}"
    hub.wait_for("its end", lambda: loads(hub.ask("GET", api, token=bea).body)["state"] == "completed")
    view = loads(hub.ask("GET", api, token=bea).body)
    assert view["steps"]["after"]["exports"]["got"] == [[1, 2], "yes"]
    assert view["output"] == str(hub.folder / "bea" / "out.ipynb")


def test_each_user_may_have_a_service_as_the_docs_show_it(hub: "Hub") -> None:
    eli, fay = hub.begin("eli"), hub.account("fay")
    execution = started(hub, "eli", eli)
    link = execution["suspended"][0]
    assert link["approval_url"].startswith(f"{hub.url}/services/pauseflow-eli/pauseflow/approve/")
    hub.end("eli")
    api = f"services/pauseflow-eli/pauseflow/api/executions/{execution['id']}"
    assert hub.ask("GET", api).code == 403
    assert hub.ask("GET", api, token=fay).code == 403

    page = hub.ask("GET", link["approval_url"], Accept=BROWSER)
    answer = hub.ask("POST", link["resume_url"], json="yes", **{"Content-Type": "application/json"})

    assert (page.code, b"Ship it?" in page.body) == (200, True)
    assert answer.code == 200, answer.body
    hub.wait_for("its end", lambda: loads(hub.ask("GET", api, token=eli).body)["state"] == "completed")
    other = "services/pauseflow-fay/pauseflow/api/executions"
    assert loads(hub.ask("GET", other, token=fay).body)["executions"] == []
    assert (hub.folder / "eli" / ".local" / "share" / "jupyter" / "pauseflow" / "pauseflow.db").is_file()


def test_the_api_of_the_service_asks_the_hub_who_one_is(hub: "Hub") -> None:
    queue = hub.queue("shared")
    suspend(queue, "named", approvers=["dan"])
    queue.close()
    dan, eve = hub.account("dan"), hub.account("eve")
    api = f"{SERVICE}/api/executions/named"

    assert hub.ask("GET", api).code == 403
    assert hub.ask("GET", api, token="forged").code == 403
    assert hub.ask("GET", api, token=eve).code == 403
    assert hub.ask("POST", f"{api}/resume", json={}).code == 403
    link = loads(hub.ask("GET", api, token=dan).body)["suspended"][0]["resume_url"]
    assert hub.ask("POST", link).code == 403

    assert hub.ask("POST", f"{api}/resume", json={"data": 1}, token=dan).code == 200

    events = loads(hub.ask("GET", f"{api}/events", token=dan).body)["events"]
    assert [line["by"] for line in events if line["what"] == "settled"] == ["user:dan"]
