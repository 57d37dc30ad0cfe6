"""How controller and worker prove themselves to each other, and where their keys are kept.

The controller signs with Ed25519 and workers hold only its public key, so that a worker that was
taken over commands nobody. The worker answers with HMAC-SHA256 under the fleet's secret. Both cover
role, version, both names, both fresh nonces and the binding of the transport.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Literal

from attrs import frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


@frozen
class Handshake:
    """What both proofs of one connection cover.

    Attributes:
        binding: What ties the proofs to this connection (the TLS exporter's key, hex); empty on a
            link that does not leave the machine.
    """

    version: int
    worker: str
    boot: str
    controller: str
    worker_nonce: str
    controller_nonce: str
    binding: str = ""

    def transcript(self, role: Literal["controller", "worker"]) -> bytes:
        """Give the bytes that a role's proof covers: no two handshakes or roles share them."""
        parts = [
            "runyard proof", role, self.version, self.worker, self.boot, self.controller,
            self.worker_nonce, self.controller_nonce, self.binding,
        ]  # fmt: skip
        return json.dumps(parts, ensure_ascii=True).encode()


def controller_proof(key: Ed25519PrivateKey, shake: Handshake) -> str:
    """Sign as the controller; hex."""
    return key.sign(shake.transcript("controller")).hex()


def controller_proven(key: Ed25519PublicKey, shake: Handshake, proof: str) -> bool:
    """Check a controller's proof."""
    try:
        key.verify(bytes.fromhex(proof), shake.transcript("controller"))
    except (InvalidSignature, ValueError):
        return False
    return True


def worker_proof(secret: bytes, shake: Handshake) -> str:
    """Prove as a worker; hex."""
    return hmac.new(secret, shake.transcript("worker"), hashlib.sha256).hexdigest()


def worker_proven(secret: bytes, shake: Handshake, proof: str) -> bool:
    """Check a worker's proof in constant time."""
    return hmac.compare_digest(
        worker_proof(secret, shake).encode(), proof.encode("utf-8", "surrogatepass")
    )
