"""The Ed25519 key of this machine, and signatures made and checked with keys of others.

Knows bytes and hex; knows no receipt. The only module that loads `cryptography`, and only when a
key is used. The secret half never leaves `Key`.
"""

import contextlib
import os
import re
import secrets
from pathlib import Path

from orchestrator.private_files import is_open_to_others, private_folder, write_private
from sandbox.errors import VerificationUnavailable

FILE_NAME = "signing.key"
_SECRET = re.compile(r"[0-9a-f]{64}\n?")


class Key:
    """A signing key; `public_hex` is all that may be shown of it."""

    def __init__(self, secret: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PrivateKey,
        )

        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.public_hex = self._key.public_key().public_bytes_raw().hex()

    def sign(self, data: bytes) -> str:
        """Return the signature over `data`, 128 hex digits."""
        return self._key.sign(data).hex()


def signing_key(folder: Path) -> Key:
    """Return the key in `folder`, made on first use: mode 0600, in a folder of mode 0700.

    Raises:
        VerificationUnavailable: `key_unusable`, it cannot be made, is damaged, or others may read
            it; the operator sees it.
    """
    try:
        private_folder(folder)
        _make(folder / FILE_NAME)
    except OSError as error:
        raise _unusable(folder / FILE_NAME, f"cannot be made: {error}") from None
    key = known_key(folder)
    if key is None:
        raise _unusable(folder / FILE_NAME, "is damaged")
    return key


def known_key(folder: Path) -> Key | None:
    """Return the key in `folder`, None where there is none to read; makes nothing.

    Raises:
        VerificationUnavailable: `key_unusable`, others may read it.
    """
    file = folder / FILE_NAME
    try:
        text, is_open = file.read_text(encoding="ascii"), is_open_to_others(file)
    except (OSError, ValueError):
        return None
    if is_open:
        raise _unusable(file, "can be read by others")
    return Key(bytes.fromhex(text)) if _SECRET.fullmatch(text) else None


def verify_signature(public_hex: str, signature_hex: str, data: bytes) -> bool:
    """Return whether `signature_hex` is that of `data` under the key; False for malformed hex."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_hex))
        key.verify(bytes.fromhex(signature_hex), data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _make(file: Path) -> None:
    """Write a new secret unless there is one; of two processes at once, the first wins."""
    if file.exists():
        return
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    write_private(draft, secrets.token_hex(32) + "\n")
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()


def _unusable(file: Path, why: str) -> VerificationUnavailable:
    return VerificationUnavailable(
        f"the signing key {str(file)!r} {why}",
        code="key_unusable",
        hint="Move it away: a new one is made, and receipts of the old one stay valid for whoever"
        " trusts it",
    )
