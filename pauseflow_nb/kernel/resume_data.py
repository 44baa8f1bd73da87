"""What steps were answered, as instances of their models; kept with the variables.

The class of a model lives in the notebook's namespace. So the reference to it is saved together with
the namespace, as one more variable, and in the next kernel it is the very class that the notebook's
cells see, not a copy. The same holds for the instances.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pauseflow_nb.json_values import JSON
from pauseflow_nb.kernel.answer_types import Form, form_of
from pauseflow_nb.protocol import Briefing, Loss, Unsaved

__all__ = ["Answers"]

# Bound only while a snapshot is written or read.
_ASKED = "_pauseflow_schema_of_"
_GIVEN = "_pauseflow_answer_of_"


class _Named:
    """Stands for whatever a name is bound to: what a `%%setup` cell makes again is another class each time."""

    def __init__(self, name: str) -> None:
        self.name = name


class Answers(dict[str, Any]):
    """Step → instance. A step that was asked without a schema is not in it."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        super().__init__()
        self._namespace = namespace
        self._asked: dict[str, Any] = {}

    def ask(self, step: str, form: Form | None, remade: Collection[str]) -> None:
        """Note what the answer of a step that is about to wait must be.

        Args:
            step: The step.
            form: Of its `schema=`.
            remade: Names that the next kernel's `%%setup` cells bind.
        """
        self._asked.pop(step, None)
        if form is not None:
            name = next((name for name in remade if self._namespace.get(name) is form.kind), None)
            self._asked[step] = form.kind if name is None else _Named(name)

    def receive(self, step: str, envelope: Mapping[str, JSON] | None) -> None:
        """Build what a step was answered; an answer by the clock without data is none.

        Raises:
            InvalidAnswer: If the model's own validators refuse it.
        """
        self.pop(step, None)
        asked = self._asked.get(step)
        if asked is None or envelope is None or (envelope.get("by") == "clock" and envelope.get("body") is None):
            return
        kind = self._namespace[asked.name] if isinstance(asked, _Named) else asked
        form = form_of(kind)
        self[step] = form.build(form.answer_in(envelope))

    @contextmanager
    def among_variables(self) -> Iterator[None]:
        """Have them in the namespace, and so in a snapshot, for the time of a block."""
        mine = {f"{_ASKED}{step}": asked for step, asked in self._asked.items()}
        mine |= {f"{_GIVEN}{step}": given for step, given in self.items()}
        self._namespace.update(mine)
        try:
            yield
        finally:
            for name in mine:
                self._namespace.pop(name, None)

    def take_over(self) -> None:
        """Take what a snapshot brought out of the namespace."""
        for name in [name for name in self._namespace if isinstance(name, str)]:
            if name.startswith(_ASKED):
                self._asked[name.removeprefix(_ASKED)] = self._namespace.pop(name)
            elif name.startswith(_GIVEN):
                self[name.removeprefix(_GIVEN)] = self._namespace.pop(name)

    def told(self, unsaved: Unsaved) -> Unsaved:
        """Name what could not be saved as users know it."""
        for prefix, pattern in ((_ASKED, "the schema of step {!r}"), (_GIVEN, "steps.{}.data")):
            if unsaved.name.startswith(prefix):
                return replace(unsaved, name=pattern.format(unsaved.name.removeprefix(prefix)))
        return unsaved

    def as_named(self, loss: Loss, briefing: Briefing) -> Loss:
        """Name what did not come back as users know it, and who needs it: what is kept here has no name in cells."""
        if loss.name.startswith(_ASKED):
            step = loss.name.removeprefix(_ASKED)
            # Only the answer that came just now is still to be checked.
            is_awaited = briefing.wake is not None and briefing.wake.step == step
            needed_by = [briefing.first_cell] if is_awaited else []
            return replace(loss, name=f"the schema of step {step!r}", needed_by=needed_by)
        if loss.name.startswith(_GIVEN):
            readers = [int(index) for index, source in briefing.coming.items() if "steps" in source]
            return replace(loss, name=f"steps.{loss.name.removeprefix(_GIVEN)}.data", needed_by=readers)
        return loss

    def lost_schema(self, unsaved: list[Unsaved]) -> Unsaved | None:
        """Find a schema among what could not be saved."""
        return next((one for one in unsaved if one.name.startswith(_ASKED)), None)
