"""Say how a notebook is started, and with which command it gets the trigger that its workflow had."""

import re
from dataclasses import dataclass

from pauseflow_nb.pipedream.markdown_text import code_span
from pauseflow_nb.pipedream.workflow import Trigger

# People copy the commands into a shell: nothing in them may mean something there.
_CRON = re.compile(r"[0-9A-Za-z*/,?#-]+(?: +[0-9A-Za-z*/,?#-]+){4,6}", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9_+/-]{1,60}", re.ASCII)


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
    schedule = _describe_schedule(trigger, add) if trigger.kind == "schedule" else None
    return schedule or TriggerLine(None, _explain(trigger, add))


def _describe_schedule(trigger: Trigger, add: str) -> TriggerLine | None:
    """Describe a schedule; None if the source does not hold its times, or they are none."""
    if trigger.cron and _CRON.fullmatch(trigger.cron):
        zone = f" --tz {trigger.zone}" if trigger.zone and _ZONE.fullmatch(trigger.zone) else ""
        return TriggerLine(f'{add} --cron "{trigger.cron}"{zone}', f"Started by the schedule `{trigger.cron}`.")
    if trigger.interval_seconds and not trigger.cron:
        seconds = trigger.interval_seconds
        return TriggerLine(f"{add} --every {seconds}s", f"Started every {seconds} seconds.")
    return None


def _explain(trigger: Trigger, add: str) -> str:
    name = f" {code_span(trigger.title or trigger.identifier)}" if trigger.title or trigger.identifier else ""
    times = f"times {code_span(trigger.cron)} cannot be read" if trigger.cron else "times are not in the source"
    sentences = {
        "schedule": f'Started by the schedule{name}, whose {times}. Add them: `{add} --cron "0 8 * * *" --tz UTC`',
        "email": f"Started by mail{name}. Let your mail service forward the mail to the URL of `{add} --http`",
        "source": (
            f"Started by the event source{name}, which checked a service for events. Let the service call the URL "
            f"of `{add} --http`, or check for events in a first step, with `{add} --every 15m`"
        ),
    }
    return sentences.get(trigger.kind, f"Started by a trigger{name} of an unknown kind")
