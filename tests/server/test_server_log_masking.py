import io
import logging
from collections.abc import Iterator

import pytest

from pauseflow_nb.links import Claim, Signer
from pauseflow_nb.server.log_masking import mask_links_in

TOKEN = Signer(["key"]).token(Claim("e1", 0, "approve", 0, "resume"))


@pytest.fixture
def text() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(text: io.StringIO) -> Iterator[logging.Logger]:
    logger, handler = logging.getLogger("tests.a_server"), logging.StreamHandler(text)
    logger.addHandler(handler)
    mask_links_in(logger)
    yield logger
    logger.removeHandler(handler)


def test_a_token_in_a_message_is_masked(logger: logging.Logger, text: io.StringIO) -> None:
    logger.warning("404 GET %s (%d ms)", f"/resume/{TOKEN}?again=1", 3)

    assert text.getvalue() == "404 GET /resume/***?again=1 (3 ms)\n"


def test_a_token_in_the_message_of_an_exception_is_masked_and_its_traceback_stays(
    logger: logging.Logger, text: io.StringIO
) -> None:
    try:
        raise ValueError(f"invalid unicode in url: /resume/{TOKEN}\xff")
    except ValueError:
        logger.exception("could not answer")

    assert TOKEN[:30] not in text.getvalue()
    assert TOKEN[-20:] not in text.getvalue()
    assert "ValueError: invalid unicode in url: /resume/***\xff" in text.getvalue()
    assert "in test_a_token_in_the_message" in text.getvalue()


def test_a_record_that_holds_no_token_stays_as_it_is(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    logger.warning("%s is ready", "the server")

    assert (caplog.records[0].msg, caplog.records[0].args) == ("%s is ready", ("the server",))
