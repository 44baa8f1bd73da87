"""Say how a notebook is started, and with which command it gets the trigger that its workflow had."""

import shlex
from dataclasses import dataclass

from pauseflow_nb.pipedream.workflow import Trigger

__all__ = ["TriggerLine", "describe_trigger"]


@dataclass
class TriggerLine:
    """What starts the notebook."""

    #: None: a person must find one.
    command: str | None
    sentence: str


def describe_trigger(trigger: Trigger, path: str, *, responds: bool) -> TriggerLine:
    """Describe a trigger.

    Args:
        trigger: What the source says of it.
        path: Of the notebook, in the project.
        responds: Whether a step of the workflow responds to the request.
    """
    add = f"pauseflow trigger add {path}"
    if trigger.kind == "http":
        waits = responds or trigger.has_custom_response
        sentence = "Started by an HTTP request" + (", which waits for the response of a step." if waits else ".")
        return TriggerLine(f"{add} --http{' --wait' if waits else ''}", sentence)
    if trigger.kind == "schedule" and (trigger.cron or trigger.interval_seconds):
        return _describe_schedule(trigger, add)
    return TriggerLine(None, _explain(trigger, add))


def _describe_schedule(trigger: Trigger, add: str) -> TriggerLine:
    if trigger.cron:
        cron = trigger.cron.replace('"', "")
        zone = f" --tz {shlex.quote(trigger.zone)}" if trigger.zone else ""
        return TriggerLine(f'{add} --cron "{cron}"{zone}', f"Started by the schedule `{cron}`.")
    span = f"{trigger.interval_seconds}s"
    return TriggerLine(f"{add} --every {span}", f"Started every {trigger.interval_seconds} seconds.")


def _explain(trigger: Trigger, add: str) -> str:
    name = f" `{trigger.title or trigger.identifier}`" if trigger.title or trigger.identifier else ""
    sentences = {
        "schedule": (
            f"Started by the schedule{name}, whose times the source does not hold. Add them: "
            f'`{add} --cron "0 8 * * *" --tz UTC`'
        ),
        "email": f"Started by mail{name}. Let your mail service send it to the URL of `{add} --http`",
        "source": (
            f"Started by the event source{name}, which looked for events at a service. Let the service call the URL "
            f"of `{add} --http`, or look for events yourself in a first step, with `{add} --every 15m`"
        ),
    }
    return sentences.get(trigger.kind, f"Started by a trigger{name} of a kind that is not known")
