import pytest

from pauseflow_nb.errors import NotDelivered
from pauseflow_nb.notifications import deliver, is_one_address
from pauseflow_nb.protocol import MessageRequest
from pauseflow_nb.settings import Settings


@pytest.mark.parametrize(
    "text",
    [
        "a@b",
        "ada+work@example.org",
        "Ada <ada@example.org>",
        '"Lovelace, Ada" <ada@example.org>',
        " a@b ",
        "ä@exämple.org",
    ],
)
def test_one_address_is_one_receiver(text: str) -> None:
    assert is_one_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "@b",
        "a@",
        "a@b@c",
        "a@b, evil@x",
        "a@b,evil@x",
        "a@b; evil@x",
        "a@b evil@x",
        "a@b <evil@x>",
        "<a@b>,",
        "<a@b> <evil@x>",
        "Ada <a@b>, Eve <evil@x>",
        "Ada <a@b> x",
        "friends: a@b, evil@x;",
        "(a) a@b, evil@x",
        "a@b\nBcc: evil@x",
        "a@b\r\n",
        "a@b\0",
        "a@b\u2028Bcc: evil@x",
        "Ada\x85 <a@b>",
        "a@b\u202e",
        "a@\u200bb",
        "=?utf-8?q?evil=40x=2C?= <a@b>",
        "=?utf-8?q?a=0ABcc:_evil=40x?= <a@b>",
    ],
)
def test_a_text_that_is_not_one_address_gets_no_mail(text: str, tmp_path: object) -> None:
    settings = Settings.load(flags={"data_dir": tmp_path, "smtp_host": "127.0.0.1", "smtp_port": 9}, environment={})

    assert not is_one_address(text)
    with pytest.raises(NotDelivered, match="not one mail address"):
        deliver(settings, MessageRequest("email", ["good@example.org", text], "s", "t"))
