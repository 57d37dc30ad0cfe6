"""`network` from a request to a worker that offers it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes import a_task, a_worker
from pair import Pair
from stage import Stage
from twisted.internet.task import Clock

from runyard.protocols.errors import Refused
from runyard.sched.admission import Policy, admit_body, admit_query
from runyard.sched.deadlines import shortage
from runyard.sched.errors import Refusal
from runyard.sched.needs import Need, met_by, need_of
from runyard.sched.roster import Roster

POLICY = Policy(frozenset({"python"}))
BY_DEFAULT = Policy(frozenset({"python"}), network_default=True)
NOWHERE = Policy(frozenset({"python"}), network=False)


def asked(document: dict[str, Any], policy: Policy = POLICY) -> bool:
    """Whether a JSON request's task gets the network."""
    body = json.dumps({"code": "1", **document}).encode()
    return admit_body(body, "application/json", b"", policy).task.network


def test_it_is_asked_for_in_json_query_and_form() -> None:
    assert [asked({}), asked({"network": False}), asked({"network": True})] == [False, False, True]
    form = "application/x-www-form-urlencoded"
    for text, expected in ((b"true", True), (b"false", False)):
        assert admit_query(b"code=1&network=" + text, POLICY).task.network is expected
        assert admit_body(b"code=1&network=" + text, form, b"", POLICY).task.network is expected


@pytest.mark.parametrize("value", ["yes", 1, "", [], "proxy"])
def test_anything_but_true_and_false_is_refused(value: Any) -> None:
    with pytest.raises(Refusal, match="network"):
        asked({"network": value})


def test_an_operator_s_default_is_for_who_does_not_say() -> None:
    assert asked({}, BY_DEFAULT)
    assert not asked({"network": False}, BY_DEFAULT)


def test_where_no_worker_offers_it_it_is_refused_at_once() -> None:
    assert not asked({}, NOWHERE)
    with pytest.raises(Refusal) as caught:
        asked({"network": True}, NOWHERE)
    (problem,) = caught.value.problems
    assert (problem.name, problem.got) == ("network", "True")
    assert "no worker here" in problem.allowed


def test_a_worker_with_a_way_out_takes_tasks_without_too_but_not_the_reverse() -> None:
    with_way, without = Need("python", network=True), Need("python")
    assert need_of(a_task(network=True)) == with_way
    assert set(met_by(("python",), (), network=True)) == {with_way, without}
    assert met_by(("python",), (), network=False) == (without,)
    roster = Roster(Clock())
    closed, _ = a_worker("closed")
    open_, _ = a_worker("open", network=True)
    roster.up(closed)
    assert not roster.network_seen
    assert "0 of 1 linked workers have 'python' and a way to the network" in shortage(
        with_way, roster, {}
    )
    roster.up(open_)
    assert roster.network_seen
    assert roster.with_room(with_way) == [open_]
    assert len(roster.with_room(without)) == 2


def test_a_request_goes_to_the_worker_that_offers_it() -> None:
    stage = Stage()
    closed = stage.worker(name="closed", slots=4)
    status, _, body = stage.answer(stage.post(code="1", wait=False, network=True))
    assert status == 400
    assert "no worker here" in body.decode()
    open_ = stage.worker(name="open", slots=4, network=True)
    assert stage.answer(stage.post(code="1", wait=False, network=True))[0] == 202
    assert (len(closed.runs), len(open_.runs)) == (0, 1)
    shown = json.loads(stage.ask("GET", "/workers")[2])["workers"]
    assert {each["name"]: each["network"] for each in shown} == {"closed": False, "open": True}


def test_it_reaches_the_job_over_the_wire_and_a_worker_without_refuses_it() -> None:
    pair = Pair()
    assert not pair.worker.network
    (refused,) = pair.run(a_task(network=True))
    assert isinstance(refused.value, Refused)
    assert "no way to the network here" in str(refused.value)
    pair.sandbox.network = True
    pair.run(a_task(network=True), "t.2")
    pair.run(a_task(), "t.3")
    assert [each.job.network for each in pair.sandbox.jobs] == [True, False]
    again = Pair(worker=pair, address="unix:again")
    assert again.worker.network
