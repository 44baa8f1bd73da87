"""Write a Python type as JSON Schema; our own keywords add what pydantic checks beyond it."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from pauseflow_nb.forms.dialect import DECIMAL, LIMITS, NAMES, STRICT, TEXT, ZONE

_RANGE = ("gt", "ge", "lt", "le")
_DECIMAL_LIMITS = (*_RANGE, "multiple_of", "max_digits", "decimal_places")
#: Of a date, a moment, a UUID and a URL.
_TEXT_LIMITS = (*_RANGE, "now_op", "now_utc_offset", "tz_constraint", "version", "allowed_schemes", "host_required")
#: Types of which only a text with more rules than its format says is a value.
_ONLY_LIMITS = ("complex", "json", "url", "multi-host-url")
#: Keys of a dict that are text in JSON, and something else for the notebook.
_KEYS = ("int", "float", "bool", "decimal")

JsonSchema = dict[str, Any]


class PythonSchema(GenerateJsonSchema):
    """Makes the schema."""

    #: The configuration of the current model.
    _model_config: Mapping[str, Any] = {}

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
        """Mark a strict field, and add the limits."""
        return self._limited(schema, self._marked(schema, super().date_schema(schema)))

    def time_schema(self, schema: Any) -> JsonSchema:
        """Mark a strict field, and add the limits."""
        return self._limited(schema, self._marked(schema, super().time_schema(schema)))

    def timedelta_schema(self, schema: Any) -> JsonSchema:
        """Mark a strict field, and add the limits."""
        return self._limited(schema, self._marked(schema, super().timedelta_schema(schema)))

    def datetime_schema(self, schema: Any) -> JsonSchema:
        """Mark a strict field, and one that requires or forbids a time zone, and add the limits."""
        zone = schema.get("tz_constraint")
        made = self._limited(schema, self._marked(schema, super().datetime_schema(schema)))
        return {**made, ZONE: zone} if zone in ("aware", "naive") else made

    def uuid_schema(self, schema: Any) -> JsonSchema:
        """Add the version."""
        return self._limited(schema, super().uuid_schema(schema))

    def url_schema(self, schema: Any) -> JsonSchema:
        """Add what pydantic asks of a URL."""
        return self._limited(schema, super().url_schema(schema))

    def multi_host_url_schema(self, schema: Any) -> JsonSchema:
        """Add what pydantic asks of a URL."""
        return self._limited(schema, super().multi_host_url_schema(schema))

    def complex_schema(self, schema: Any) -> JsonSchema:
        """Say that only some texts are complex numbers."""
        return self._limited(schema, super().complex_schema(schema))

    def json_schema(self, schema: Any) -> JsonSchema:
        """Say that only some texts are JSON."""
        return self._limited(schema, super().json_schema(schema))

    def str_schema(self, schema: Any) -> JsonSchema:
        """Say what pydantic does with a text before it looks at its length."""
        made = super().str_schema(schema)
        strips = schema.get("strip_whitespace", self._model_config.get("str_strip_whitespace"))
        converts = schema.get("coerce_numbers_to_str", self._model_config.get("coerce_numbers_to_str"))
        steps = [name for name, is_on in (("coerce_numbers_to_str", converts), ("strip_whitespace", strips)) if is_on]
        return {**made, TEXT: steps} if steps else made

    def dict_schema(self, schema: Any) -> JsonSchema:
        """Say what the keys must be, which are text in JSON."""
        made = super().dict_schema(schema)
        keys = schema.get("keys_schema", {})
        return made if keys.get("type") not in _KEYS else {**made, "propertyNames": {LIMITS: _limits(keys)}}

    def decimal_schema(self, schema: Any) -> JsonSchema:
        """Add the limits for numbers and texts; JSON Schema has them only for numbers."""
        limits = _limits(schema)
        made = super().decimal_schema(schema)
        branches = made.get("anyOf", [made])
        return {
            **{key: value for key, value in made.items() if key != "anyOf"},
            "anyOf": [{"type": each.get("type", "number"), DECIMAL: limits} for each in branches],
        }

    def _marked(self, schema: Any, made: JsonSchema) -> JsonSchema:
        return {**made, STRICT: True} if schema.get("strict", self._model_config.get("strict")) else made

    def _limited(self, schema: Any, made: JsonSchema) -> JsonSchema:
        limits = _limits(schema)
        return {**made, LIMITS: limits} if len(limits) > 1 or limits["type"] in _ONLY_LIMITS else made

    def _within(self, schema: Any, write: Any) -> JsonSchema:
        config: Mapping[str, Any] = schema.get("config") or {}
        before = self._model_config
        self._model_config = {**config, "strict": schema.get("strict", config.get("strict"))}
        try:
            made: JsonSchema = write(schema)
        finally:
            self._model_config = before
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


def _limits(schema: Any) -> dict[str, Any]:
    from pydantic_core import to_jsonable_python

    found = {key: schema[key] for key in (*_TEXT_LIMITS, *_DECIMAL_LIMITS) if schema.get(key) is not None}
    limits: dict[str, Any] = to_jsonable_python({"type": schema["type"], **found})
    return limits
