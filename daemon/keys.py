"""The key files of the links: made once, read at start, never logged."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

CONTROLLER_KEY = "controller.key"
CONTROLLER_PUBLIC = "controller.pub"
FLEET_SECRET = "fleet.secret"  # noqa: S105 (a file's name)


class KeyFileError(Exception):
    """A key file cannot be used; the text names it and says why."""


def make_keys(folder: Path) -> None:
    """Make whichever of the three key files is missing in a folder that only we can read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / CONTROLLER_KEY).exists():
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        _write_new(folder / CONTROLLER_KEY, pem, 0o600)
    if not (folder / CONTROLLER_PUBLIC).exists():
        public = read_private(folder / CONTROLLER_KEY).public_key()
        pem = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        _write_new(folder / CONTROLLER_PUBLIC, pem, 0o644)
    if not (folder / FLEET_SECRET).exists():
        _write_new(folder / FLEET_SECRET, secrets.token_hex(32).encode() + b"\n", 0o600)


def read_private(path: Path) -> Ed25519PrivateKey:
    """Read the controller's private key (PEM, Ed25519).

    Raises:
        KeyFileError: it is missing, readable by others, or not such a key.
    """
    try:
        key = serialization.load_pem_private_key(_read(path, private=True), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileError(f"{path}: not an Ed25519 private key in PEM form") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path}: not an Ed25519 key")
    return key


def read_public(path: Path) -> Ed25519PublicKey:
    """Read the controller's public key (PEM, Ed25519).

    Raises:
        KeyFileError: it is missing or not such a key.
    """
    try:
        key = serialization.load_pem_public_key(_read(path, private=False))
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError(f"{path}: not an Ed25519 public key in PEM form") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{path}: not an Ed25519 key")
    return key


def read_secret(path: Path) -> bytes:
    """Read the fleet's secret: at least 32 hex digits.

    Raises:
        KeyFileError: it is missing, readable by others, too short or not hex.
    """
    text = _read(path, private=True).strip()
    try:
        secret = bytes.fromhex(text.decode("ascii"))
    except (UnicodeDecodeError, ValueError):
        raise KeyFileError(f"{path}: must hold hex digits") from None
    if len(secret) < 16:
        raise KeyFileError(f"{path}: must hold at least 32 hex digits")
    return secret


def _read(path: Path, *, private: bool) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if private and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise KeyFileError(f"{path}: others may read it; chmod 600 it")
            return file.read(64 * 1024)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None


def _write_new(path: Path, content: bytes, mode: int) -> None:
    spare = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    spare.replace(path)
