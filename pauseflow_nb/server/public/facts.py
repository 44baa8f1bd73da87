"""Collect the facts that the approval page shows."""

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import NotebookGone, UnknownLink
from pauseflow_nb.links import Claim
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.server.public.outputs import Exhibit, collect_evidence
from pauseflow_nb.server.public.wording import Facts


async def collect_facts(lazy: LazyQueue, claim: Claim, by: str) -> Facts:
    """Collect the facts that the page shows to a person.

    Raises:
        UnknownLink: If there is no such execution.
    """
    facts = await lazy.call(Queue.claim_page, claim, by)
    if facts is None:
        raise UnknownLink
    evidence = await lazy.call(_collect_evidence, facts, claim.ordinal)
    return {**facts, "evidence": evidence, "sign_in_url": None, "signed_in_as": None, "notebook_url": None}


def _collect_evidence(queue: Queue, facts: Facts, ordinal: int) -> list[Exhibit]:
    if facts["cell"] is None:
        return []
    try:
        return collect_evidence(queue.document(facts["execution"]), facts["cell"], ordinal)
    except NotebookGone:
        # The question can still be answered.
        return []
