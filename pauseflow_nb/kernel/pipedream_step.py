"""Provide the `pd` argument of `def handler(pd)` in a step cell, as in a Pipedream Python step."""

from typing import Any

from pauseflow_nb.kernel.attribute_dict import Record, as_records
from pauseflow_nb.kernel.current import require_step
from pauseflow_nb.kernel.flow import Flow, flow
from pauseflow_nb.kernel.sending import Sender
from pauseflow_nb.kernel.step_props import find_props
from pauseflow_nb.kernel.steps_view import Steps, steps


class StepArgument:
    """The `pd` of a handler: the same objects under Pipedream's names."""

    @property
    def flow(self) -> Flow:
        """The same as `flow` in a cell."""
        return flow

    @property
    def steps(self) -> Steps:
        """The same as `steps` in a cell."""
        return steps

    @property
    def context(self) -> Record:
        """The same as `flow.context`."""
        return flow.context

    @property
    def inputs(self) -> Record:
        """The same as `flow.inputs`, with the props of the step: its entry in the notebook's variable `props`."""
        session, run = require_step("pd.inputs")
        props = find_props(session.shell.user_ns, run.step)
        return as_records({**flow.inputs, **props}) if props else flow.inputs

    def export(self, name: str, value: Any) -> None:
        """The same as `flow.export`."""
        flow.export(name, value)

    def respond(self, response: Any) -> None:
        """The same as `flow.respond`."""
        flow.respond(response)

    @property
    def send(self) -> Sender:
        """The same as `flow.send`."""
        return flow.send
