"""Write a Python type as JSON Schema; our own keywords add what pydantic checks beyond it."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from pauseflow_nb.forms.dialect import DECIMAL, NAMES, STRICT, ZONE

_DECIMAL_LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "max_digits", "decimal_places")

JsonSchema = dict[str, Any]


class PythonSchema(GenerateJsonSchema):
    """Makes the schema."""

    #: Whether the current model is strict: it accepts only values of the declared type.
    _is_strict = False

    def model_schema(self, schema: Any) -> JsonSchema:
        """Add the names of a model's fields."""
        return self._within(schema, super().model_schema)

    def dataclass_schema(self, schema: Any) -> JsonSchema:
        """Add the names of a dataclass's fields."""
        return self._within(schema, super().dataclass_schema)

    def typed_dict_schema(self, schema: Any) -> JsonSchema:
        """Add the names of a dict's keys."""
        return self._within(schema, super().typed_dict_schema)

    def int_schema(self, schema: Any) -> JsonSchema:
        """Mark a strict field."""
        return self._marked(schema, super().int_schema(schema))

    def float_schema(self, schema: Any) -> JsonSchema:
        """Mark a strict field."""
        return self._marked(schema, super().float_schema(schema))

    def bool_schema(self, schema: Any) -> JsonSchema:
        """Mark a strict field."""
        return self._marked(schema, super().bool_schema(schema))

    def date_schema(self, schema: Any) -> JsonSchema:
        """Mark a strict field."""
        return self._marked(schema, super().date_schema(schema))

    def time_schema(self, schema: Any) -> JsonSchema:
        """Mark a strict field."""
        return self._marked(schema, super().time_schema(schema))

    def timedelta_schema(self, schema: Any) -> JsonSchema:
        """Mark a strict field."""
        return self._marked(schema, super().timedelta_schema(schema))

    def datetime_schema(self, schema: Any) -> JsonSchema:
        """Mark a strict field, and one that requires or forbids a time zone."""
        zone = schema.get("tz_constraint")
        made = self._marked(schema, super().datetime_schema(schema))
        return {**made, ZONE: zone} if zone in ("aware", "naive") else made

    def decimal_schema(self, schema: Any) -> JsonSchema:
        """Add the limits for numbers and texts; JSON Schema has them only for numbers."""
        limits = {key: _as_json(schema[key]) for key in _DECIMAL_LIMITS if schema.get(key) is not None}
        made = super().decimal_schema(schema)
        branches = made.get("anyOf", [made])
        return {
            **{key: value for key, value in made.items() if key != "anyOf"},
            "anyOf": [{"type": each.get("type", "number"), DECIMAL: limits} for each in branches],
        }

    def _marked(self, schema: Any, made: JsonSchema) -> JsonSchema:
        return {**made, STRICT: True} if schema.get("strict", self._is_strict) else made

    def _within(self, schema: Any, write: Any) -> JsonSchema:
        config: Mapping[str, Any] = schema.get("config") or {}
        before, self._is_strict = self._is_strict, bool(schema.get("strict", config.get("strict", False)))
        try:
            made: JsonSchema = write(schema)
        finally:
            self._is_strict = before
        properties = made.get("properties")
        if isinstance(properties, dict):
            by_name = bool(config.get("validate_by_name") or config.get("populate_by_name"))
            for name, field in _fields(schema):
                _add_names(properties, name, field.get("validation_alias"), by_name=by_name)
        return made


def _fields(schema: Any) -> Iterable[tuple[str, Any]]:
    """Find the fields of a model, whose schema may be nested in the schemas of validators."""
    for _ in range(16):
        fields = schema.get("fields")
        if isinstance(fields, dict):
            return fields.items()
        if isinstance(fields, list) and all(isinstance(each, dict) and "name" in each for each in fields):
            return [(each["name"], each) for each in fields]
        schema = schema.get("schema")
        if not isinstance(schema, dict):
            break
    return ()


def _add_names(properties: dict[str, Any], name: str, alias: Any, *, by_name: bool) -> None:
    if alias is None:
        return
    several = alias if isinstance(alias, list) and all(isinstance(each, list) for each in alias) else [alias]
    paths = [[each] if isinstance(each, str) else list(each) for each in several]
    paths += [[name]] if by_name else []
    key = next((path[0] for path in paths if len(path) == 1 and path[0] in properties), name)
    if key in properties and paths != [[key]]:
        properties[key] = {**properties[key], NAMES: [path for path in paths if path != [key]]}


def _as_json(limit: Any) -> Any:
    return limit if isinstance(limit, int) else str(limit)
