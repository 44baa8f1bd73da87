"""Map the choices of a field to the texts that represent them in a form."""

import json
from collections.abc import Mapping

from pauseflow_nb.forms.fields import Field
from pauseflow_nb.forms.texts import Unreadable
from pauseflow_nb.json_values import JSON


def text_of_choice(value: JSON) -> str:
    """Write a choice as the text that its option sends: as JSON, so that `"1"` differs from 1."""
    return json.dumps(value, ensure_ascii=False)


def choices_by_text(field: Field) -> dict[str, JSON]:
    """Index the choices by their texts in the form, because there may be many."""
    known: dict[str, JSON] = {}
    for number in reversed(range(len(field.choices))):
        value = field.choices[number]
        label = field.choice_labels[number] if field.choice_labels else ""
        names = [text_of_choice(value), *([value] if isinstance(value, str) else []), *([label] if label else [])]
        known.update(dict.fromkeys(names, value))
    # The text that an option sends has priority over the label of another option.
    known.update({text_of_choice(value): value for value in field.choices})
    return known


def find_option(field: Field, text: str) -> str | None:
    """Return the option that a text means, or None."""
    known = choices_by_text(field)
    return text_of_choice(known[text]) if text in known else None


def find_choice(choices: Mapping[str, JSON], text: str) -> JSON:
    """Return the value that a text means.

    Raises:
        Unreadable: If it means none of them.
    """
    for written in (text, text.strip()):
        if written in choices:
            return choices[written]
    values = list({text_of_choice(value): value for value in choices.values()})
    raise Unreadable(f"must be one of {', '.join(values)}" if len(values) > 1 else f"must be {values[0]}")
