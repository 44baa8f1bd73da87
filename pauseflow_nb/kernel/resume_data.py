"""Keep the answers to steps as instances of their models, and save them with the variables.

The class of a model lives in the notebook's namespace. So the reference to it is saved together with
the namespace, as one more variable, and in the next kernel it is the very class that the notebook's
cells see, not a copy. The same holds for the instances.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pauseflow_nb.json_values import JSON
from pauseflow_nb.kernel.answer_types import Form, make_form
from pauseflow_nb.protocol import Briefing, Loss, Unsaved

# The name is bound only while a snapshot is written or read.
_SCHEMA = "_pauseflow_schema_of_"
_ANSWER = "_pauseflow_answer_of_"


class _Named:
    """Refer to a class by name, because a `%%setup` cell makes a new one in each kernel. Pickles name this class."""

    def __init__(self, name: str) -> None:
        self.name = name


class Answers(dict[str, Any]):
    """Step → answer as an instance; without steps whose suspension has no schema."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        super().__init__()
        self._namespace = namespace
        self._expected: dict[str, Any] = {}

    def expect(self, step: str, form: Form | None, remade: Collection[str]) -> None:
        """Note the form of the answer that a step expects before it waits.

        Args:
            step: The step.
            form: The form of its `schema=`.
            remade: Names that the next kernel's `%%setup` cells bind.
        """
        self._expected.pop(step, None)
        if form is not None:
            name = next((name for name in remade if self._namespace.get(name) is form.kind), None)
            self._expected[step] = form.kind if name is None else _Named(name)

    def receive(self, step: str, envelope: Mapping[str, JSON] | None) -> None:
        """Build the instance of the answer to a step; a timeout without a default is no answer.

        Raises:
            InvalidAnswer: If the model's own validators refuse it.
        """
        self.pop(step, None)
        expected = self._expected.get(step)
        if expected is None or envelope is None or (envelope.get("by") == "clock" and envelope.get("body") is None):
            return
        kind = self._namespace[expected.name] if isinstance(expected, _Named) else expected
        form = make_form(kind)
        self[step] = form.build(form.extract_answer(envelope))

    @contextmanager
    def among_variables(self) -> Iterator[None]:
        """Add them to the namespace, and so to a snapshot, during a `with` block."""
        own = {f"{_SCHEMA}{step}": schema for step, schema in self._expected.items()}
        own |= {f"{_ANSWER}{step}": answer for step, answer in self.items()}
        self._namespace.update(own)
        try:
            yield
        finally:
            for name in own:
                self._namespace.pop(name, None)

    def take_from_variables(self) -> None:
        """Remove them from the namespace after a snapshot has restored them."""
        for name in [name for name in self._namespace if isinstance(name, str)]:
            if name.startswith(_SCHEMA):
                self._expected[name.removeprefix(_SCHEMA)] = self._namespace.pop(name)
            elif name.startswith(_ANSWER):
                self[name.removeprefix(_ANSWER)] = self._namespace.pop(name)

    def rename_unsaved(self, unsaved: Unsaved) -> Unsaved:
        """Rename an answer or schema that could not be saved to the name that users know."""
        for prefix, pattern in ((_SCHEMA, "the schema of step {!r}"), (_ANSWER, "steps.{}.data")):
            if unsaved.name.startswith(prefix):
                return replace(unsaved, name=pattern.format(unsaved.name.removeprefix(prefix)))
        return unsaved

    def rename_loss(self, loss: Loss, briefing: Briefing) -> Loss:
        """Rename a lost answer or schema to the name that users know, and find the cells that need it."""
        if loss.name.startswith(_SCHEMA):
            step = loss.name.removeprefix(_SCHEMA)
            # Only the answer that has just arrived still needs its schema.
            is_awaited = briefing.wake is not None and briefing.wake.step == step
            needed_by = [briefing.first_cell] if is_awaited else []
            return replace(loss, name=f"the schema of step {step!r}", needed_by=needed_by)
        if loss.name.startswith(_ANSWER):
            readers = [int(index) for index, source in briefing.coming.items() if "steps" in source]
            return replace(loss, name=f"steps.{loss.name.removeprefix(_ANSWER)}.data", needed_by=readers)
        return loss

    def find_lost_schema(self, unsaved: list[Unsaved]) -> Unsaved | None:
        """Find a schema that could not be saved, and rename it to the name that users know."""
        return next((self.rename_unsaved(one) for one in unsaved if one.name.startswith(_SCHEMA)), None)
