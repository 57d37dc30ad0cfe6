"""What the running of attacks notices, shown by harmless probes at level `none`."""

from __future__ import annotations

import pytest
from attack_boxes import QUICK_SIZE, run_attacks
from attack_kinds import FOLDER, LEVELS, Attack, Seen, table, wrong_in
from attack_list import ATTACKS, BY_NAME, QUICK
from attack_probes import PROBES
from attack_run import Arena
from outer_box import outer_box  # noqa: F401 (a fixture)

WORDS = {
    "calm": "",
    "claims": "got through",
    "silent": "did not say",
    "fails": "ended as exception",
    "fails_as_it_may": "",
    "late": "",
    "mistaken": "the program itself is wrong",
    "reads_bait": "the worker's secret",
    "connects": "connections to the outside",
    "leaves_file": "next task",
    "nudges_neighbour": "the neighbour: WRONG signals came",
    "calm_again": "",
}


@pytest.mark.usefixtures("outer_box")
def test_each_fault_is_noticed_and_nothing_else() -> None:
    told = run_attacks("attack_subjects:plain", "attack_probes:PROBES", size=QUICK_SIZE)
    assert set(told.wrong) == {probe.name for probe in PROBES}, told.boxed
    for name, word in WORDS.items():
        found = told.wrong[name]
        assert all(word in each for each in found), (name, found)
        assert bool(found) == bool(word), (name, found)
    assert (told.boxed.code, told.boxed.gone, told.boxed.processes) == (0, True, ())


def test_no_attack_runs_outside_of_a_box() -> None:
    with pytest.raises(RuntimeError, match="outer box"):
        Arena(None, None, FOLDER, "secret")  # type: ignore[arg-type]


def test_every_program_is_listed_and_is_one() -> None:
    programs = {path.stem for path in FOLDER.glob("*.py")} - {"prelude"}
    assert programs == set(BY_NAME)
    assert len(ATTACKS) == len(BY_NAME)
    for attack in ATTACKS:
        compile(attack.code(), attack.name, "exec")
        assert attack.holds <= set(LEVELS)
        assert not attack.name.startswith("_")
    assert 20 < len(QUICK) < len(ATTACKS)


def test_the_table_names_each_attack_with_what_stops_it() -> None:
    text = table(ATTACKS)
    for attack in ATTACKS:
        assert f"| {attack.by} |" in text
    assert text.count("| **") == len({attack.group for attack in ATTACKS})


def _seen(ended: str = "success", stdout: bytes = b"done\n", took_s: float = 1.0) -> Seen:
    return Seen(ended, "", stdout, b"", 2.0, 4.0, took_s)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (_seen(), ""),
        (_seen(ended="memory_limit"), "ended as"),
        (_seen(stdout=b""), "did not say"),
        (_seen(stdout=b"done\nREACHED it\n"), "got through"),
        (_seen(stdout=b"done s3cret"), "secret"),
        (_seen(took_s=9), "its end came after"),
    ],
)
def test_an_attack_is_judged_by_what_it_shows(seen: Seen, words: str) -> None:
    attack = Attack("x", "g", frozenset({"full"}), "by")
    found = wrong_in(attack, seen, "full", b"s3cret")
    assert bool(found) == bool(words)
    assert all(words in each for each in found)


def test_what_holds_at_a_level_is_judged_there() -> None:
    attack = Attack("x", "g", frozenset({"full"}), "by", at_full="success", processors=1.4)
    through = _seen(stdout=b"done\nREACHED it\n")
    assert wrong_in(attack, through, "restricted", b"s3cret") == []
    assert "processors" in wrong_in(attack, _seen(), "full", b"s3cret")[0]
    assert wrong_in(attack, _seen(), "namespaces", b"s3cret") == []
