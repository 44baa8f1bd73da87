"""Answer the questions of a running cell: for the answer to a pause, to send a message, and others."""

import json

from pauseflow_nb.errors import InvalidValue, MissingSecret
from pauseflow_nb.protocol import MessageRequest, PauseQuestion
from pauseflow_nb.runner import cards, cell_statuses
from pauseflow_nb.runner.client import KernelClient
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.kernel_messages import read_question
from pauseflow_nb.runner.observer import Observer
from pauseflow_nb.runner.recorder import Recorder

#: While `flow.pause` waits, the observer is called for an answer at this interval.
ASK_AGAIN_SECONDS = 0.15


class Questions:
    """Answers the questions of the cells of one segment."""

    def __init__(self, document: Document, recorder: Recorder, observer: Observer, *, segment: int) -> None:
        self._document, self._recorder, self._observer, self._segment = document, recorder, observer, segment
        #: The pause whose card is in the notebook.
        self._pause: PauseQuestion | None = None

    def answer(self, client: KernelClient, text: str, cell: int | None) -> None:
        """Answer a question of the kernel if there is an answer yet; call it again until `client` has none.

        Args:
            client: The connection to the kernel.
            text: The question.
            cell: Index of the running cell; None: code of ours or an earlier setup cell runs.
        """
        kind, data = read_question(text)
        # Some questions must wait until the recorder has all earlier outputs of the cell.
        is_up_to_date = self._recorder.last_question == text
        if kind == "message":
            client.answer(json.dumps(self._observer.deliver(self._read_message(data))))
        elif kind == "secret":
            self._answer_secret(client, json.loads(data))
        elif kind == "respond":
            client.answer(json.dumps(self._observer.respond(json.loads(data))))
        elif cell is None:
            client.answer(None)
        elif kind == "errors" and is_up_to_date:
            self._answer_errors(client, cell, is_retried=json.loads(data)["is_retried"])
        elif kind == "pause" and is_up_to_date:
            self._answer_pause(client, PauseQuestion.from_dict(self._document.without_secrets(json.loads(data))), cell)
        elif kind not in {"errors", "pause"}:
            client.answer(None)

    def _read_message(self, data: str) -> MessageRequest:
        """Read a message with its secrets masked, except in addresses, which may be secrets."""
        fields = json.loads(data)
        return MessageRequest.from_dict(
            {**self._document.without_secrets(fields), "to": fields["to"], "link": fields["link"]}
        )

    def _answer_secret(self, client: KernelClient, name: str) -> None:
        try:
            value = self._observer.find_secret(name)
        except (MissingSecret, InvalidValue) as problem:
            client.answer(json.dumps({"value": None, "problem": problem.problem}))
            return
        self._document.hide_secret(value)
        client.answer(json.dumps({"value": value}))

    def _answer_errors(self, client: KernelClient, cell: int, *, is_retried: bool) -> None:
        self._recorder.join()
        has_failed = self._document.find_shown_error(cell) is not None
        if is_retried:
            self._recorder.convert_errors_to_text(cell)
        client.answer(json.dumps(has_failed))

    def _answer_pause(self, client: KernelClient, question: PauseQuestion, cell: int) -> None:
        if self._pause != question:
            self._pause = question
            self._show_card(question, cell)
        answer = self._observer.find_answer(question, cell)
        if answer is None:
            return
        self._pause = None
        cards.write_decision(self._document, question.step, cards.describe_pause_decision(answer))
        cell_statuses.note_running_again(self._document, cell)
        client.answer(answer.to_json())

    def _show_card(self, question: PauseQuestion, cell: int) -> None:
        self._recorder.join()
        if question.refusals:
            cards.refuse(self._document, question.step, question.errors)
        else:
            place = cards.Place(question.step, question.run, self._segment, question.ordinal)
            cards.write_card(self._document, cell, place, question.request)
