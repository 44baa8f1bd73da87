"""A token that we did not sign for just this opens nothing."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer

from pauseflow_nb.errors import LinkWithdrawn, UnknownLink
from pauseflow_nb.links import ACTIONS, Claim, Signer

CLAIM = Claim("k3v9", 2, "approve", 0, "resume")
texts = st.text(st.characters(codec="utf-8"), max_size=12)
claims = st.builds(Claim, texts, st.integers(0), texts, st.integers(0), st.sampled_from(ACTIONS))


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer(["a key of some length", "a newer key of some length"])


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@given(claims)
def test_a_claim_comes_back_equal(signer: Signer, claim: Claim) -> None:
    assert signer.read(signer.token(claim), claim.action) == claim


@given(claims)
def test_a_token_is_good_in_a_path(signer: Signer, claim: Claim) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", signer.token(claim))


@pytest.mark.parametrize("alter", [lambda token: token[:-1] + chr(ord(token[-1]) + 1), lambda token: token + "!"])
def test_a_signature_written_in_another_way_is_unknown(alter: Callable[[str], str]) -> None:
    """Base64 ignores the last bits of 32 bytes, and letters that are none of its own."""
    tokens = [(signer, signer.token(CLAIM)) for signer in (Signer([f"key {n} of some length"]) for n in range(40))]
    signer, token = next((signer, token) for signer, token in tokens if token[-1] in "AIQYgow")

    with pytest.raises(UnknownLink):
        signer.read(alter(token), "resume")


@pytest.mark.parametrize("other", ["cancel", "approve", "", "Resume"])
def test_a_token_for_one_action_is_unknown_for_another(signer: Signer, other: str) -> None:
    with pytest.raises(UnknownLink):
        signer.read(signer.token(CLAIM), other)


@pytest.mark.parametrize(
    "altered",
    [
        replace(CLAIM, action="cancel"),
        replace(CLAIM, execution="other"),
        replace(CLAIM, segment=3),
        replace(CLAIM, step="pay"),
        replace(CLAIM, ordinal=1),
    ],
)
def test_altered_facts_under_the_old_signature_are_unknown(signer: Signer, altered: Claim) -> None:
    signature = signer.token(CLAIM).rpartition(".")[2]

    with pytest.raises(UnknownLink):
        signer.read(f"{encoded(astuple(altered))}.{signature}", altered.action)


@given(place=st.integers(0), other=st.sampled_from("AbZ09-_."))
def test_any_character_altered_makes_it_unknown(signer: Signer, place: int, other: str) -> None:
    token = signer.token(CLAIM)
    place %= len(token) - 1  # the last one holds unused bits, which some decoders ignore
    altered = token[:place] + other + token[place + 1 :]

    if altered != token:
        with pytest.raises(UnknownLink):
            signer.read(altered, "resume")


@given(st.text())
def test_any_text_is_unknown_and_nothing_else(signer: Signer, text: str) -> None:
    with pytest.raises(UnknownLink):
        signer.read(text, "resume")


@pytest.mark.parametrize("text", ["", ".", "é.ü", "caf\udce9", "a" * 100_000, "..", "\x00"])
def test_odd_text_is_unknown(signer: Signer, text: str) -> None:
    with pytest.raises(UnknownLink):
        signer.read(text, "resume")


def test_another_key_is_unknown() -> None:
    with pytest.raises(UnknownLink):
        Signer(["this key"]).read(Signer(["that key"]).token(CLAIM), "resume")


def test_a_rotated_key_still_opens_old_links_and_signs_no_new_ones() -> None:
    before, both, after = Signer(["old"]), Signer(["old", "new"]), Signer(["new"])

    assert both.read(before.token(CLAIM), "resume") == CLAIM
    assert after.read(both.token(CLAIM), "resume") == CLAIM
    with pytest.raises(UnknownLink):
        before.read(both.token(CLAIM), "resume")


def test_without_a_key_nothing_is_signed() -> None:
    with pytest.raises(ValueError, match="key"):
        Signer([])


def test_the_signature_is_sha256() -> None:
    signature = Signer(["key"]).token(CLAIM).rpartition(".")[2]

    assert len(base64.urlsafe_b64decode(signature + "==")) == 32


def test_a_correct_signature_on_something_else_is_unknown() -> None:
    """What another part of us signs with the same key is no link."""
    import hashlib

    options = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
    tokens = URLSafeSerializer("key", salt="pauseflow.link", signer_kwargs=options)
    signer = Signer(["key"])

    for payload in (
        ["k3v9"],
        "text",
        {"a": 1},
        None,
        5,
        ["k3v9", 2, "approve", 0, "resume", "more"],
        [1, "2", 3, "4", "resume"],
    ):
        with pytest.raises(UnknownLink):
            signer.read(tokens.dumps(payload), "resume")
    with pytest.raises(UnknownLink):
        signer.read(signer.sign_manifest("k3v9", "digest"), "resume")


def test_the_links_of_a_suspension(signer: Signer) -> None:
    links = signer.links("https://example.org/base/", "k3v9", 2, "approve", 1)

    assert list(links) == ["resume_url", "cancel_url", "send_back_url", "approval_url"]
    for (name, link), action in zip(links.items(), ACTIONS, strict=True):
        base, _, token = link.rpartition("/")
        assert base == f"https://example.org/base/pauseflow/{action}", name
        assert signer.read(token, action) == Claim("k3v9", 2, "approve", 1, action)


def test_links_are_of_the_first_suspension_unless_another_is_named(signer: Signer) -> None:
    links = signer.links("http://h", "k3v9", 2, "approve")

    assert signer.read(links["resume_url"].rpartition("/")[2], "resume") == replace(CLAIM, ordinal=0)


def test_what_a_token_says_cannot_be_changed_once_it_was_read(signer: Signer) -> None:
    claim = signer.read(signer.token(CLAIM), "resume")

    with pytest.raises(FrozenInstanceError):
        claim.execution = "another"  # type: ignore[misc]


def test_links_are_the_same_whenever_they_are_made(signer: Signer) -> None:
    """An attempt after a crash sends the same links again."""
    assert signer.links("http://h", "k3v9", 2, "approve") == signer.links("http://h", "k3v9", 2, "approve")


def test_a_manifest_is_signed_for_one_execution_and_digest() -> None:
    signer = Signer(["key"])
    signature = signer.sign_manifest("k3v9", "digest")

    assert signer.is_manifest_signed("k3v9", "digest", signature)
    assert not signer.is_manifest_signed("other", "digest", signature)
    assert not signer.is_manifest_signed("k3v9", "other", signature)
    assert not signer.is_manifest_signed("k3v9", "digest", "")
    assert not signer.is_manifest_signed("k3v9", "digest", "caf\udce9")
    assert not signer.is_manifest_signed("k3v9", "digest", signer.token(CLAIM))
    assert not Signer(["other key"]).is_manifest_signed("k3v9", "digest", signature)
    assert Signer(["key", "newer"]).is_manifest_signed("k3v9", "digest", signature)


OLD = {
    "plain": "WyJrM3Y5IiwyLCJhcHByb3ZlIiwwLCJyZXN1bWUiXQ.mc7ny20S7Rk8Z-FRQ6xEmwlzCVr7pXxlxLeMTgEh7Os",
    "compressed": ".eJyLVso2LrNU0jHSUUosKCjKL0uNpxWtpGOgo1SUWlyam6oUCwD1ai7F._Iyx31pYey6KmLfnhq2cAd3SXB04sn2apTn8gpU6cQs",
}


@pytest.mark.parametrize(("token", "step"), [(OLD["plain"], "approve"), (OLD["compressed"], "approve_" * 12)])
def test_tokens_of_earlier_versions_stay_valid(signer: Signer, token: str, step: str) -> None:
    assert signer.read(token, "resume") == Claim("k3v9", 2, step, 0, "resume")


def test_a_manifest_that_an_earlier_version_signed_stays_valid(signer: Signer) -> None:
    signature = "WyJrM3Y5IiwiZGlnZXN0Il0.C1UnQG3xYIr9pbZFSSolqcSWYmjjmec7Se9QSXTC9jI"

    assert signer.is_manifest_signed("k3v9", "digest", signature)


@given(claims, st.integers(1, 300))
def test_a_token_has_one_dot_inside_however_long_its_step_is(signer: Signer, claim: Claim, times: int) -> None:
    """Web servers refuse paths of hidden files, `..` is a folder, and mail programs cut a dot off at the end."""
    token = signer.token(replace(claim, step=claim.step * times))

    assert re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*[A-Za-z0-9]", token)


def test_a_token_says_how_often_links_were_revoked_before(signer: Signer) -> None:
    token = signer.token(replace(CLAIM, revocations=3))

    assert signer.read(token, "resume").revocations == 3
    assert signer.read(signer.token(CLAIM), "resume").revocations == 0
    with pytest.raises(UnknownLink):
        signer.read(f"{encoded(['k3v9', 2, 'approve', 0, 'resume', 4])}.{token.rpartition('.')[2]}", "resume")


def test_what_a_withdrawn_key_signed_is_recognised_and_refused() -> None:
    old, both = Signer(["old"]), Signer(["old", "new"], withdrawn={1})

    with pytest.raises(LinkWithdrawn):
        both.read(old.token(CLAIM), "resume")
    with pytest.raises(UnknownLink):
        both.read(old.token(CLAIM), "cancel")
    with pytest.raises(UnknownLink):
        both.read(Signer(["other"]).token(CLAIM), "resume")
    assert not both.is_manifest_signed("k3v9", "digest", old.sign_manifest("k3v9", "digest"))
    assert both.read(both.token(CLAIM), "resume").key == 2


def test_keys_that_are_all_withdrawn_sign_nothing() -> None:
    with pytest.raises(ValueError, match="withdrawn"):
        Signer(["one", "two"], withdrawn={1, 2})


@given(texts, st.integers(0))
def test_the_token_of_a_trigger_says_which_one_and_how_often_it_was_replaced(
    signer: Signer, trigger: str, rotations: int
) -> None:
    token = signer.trigger_token(trigger, rotations)

    assert signer.read_trigger(token) == (trigger, rotations)
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", token)


def test_a_trigger_is_opened_by_its_own_tokens_alone(signer: Signer) -> None:
    token = signer.trigger_token("k3v9", 1)
    others = [signer.token(CLAIM), Signer(["another key"]).trigger_token("k3v9", 1), token[:-2], f"{token}!", ""]

    for other in others:
        with pytest.raises(UnknownLink):
            signer.read_trigger(other)
    with pytest.raises(UnknownLink):
        signer.read(token, "resume")


def test_the_token_of_a_trigger_survives_a_new_key_and_dies_with_its_own() -> None:
    token = Signer(["old"]).trigger_token("k3v9", 0)

    assert Signer(["old", "new"]).read_trigger(token) == ("k3v9", 0)
    with pytest.raises(LinkWithdrawn):
        Signer(["old", "new"], withdrawn={1}).read_trigger(token)
