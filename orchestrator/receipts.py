"""Receipts: what was verified, of what, on which texts, signed.

A receipt stands alone: whoever has the file and trusts the key can check it without the session,
the model or the machine. It proves that the key's owner vouches for these figures; it cannot prove
that the owner is honest. The file has one form only, so that no byte of it is free.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import rfc8785
from pydantic import Field, JsonValue, ValidationError

from bench.challenge import Challenge
from bench.frozen import Frozen
from bench.verification import PrivatePerplexity, PrivateSpeed, Regret, TestName, Verification
from orchestrator.keys import Key, verify_signature
from sandbox.errors import ConfigError, ReceiptError
from tools.record.node import Node

VERSION = 1
TRUSTED = Path(__file__).with_name("trusted_keys.toml")
MOST_BYTES = 1 << 20
"""A receipt takes about 5 kB."""
_KEY = r"[0-9a-f]{64}"
_SIGNATURE = r"[0-9a-f]{128}"


class ChainHead(Frozen):
    """The record's last event when the receipt was written; it follows all that was measured."""

    seq: int = Field(ge=1)
    hash: str


class Checked(Frozen):
    """One test of the verification."""

    test: TestName
    status: Literal["passed", "failed", "not_run"]
    value: float | None
    limit: float | None


class Receipt(Frozen):
    """One passed verification. `signature` is over the RFC 8785 form of all the other fields."""

    version: Literal[1]
    session: str
    challenge: str
    attempt: str
    agent: str
    config: dict[str, JsonValue]
    fingerprint: str
    model_sha256: str
    engine_version: str
    prompt_commitment: str
    """As published at the start of the session; `export --reveal` shows what it commits to."""
    drawn: tuple[str, ...]
    """Ids of the private texts used."""
    drawn_sha256: str
    speed: PrivateSpeed | None
    perplexity: PrivatePerplexity | None
    regret: Regret | None
    self_regret: Regret | None
    findings: tuple[Checked, ...]
    numeric_class: str
    timings_sha256: str
    output_digest: str
    hardware: dict[str, str | int | float]
    chain_head: ChainHead
    issued_at: float
    """Unix seconds."""
    public_key: str
    """64 hex digits; whoever trusts it takes the owner's word for all of this."""
    signature: str


def issue(  # noqa: PLR0913  (what a receipt is about)
    *,
    session: str,
    challenge: Challenge,
    node: Node,
    verification: Verification,
    commitment: str,
    head: ChainHead,
    key: Key,
    now: float,
) -> Receipt:
    """Return the signed receipt of a passed verification of `node`.

    Raises:
        ReceiptError: `not_verified`, it failed or was only simulated; whoever issues sees it.
    """
    if verification.failed or verification.simulated:
        what = f"failed {', '.join(verification.failed)}" if verification.failed else "is simulated"
        raise ReceiptError(f"attempt {node.attempt!r} {what}", code="not_verified")
    facts = {
        "version": VERSION,
        "session": session,
        "challenge": challenge.name,
        "attempt": node.attempt,
        "agent": node.agent,
        "config": node.config.model_dump(mode="json"),
        "fingerprint": node.fingerprint,
        "model_sha256": challenge.model.identity,
        "engine_version": str(verification.hardware.get("engine_version", "unknown")),
        "prompt_commitment": commitment,
        **_found(verification),
        "chain_head": head.model_dump(mode="json"),
        "issued_at": now,
        "public_key": key.public_hex,
    }
    facts = json.loads(rfc8785.dumps(facts))  # 2.0 is 2 in RFC 8785, and must stay what is signed
    return Receipt.model_validate({**facts, "signature": key.sign(rfc8785.dumps(facts))})


def receipt_text(receipt: Receipt) -> str:
    """Return the content of a receipt's file; `check` takes no other form."""
    return _text(receipt.model_dump(mode="json"))


