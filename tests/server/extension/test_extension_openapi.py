"""`openapi.yaml` says what is there, and nothing else."""

from importlib.resources import files
from json import loads
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from pauseflow_nb.server.api.handlers import ROUTES
from pauseflow_nb.server.api.start_request import StartRequest
from pauseflow_nb.server.api.trigger_handlers import TriggerRequest

if TYPE_CHECKING:
    from server.conftest import Stage
    from server.extension.conftest import Fetch


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(files("pauseflow_nb.server.api").joinpath("openapi.yaml").read_text("utf-8"))
    return found


def test_paths_and_methods_are_the_handlers(described: dict[str, Any]) -> None:
    documented = {
        path: {name.upper() for name in item if name != "parameters"} for path, item in described["paths"].items()
    }

    assert documented == {path: set(handler.SUPPORTED_METHODS) - {"HEAD"} for path, handler in ROUTES.items()}


def test_what_starts_an_execution_is_described(described: dict[str, Any]) -> None:
    documented = described["components"]["schemas"]["StartRequest"]

    assert set(documented["properties"]) == set(StartRequest.model_fields)


def test_what_adds_a_trigger_is_described(described: dict[str, Any]) -> None:
    documented = described["components"]["schemas"]["TriggerRequest"]

    assert set(documented["properties"]) == set(TriggerRequest.model_fields)


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if "$ref" in value else []
            return own + [found for item in value.values() for found in references(item)]
        return [found for item in value for found in references(item)] if isinstance(value, list) else []

    for reference in references(described):
        place: Any = described
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


@pytest.mark.parametrize("path", ["", "/events", "/outputs"])
def test_answers_are_as_described(fetch: "Fetch", stage: "Stage", described: dict[str, Any], path: str) -> None:
    execution = stage.suspended()

    answer = fetch(f"pauseflow/api/executions/{execution}{path}")

    response = described["paths"][f"/pauseflow/api/executions/{{execution}}{path}"]["get"]["responses"]["200"]
    if "$ref" in response:
        response = described["components"]["responses"]["Execution"]
    schema = response["content"]["application/json"]["schema"]
    jsonschema.validate(loads(answer.body), _as_json_schema({**schema, "components": described["components"]}))


def _as_json_schema(value: Any) -> Any:
    """OpenAPI 3.0 says `nullable` where JSON Schema has a second type."""
    if isinstance(value, list):
        return [_as_json_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {name: _as_json_schema(item) for name, item in value.items() if name != "nullable"}
    if value.get("nullable") is True and "type" in plain:
        plain["type"] = [plain["type"], "null"]
    return plain
