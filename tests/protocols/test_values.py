from __future__ import annotations

import math

import pytest
from fakes import KEY, SECRET

from runyard.protocols.ids import TASK_ID, attempt_id, new_task_id
from runyard.protocols.limits import RANGES, Limits, complaint, limits_document, limits_from
from runyard.protocols.proofs import (
    Handshake,
    controller_proof,
    controller_proven,
    worker_proof,
    worker_proven,
)


def test_task_ids_are_uuid7_unique_and_in_the_order_of_their_making() -> None:
    ids = [new_task_id() for _ in range(200)]
    assert all(TASK_ID.fullmatch(each) for each in ids)
    assert len(set(ids)) == 200
    assert [each[:13] for each in ids] == sorted(each[:13] for each in ids)
    assert attempt_id(ids[0], 2) == f"{ids[0]}.2"


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, -math.inf, 1e300, True, "5", None])
def test_no_odd_value_of_a_limit_ever_means_no_limit(name: str, value: object) -> None:
    assert complaint(name, value) is not None


@pytest.mark.parametrize("name", RANGES)
def test_default_and_maximum_are_allowed_and_more_is_not(name: str) -> None:
    allowed = RANGES[name]
    assert complaint(name, allowed.default) is None
    assert complaint(name, allowed.maximum) is None
    assert complaint(name, allowed.maximum + 1) is not None


def test_limits_travel_as_a_plain_mapping() -> None:
    limits = Limits(wall_s=2.5, processes=3)
    assert limits_from(limits_document(limits)) == limits
    with pytest.raises(ValueError, match=r"limits\.cpu: unknown"):
        limits_from({"cpu": 1})


SHAKE = Handshake(1, "w", "boot", "c", "n1", "n2")
OTHERS = [
    Handshake(2, "w", "boot", "c", "n1", "n2"),
    Handshake(1, "v", "boot", "c", "n1", "n2"),
    Handshake(1, "w", "later", "c", "n1", "n2"),
    Handshake(1, "w", "boot", "d", "n1", "n2"),
    Handshake(1, "w", "boot", "c", "n2", "n1"),
    Handshake(1, "w", "boot", "c", "n1", "n2", "tls"),
]


def test_each_side_proves_itself_and_nothing_else_does() -> None:
    signed, mac = controller_proof(KEY, SHAKE), worker_proof(SECRET, SHAKE)
    public = KEY.public_key()
    assert controller_proven(public, SHAKE, signed)
    assert worker_proven(SECRET, SHAKE, mac)
    for other in OTHERS:
        assert not controller_proven(public, other, signed)
        assert not worker_proven(SECRET, other, mac)
    assert not worker_proven(b"t" * 32, SHAKE, mac)
    for rubbish in ("", "zz", mac, "é" * 64, "0" * 128):
        assert not controller_proven(public, SHAKE, rubbish)
    for rubbish in ("", "zz", signed, "é" * 64):
        assert not worker_proven(SECRET, SHAKE, rubbish)