def check(data: object, *, trusted: Mapping[str, str]) -> Receipt:
    """Return the receipt in `data` when every byte of it is as it was signed.

    Args:
        data: bytes or text of a file, or the object as the record keeps it.
        trusted: owners' names by public key, from `trusted_keys`.

    Raises:
        ReceiptError: `receipt_unreadable`, `receipt_altered` or `unknown_key`; whoever checks sees
            it.
    """
    facts = _object(data)
    key = _hex_field(facts, "public_key", _KEY)
    signature = _hex_field(facts, "signature", _SIGNATURE)
    signed = {name: value for name, value in facts.items() if name != "signature"}
    if not verify_signature(key, signature, _canonical(signed)):
        raise _altered("its signature does not fit its content")
    if isinstance(data, bytes | str) and _as_text(data) != _text(facts):
        raise _altered("its content fits its signature, but it was formatted anew")
    if key not in trusted:
        raise ReceiptError(
            f"the receipt is whole, but signed with the unknown key {key}",
            code="unknown_key",
            hint=f"if you know whose it is and trust them, add: --trust {key}",
        )
    try:
        return Receipt.model_validate(facts)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise ReceiptError(
            f"the receipt is whole, but of another version: {where}: {problem['msg']}",
            hint="use the version of paceline that wrote it",
        ) from None


def trusted_keys(
    own: str | None, extra: Iterable[str] = (), *, file: Path = TRUSTED
) -> dict[str, str]:
    """Return the names of the keys whose receipts count here, by public key.

    Args:
        own: this machine's public key, None where it has none.
        extra: what was given with --trust.
        file: the list that ships with the program.

    Raises:
        ConfigError: a key that is not 64 hex digits, or a damaged list; whoever gave it sees it.
    """
    try:
        listed = {one["key"]: one["name"] for one in tomllib.loads(file.read_text())["keys"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"trusted keys {str(file)!r}: {error!r}", code="bad_key_list") from None
    named = {**dict.fromkeys(extra, "--trust"), **listed}
    if own is not None:
        named.setdefault(own, "this machine")
    for key in named:
        if not re.fullmatch(_KEY, key):
            raise ConfigError(f"key {key!r} is not 64 lower-case hex digits", code="bad_key")
    return named


def _found(verification: Verification) -> dict[str, Any]:
    """Return what the verification says, in the words of the receipt."""
    facts = verification.model_dump(mode="json")
    own = Receipt.model_fields.keys() & facts.keys()
    columns = Checked.model_fields
    findings = [{name: one[name] for name in columns} for one in facts["findings"]]
    return {**{name: facts[name] for name in own}, "findings": findings}


def _object(data: object) -> dict[str, Any]:
    if isinstance(data, bytes | str):
        try:
            data = json.loads(_as_text(data))
        except (ValueError, RecursionError) as error:
            raise ReceiptError(f"the receipt cannot be read as JSON: {error}") from None
    if not isinstance(data, Mapping):
        raise ReceiptError(f"the receipt is a JSON {type(data).__name__}, not an object")
    return dict(data)


def _as_text(data: bytes | str) -> str:
    if len(data) > MOST_BYTES:
        raise ReceiptError(f"the file has {len(data)} bytes, a receipt at most {MOST_BYTES}")
    return data if isinstance(data, str) else data.decode()


def _text(facts: Mapping[str, Any]) -> str:
    return json.dumps(json.loads(_canonical(facts)), indent=1, sort_keys=True) + "\n"


def _canonical(facts: Mapping[str, Any]) -> bytes:
    try:
        return rfc8785.dumps(dict(facts))
    except (rfc8785.CanonicalizationError, RecursionError, UnicodeError) as error:
        raise _altered(f"it holds what JSON cannot: {error}") from None


def _altered(how: str) -> ReceiptError:
    return ReceiptError(
        f"the receipt was altered: {how}",
        code="receipt_altered",
        hint="ask for the file as it was issued",
    )


def _hex_field(facts: Mapping[str, Any], name: str, pattern: str) -> str:
    value = facts.get(name)
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise ReceiptError(
            f"this is no receipt: `{name}` is {value!r}, not as many hex digits as it must have"
        )
    return value
