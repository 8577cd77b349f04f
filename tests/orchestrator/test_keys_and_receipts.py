"""A receipt holds as it was signed, or not at all."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.challenge import Challenge
from bench.challenge_files import load_challenge
from bench.configs.llamacpp import LlamaCppConfig
from bench.verification import Finding, PrivatePerplexity, PrivateSpeed, Regret, Verification
from orchestrator.keys import Key, known_key, signing_key, verify_signature
from orchestrator.receipts import (
    ChainHead,
    Receipt,
    check,
    issue,
    receipt_text,
    trusted_keys,
)
from sandbox.errors import ConfigError, ReceiptError, VerificationUnavailable
from tools.record.node import Node

KEY = Key(bytes(range(32)))
SECRET = bytes(range(32)).hex()


def challenge() -> Challenge:
    return load_challenge("gemma-270m-cpu").challenge


def make_verification(**fields: Any) -> Verification:
    regret = Regret(mean=0.0004, share_above_one=0.0, largest=0.5, tokens=384)
    known = {
        "findings": (
            Finding(test="regret", status="passed", value=0.0004, limit=0.01, unit="nats"),
            Finding(test="strict", status="not_run", detail="makes no such claim"),
        ),
        "numeric_class": "exact",
        "speed": PrivateSpeed(
            tokens_per_second=90.0,
            baseline_tokens_per_second=45.0,
            speedup=2.0,
            low=1.9,
            high=2.1,
            rounds=10,
        ),
        "perplexity": PrivatePerplexity(value=10.1, reference=10, tokens=240, missing_targets=0),
        "regret": regret,
        "self_regret": regret,
        "drawn": ("t003", "t001"),
        "drawn_sha256": "1" * 64,
        "timings_sha256": "2" * 64,
        "output_digest": "3" * 16,
        "hardware": {"cpu": "test", "cores": 2, "load": 0.5, "engine_version": "2026.10"},
        "seconds": 60.0,
        "seed": 1,
    }
    return Verification.model_validate(known | fields)


def make_receipt(key: Key = KEY, **fields: Any) -> Receipt:
    node = Node(
        attempt="a0007",
        agent="ann",
        parents=(),
        config=LlamaCppConfig(threads=1),
        fingerprint="f" * 16,
        hypothesis="it is faster",
        direction="threads=1",
        seq=9,
        time=1.0,
    )
    return issue(
        session="s",
        challenge=challenge(),
        node=node,
        verification=make_verification(**fields),
        commitment="c" * 64,
        head=ChainHead(seq=40, hash="a" * 64),
        key=key,
        now=1_800_000_000.0,
    )


RECEIPT = make_receipt()
TEXT = receipt_text(RECEIPT).encode()
TRUSTED = {KEY.public_hex: "test"}


def test_a_receipt_holds_as_a_file_and_as_the_record_keeps_it() -> None:
    assert check(TEXT, trusted=TRUSTED) == RECEIPT
    assert check(RECEIPT.model_dump(mode="json"), trusted=TRUSTED) == RECEIPT


def test_what_the_record_gives_back_makes_the_same_file() -> None:
    import rfc8785  # noqa: PLC0415 - how the record keeps it

    kept = json.loads(rfc8785.dumps(RECEIPT.model_dump(mode="json")))

    assert receipt_text(Receipt.model_validate(kept)).encode() == TEXT


@pytest.mark.parametrize("shift", [1, 0x20, 0x80])
def test_no_byte_of_a_receipt_can_be_changed(shift: int) -> None:
    """Every position; 0x20 makes small letters of capitals and other blanks of blanks."""
    for position in range(len(TEXT)):
        changed = bytearray(TEXT)
        changed[position] ^= shift
        with pytest.raises(ReceiptError):
            check(bytes(changed), trusted=TRUSTED)


@settings(deadline=None, max_examples=300)
@given(position=st.integers(0, len(TEXT) - 1), value=st.integers(0, 255))
def test_no_byte_can_be_changed_to_anything(position: int, value: int) -> None:
    changed = TEXT[:position] + bytes([value]) + TEXT[position + 1 :]
    if changed != TEXT:
        with pytest.raises(ReceiptError):
            check(changed, trusted=TRUSTED)


@settings(deadline=None, max_examples=100)
@given(start=st.integers(0, len(TEXT)), more=st.binary(max_size=3), gone=st.integers(0, 3))
def test_nothing_can_be_added_or_left_out(start: int, more: bytes, gone: int) -> None:
    changed = TEXT[:start] + more + TEXT[start + gone :]
    if changed != TEXT:
        with pytest.raises(ReceiptError):
            check(changed, trusted=TRUSTED)


FORGED = [
    ("speed", {**RECEIPT.model_dump(mode="json")["speed"], "speedup": 3.0}),
    ("attempt", "a0008"),
    ("findings", []),
    ("extra", 1),
]


@pytest.mark.parametrize(("field", "value"), FORGED)
def test_a_forged_field_is_an_alteration(field: str, value: Any) -> None:
    with pytest.raises(ReceiptError, match="altered") as caught:
        check(RECEIPT.model_dump(mode="json") | {field: value}, trusted=TRUSTED)

    assert (caught.value.code, caught.value.exit_code) == ("receipt_altered", 3)


def test_another_key_put_in_is_an_alteration_not_an_unknown_key() -> None:
    facts = RECEIPT.model_dump(mode="json") | {"public_key": Key(b"x" * 32).public_hex}
    with pytest.raises(ReceiptError) as caught:
        check(facts, trusted=TRUSTED)

    assert caught.value.code == "receipt_altered"


def test_an_unknown_key_is_named_with_the_option_that_trusts_it() -> None:
    with pytest.raises(ReceiptError, match=f"--trust {KEY.public_hex}") as caught:
        check(TEXT, trusted={})

    assert caught.value.code == "unknown_key"


RUBBISH = [b"", b"\xff", b"[]", b"{}", b"null", b"not json", b"[" * 90_000, b" " * (1 << 21)]


@pytest.mark.parametrize("data", RUBBISH, ids=range(len(RUBBISH)))
def test_what_is_no_receipt_is_unreadable(data: bytes) -> None:
    with pytest.raises(ReceiptError) as caught:
        check(data, trusted=TRUSTED)

    assert caught.value.code == "receipt_unreadable"


@pytest.mark.parametrize("value", ["NaN", "1e999", "9007199254740993"])
def test_numbers_outside_json_are_refused(value: str) -> None:
    with pytest.raises(ReceiptError):
        check(TEXT.replace(b"1800000000", value.encode()), trusted=TRUSTED)


def test_a_receipt_of_another_version_is_told_from_an_altered_one() -> None:
    import rfc8785  # noqa: PLC0415 - to sign like a later program

    facts = RECEIPT.model_dump(mode="json") | {"version": 2}
    del facts["signature"]
    facts["signature"] = KEY.sign(rfc8785.dumps(facts))
    with pytest.raises(ReceiptError, match="another version"):
        check(facts, trusted=TRUSTED)


def test_only_a_passed_and_real_verification_gets_a_receipt() -> None:
    failed = Finding(test="regret", status="failed", value=1.0, limit=0.01)
    for fields in ({"findings": (failed,)}, {"simulated": True}):
        with pytest.raises(ReceiptError) as caught:
            make_receipt(**fields)
        assert caught.value.code == "not_verified"


def test_the_secret_half_is_in_no_receipt_and_in_no_print(tmp_path: Path) -> None:
    shown = f"{KEY!r} {KEY} {vars(KEY)}" + receipt_text(RECEIPT)

    assert SECRET not in shown
    assert KEY.public_hex in shown


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "private"
    first, second = signing_key(folder), signing_key(folder)
    (file,) = folder.iterdir()

    assert first.public_hex == second.public_hex
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert verify_signature(second.public_hex, first.sign(b"x"), b"x")


def test_looking_for_a_key_makes_none(tmp_path: Path) -> None:
    assert known_key(tmp_path / "private") is None
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_others_could_read_is_not_used(tmp_path: Path) -> None:
    signing_key(tmp_path)
    (tmp_path / "signing.key").chmod(0o640)
    with pytest.raises(VerificationUnavailable, match="read by others") as caught:
        signing_key(tmp_path)

    assert caught.value.code == "key_unusable"


@pytest.mark.parametrize("damage", [b"", b"rubbish", b"\xff" * 64])
def test_a_damaged_key_is_named_and_left_alone(tmp_path: Path, damage: bytes) -> None:
    signing_key(tmp_path)
    (tmp_path / "signing.key").write_bytes(damage)
    with pytest.raises(VerificationUnavailable, match="is damaged"):
        signing_key(tmp_path)

    assert (tmp_path / "signing.key").read_bytes() == damage


def test_a_place_where_no_key_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VerificationUnavailable, match="cannot be made"):
        signing_key(tmp_path / "file" / "private")


@pytest.mark.parametrize("signature", ["", "zz", "00" * 64, "00"])
def test_malformed_signatures_are_merely_wrong(signature: str) -> None:
    assert not verify_signature(KEY.public_hex, signature, b"x")
    assert not verify_signature("00", KEY.sign(b"x"), b"x")


def test_trusted_are_this_machine_the_shipped_list_and_what_was_typed(tmp_path: Path) -> None:
    listed, typed = "a" * 64, "b" * 64
    file = tmp_path / "keys.toml"
    file.write_text(f'[[keys]]\nname = "ann"\nkey = "{listed}"\n')
    named = trusted_keys(KEY.public_hex, [typed], file=file)

    assert named == {typed: "--trust", listed: "ann", KEY.public_hex: "this machine"}
    assert trusted_keys(None).keys().isdisjoint(named)


def test_a_slip_in_a_key_or_the_list_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="64"):
        trusted_keys(None, ["A" * 64])
    (tmp_path / "keys.toml").write_text("keys = 3")
    with pytest.raises(ConfigError, match="trusted keys"):
        trusted_keys(None, file=tmp_path / "keys.toml")
