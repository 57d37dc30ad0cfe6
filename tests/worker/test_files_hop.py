"""Files over a link: both ends of today, and peers that do not know them."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import a_task
from pair import Pair

from runyard.protocols.errors import ProtocolError
from runyard.protocols.files import File, Files, pack, unpack
from runyard.protocols.limits import FILES_BYTES, Limits, limits_document
from runyard.protocols.messages import PACKED_BYTES, Result, Run
from runyard.protocols.verbs import check_sizes, decode, encode
from runyard.worker.kept import KeptResults
from runyard.worker.translate import job_of

FILES = (File("a.txt", b"1\0"), File("d/b", bytes(200_000)))
FOUND = Files((File("out", b"\xff" * 100_000),), ("big",))


@pytest.fixture
def pair() -> Any:
    made = Pair()
    yield made
    made.client.close()
    made.pump.flush()


def a_run(**more: Any) -> Run:
    fields: dict[str, Any] = {
        "attempt": "t.1", "language": "python", "limits": limits_document(Limits()), "lease": 10.0,
    }  # fmt: skip
    return Run(**(fields | more))


def test_they_go_in_with_the_run_and_out_with_the_result(pair: Pair) -> None:
    results = pair.run(a_task(files=FILES, fresh=True))
    job = pair.sandbox.jobs[-1]
    assert unpack(job.job.files).files == FILES
    assert job.job.fresh
    job.end(files=FOUND)
    pair.pump.flush()
    assert results[-1].files == FOUND


def test_a_controller_that_does_not_ask_for_them_gets_none(pair: Pair) -> None:
    sent: list[Any] = []
    pair.server.send = sent.append  # type: ignore[assignment,method-assign]
    pair.server.on_run(a_run(collect=False))
    pair.sandbox.jobs[-1].end(files=FOUND)
    pair.server.on_run(a_run(attempt="t.2", collect=True))
    pair.sandbox.jobs[-1].end(files=FOUND)
    found = [message.files for message in sent if isinstance(message, Result)]
    assert found == [b"", pack(FOUND.files, FOUND.left_out)]


def test_a_worker_says_that_it_takes_them(pair: Pair) -> None:
    assert pair.worker.files
    assert {need.files for need in pair.worker.meets} == {False, True}


def test_without_files_the_bytes_are_those_that_older_peers_know() -> None:
    for message in (a_run(code=b"1"), Result(attempt="t.1", outcome="success", isolation="none",
                                             detail="")):  # fmt: skip
        header, payloads = encode(message)
        assert len(payloads) == {"Run": 4, "Result": 2}[message.verb]
        assert decode(header, payloads) == message
    header, payloads = encode(a_run(files=b"a\x000\0"))
    assert len(payloads) == 5
    with pytest.raises(ProtocolError):
        decode(header, [*payloads, b""])
    with pytest.raises(ProtocolError):
        decode(header, payloads[:3])


def test_their_size_is_checked_before_a_byte_is_read() -> None:
    assert check_sizes("Run", [1, 0, 0, 0, PACKED_BYTES])
    for sizes in ([1, 0, 0, 0, PACKED_BYTES + 1], [0, 0, 0, 0, -1], [0, 0, 0, 0, 0, 0]):
        with pytest.raises(ProtocolError):
            check_sizes("Run", sizes)


@pytest.mark.parametrize(
    "packed", [b"../x\x000\0", b"main.py\x000\0", b"x\0-\0", b"x\x001\0", b"x"]
)
def test_a_run_with_forged_files_is_an_error(packed: bytes) -> None:
    with pytest.raises(ProtocolError):
        job_of(a_run(files=packed), 10.0)


def test_kept_results_are_bounded_with_their_files(pair: Pair) -> None:
    kept = KeptResults(pair.clock, 10.0, lambda: None)
    for number in range(17):
        packed = pack([File("a", bytes(FILES_BYTES))])
        kept.add(Result(attempt=f"t.{number}", outcome="success", isolation="none", detail="",
                        files=packed))  # fmt: skip
    assert len(kept) == 15
    kept.retain([])
