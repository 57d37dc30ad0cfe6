"""The links' model finds what it is to find: faults put into the classes that it runs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from link_model import PROFILE, LinkModel
from mutations import MUTATIONS, Mutation

# A search ends with the first failure: many examples make it sure, and cost nothing where it finds.
FINDING = settings(
    PROFILE, max_examples=5_000, phases=[Phase.generate], database=None, print_blob=False,
    report_multiple_bugs=False,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.__name__)
def test_the_model_of_the_links_finds(
    mutation: Mutation, monkeypatch: pytest.MonkeyPatch, logged_failures: list[Any]
) -> None:
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(LinkModel, settings=FINDING)
