"""Keys are rotated and withdrawn, links revoked: in every process at once, and no execution is lost."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from engine.stage import Stage, at_once, fail, suspend

from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.retry_fork import retry
from pauseflow_nb.errors import LinkWithdrawn, UnknownExecution, UnknownKey, UnknownLink
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import keys
from pauseflow_nb.store.database import reading, transaction
from pauseflow_nb.store.tables import callbacks
from pauseflow_nb.store.tables import keys as table


@pytest.fixture
def other(queue: Queue, settings: Settings) -> Iterator[Queue]:
    """The same store as another process has it, which was open before anything happened."""
    other = Queue.open(settings)
    yield other
    other.close()


def token_of(queue: Queue, execution: str, action: str = "resume") -> str:
    name = {"resume": "resume_url", "cancel": "cancel_url", "approve": "approval_url"}[action]
    (waits,) = queue.view(execution)["suspended"]
    return str(waits[name].rpartition("/")[2])


def use(queue: Queue, token: str, action: str = "resume") -> int:
    """Answer over a link, as a server does; returns the status."""
    claim = queue.read_link(token, action)
    return queue.settle(claim, Callback(action, {"method": "POST", "body": 1}, "link")).status  # type: ignore[arg-type]


def test_a_link_outlives_a_rotation_in_every_process(stage: Stage, other: Queue) -> None:
    execution = stage.suspended()
    before = token_of(stage.queue, execution)

    assert stage.queue.rotate_keys(by="user:ann") == []

    after = token_of(other, execution)
    assert after != before
    assert other.read_link(after, "resume") == other.read_link(before, "resume")
    assert use(other, before) == 200
    assert stage.play(execution) == "ended"
    assert stage.queue.state(execution) == "completed"


@pytest.mark.parametrize("rotations", [1, 3])
def test_a_withdrawal_refuses_all_links_that_were_sent_out(stage: Stage, other: Queue, rotations: int) -> None:
    execution = stage.suspended()
    old = [token_of(stage.queue, execution)]
    for _ in range(rotations - 1):
        stage.queue.rotate_keys(by="user:ann")
        old.append(token_of(stage.queue, execution))

    withdrawn = stage.queue.rotate_keys(by="user:ann", withdraw=True)

    assert withdrawn == list(range(1, rotations + 1))
    for token in old:
        with pytest.raises(LinkWithdrawn):
            other.read_link(token, "resume")
    assert stage.whats(execution)[-1] == "links withdrawn"
    assert use(other, token_of(other, execution)) == 200


def test_what_waits_goes_on_after_a_withdrawal(stage: Stage) -> None:
    """Its snapshot was signed with the key that is not valid any more."""
    execution = stage.suspended()
    stage.queue.rotate_keys(by="user:ann", withdraw=True)

    assert use(stage.queue, token_of(stage.queue, execution)) == 200
    assert stage.play(execution) == "ended"
    assert stage.queue.state(execution) == "completed"


def test_what_has_failed_can_be_retried_after_a_withdrawal(stage: Stage) -> None:
    stage.script.steps["ask"] = fail()
    execution = stage.start("%%step first", "%%step ask", "%%step last")
    assert stage.play(execution) == "ended"
    stage.queue.rotate_keys(by="user:ann", withdraw=True)

    stage.script.steps["ask"] = suspend()
    retry(stage.queue, execution, by="user:ann", from_step="ask", attached_to="test:1:me")

    assert stage.play(execution) == "ended"
    assert stage.queue.state(execution) == "suspended"
    assert [step for step, _, _ in stage.script.ran] == ["first", "ask", "ask"]


def test_a_snapshot_that_a_withdrawn_key_signs_is_not_loaded(stage: Stage) -> None:
    execution = stage.suspended()
    stolen = stage.queue.signer
    stage.queue.rotate_keys(by="user:ann", withdraw=True)
    use(stage.queue, token_of(stage.queue, execution))
    with transaction(stage.queue.engine) as connection:
        forged = stolen.sign_manifest(execution, "forged")
        connection.execute(sa.text("UPDATE segments SET digest = 'forged', signature = :forged"), {"forged": forged})

    stage.play(execution)

    view = stage.queue.view(execution)
    assert (view["state"], view["reason"]["kind"]) == ("failed", "environment")
    assert "did not sign" in view["error"]["message"]


def test_a_forged_signature_is_not_signed_anew(stage: Stage) -> None:
    execution = stage.suspended()
    with transaction(stage.queue.engine) as connection:
        connection.execute(sa.text("UPDATE segments SET signature = 'forged'"))

    stage.queue.rotate_keys(by="user:ann", withdraw=True)
    use(stage.queue, token_of(stage.queue, execution))
    stage.play(execution)

    assert stage.queue.state(execution) == "failed"


def test_links_that_were_revoked_are_refused_and_new_ones_act(stage: Stage, other: Queue) -> None:
    execution, untouched = stage.suspended(), stage.suspended()
    old = {action: token_of(stage.queue, execution, action) for action in ("resume", "cancel", "approve")}
    before = stage.queue.view(execution)["suspended"][0]

    stage.queue.revoke(execution, by="user:ann")

    for action, token in old.items():
        with pytest.raises(LinkWithdrawn):
            other.read_link(token, action)
    after = stage.queue.view(execution)["suspended"][0]
    urls = {"resume_url", "cancel_url", "approval_url"}
    assert {name for name in before if before[name] != after[name]} == urls
    (line,) = [line for line in stage.queue.audit(execution) if line["what"] == "links revoked"]
    assert line["by"] == "user:ann"
    assert use(other, token_of(other, execution)) == 200
    assert use(other, token_of(other, untouched)) == 200


def test_links_can_be_revoked_again(stage: Stage) -> None:
    execution = stage.suspended()
    tokens = []
    for _ in range(3):
        tokens.append(token_of(stage.queue, execution))
        stage.queue.revoke(execution, by="user:ann")

    for token in tokens:
        with pytest.raises(LinkWithdrawn):
            stage.queue.read_link(token, "resume")
    assert use(stage.queue, token_of(stage.queue, execution)) == 200


def test_a_link_that_was_revoked_after_it_was_verified_does_not_act(stage: Stage) -> None:
    execution = stage.suspended()
    claims = [stage.queue.read_link(token_of(stage.queue, execution), "resume") for _ in range(2)]

    stage.queue.revoke(execution, by="user:ann")
    stage.queue.rotate_keys(by="user:ann", withdraw=True)

    for claim in claims:
        with pytest.raises(LinkWithdrawn):
            stage.queue.settle(claim, Callback("resume", None, "link"))
    assert stage.queue.state(execution) == "suspended"


@pytest.mark.parametrize("withdraw", [True, False], ids=["withdrawal", "revocation"])
def test_an_early_answer_over_a_link_that_is_then_withdrawn_does_not_count(stage: Stage, withdraw: bool) -> None:
    early: list[int] = []

    def ask(briefing: Any) -> Any:
        token = briefing.steps["ask"].links[0]["resume_url"].rpartition("/")[2]
        early.append(use(stage.queue, token))
        if withdraw:
            stage.queue.rotate_keys(by="user:ann", withdraw=True)
        else:
            stage.queue.revoke(briefing.execution, by="user:ann")
        return suspend()(briefing)

    stage.script.steps["ask"] = ask
    execution = stage.start("%%step ask", "%%step last")
    stage.play(execution)

    assert early == [202]
    assert stage.queue.state(execution) == "suspended"
    with reading(stage.queue.engine) as connection:
        assert connection.execute(sa.select(callbacks.c.verdict)).scalars().all() == ["void"]
    assert use(stage.queue, token_of(stage.queue, execution)) == 200


def test_somebody_who_is_signed_in_may_answer_whatever_was_revoked(stage: Stage) -> None:
    execution = stage.suspended()
    stage.queue.revoke(execution, by="user:ann")

    assert stage.queue.resume(execution, by="user:ann").status == 200


def test_a_revocation_of_nothing_is_refused(stage: Stage) -> None:
    with pytest.raises(UnknownExecution):
        stage.queue.revoke("nothing", by="user:ann")


def test_a_forged_token_is_unknown_whatever_was_withdrawn(stage: Stage) -> None:
    execution = stage.suspended()
    token = token_of(stage.queue, execution)
    stage.queue.rotate_keys(by="user:ann", withdraw=True)

    for forged in (token[:-1], f"x{token}", token.replace(".", ".A"), f"{token.partition('.')[0]}."):
        with pytest.raises(UnknownLink):
            stage.queue.read_link(forged, "resume")


def test_a_withdrawal_signs_the_snapshots_of_the_moment_anew(stage: Stage, sign_of: Callable[[str], str]) -> None:
    execution = stage.suspended()
    stage.queue.rotate_keys(by="user:ann", withdraw=True)

    assert stage.queue.signer.is_manifest_signed(execution, "digest", sign_of(execution))


@pytest.fixture
def sign_of(queue: Queue) -> Callable[[str], str]:
    def read(execution: str) -> str:
        with reading(queue.engine) as connection:
            statement = sa.text("SELECT signature FROM segments WHERE execution = :id")
            return str(connection.execute(statement, {"id": execution}).scalar_one())

    return read


def test_many_who_rotate_and_answer_at_once_lose_nothing(stage: Stage, other: Queue) -> None:
    """Whatever comes first: no execution is left with a snapshot that nobody accepts."""
    waiting = [stage.suspended() for _ in range(4)]
    tokens = {execution: token_of(stage.queue, execution) for execution in waiting}

    results = at_once(
        lambda: stage.queue.rotate_keys(by="user:ann", withdraw=True),
        lambda: other.rotate_keys(by="user:bob", withdraw=True),
        *(lambda execution=execution: use(other, tokens[execution]) for execution in waiting),
    )

    assert all(result == 200 or isinstance(result, (list, LinkWithdrawn)) for result in results), results
    for execution in waiting:
        if stage.queue.state(execution) == "suspended":
            assert use(other, token_of(other, execution)) == 200
        assert stage.play(execution) == "ended"
        assert stage.queue.state(execution) == "completed"


def test_the_list_says_which_key_signs_and_holds_no_secret(queue: Queue) -> None:
    queue.rotate_keys(by="user:ann")
    queue.rotate_keys(by="user:bob", withdraw=True)
    queue.rotate_keys(by="user:cay")

    found = queue.list_keys()

    assert [key["state"] for key in found] == ["withdrawn", "withdrawn", "verifies", "signs"]
    assert [key["created_by"] for key in found] == [None, "user:ann", "user:bob", "user:cay"]
    assert [key["withdrawn_by"] for key in found] == ["user:bob", "user:bob", None, None]
    assert len({key["fingerprint"] for key in found}) == 4
    exported = str(found) + "".join(queue.public_key(number) for number in range(1, 5))
    with reading(queue.engine) as connection:
        for row in connection.execute(sa.select(table)):
            assert row.secret not in exported
            assert row.private not in exported


def test_a_public_key_is_one_that_stock_libraries_read(queue: Queue) -> None:
    key = load_pem_public_key(queue.public_key(1).encode())

    assert isinstance(key, Ed25519PublicKey)
    with pytest.raises(UnknownKey):
        queue.public_key(2)


def test_a_store_of_an_earlier_version_gets_a_public_key_and_keeps_its_links(
    settings_without_tables: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pauseflow_nb.store import migrate as module
    from pauseflow_nb.store.database import open_engine

    engine = open_engine(settings_without_tables.db)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "HEAD", "0004")
        patch.setattr(module, "_create", module._upgrade)
        module.migrate(engine)
    with transaction(engine) as connection:
        statement = "INSERT INTO keys (id, secret, created_at) VALUES (1, 'a key of some length', 0)"
        connection.execute(sa.text(statement))
    engine.dispose()

    queue = Queue.open(settings_without_tables)
    token = "WyJrM3Y5IiwyLCJhcHByb3ZlIiwwLCJyZXN1bWUiXQ.mc7ny20S7Rk8Z-FRQ6xEmwlzCVr7pXxlxLeMTgEh7Os"
    with reading(queue.engine) as connection:
        claim = keys.read_signer(connection).read(token, "resume")

    assert (claim.execution, claim.step, claim.key) == ("k3v9", "approve", 1)
    assert "BEGIN PUBLIC KEY" in queue.public_key(1)
    assert [key["state"] for key in queue.list_keys()] == ["signs"]
    queue.close()
