"""Harmless programs that show, at level `none`, what the running of attacks notices."""

from __future__ import annotations

from attack_kinds import ALL, ENDS, FAILS, FOLDER, TIME, Attack
from attrs import frozen

NONE = ALL | {"none"}


@frozen
class Probe(Attack):
    """An attack whose program stands in it."""

    text: str = ""

    def code(self) -> bytes:
        """Give the program with the prelude."""
        return (FOLDER / "prelude.py").read_bytes() + self.text.encode() + b"\nsay('done')\n"


def _probe(name: str, text: str, ends: frozenset[str] = ENDS, says: str = "done") -> Probe:
    return Probe(name, "Probes", NONE, "nothing", ends, says=says, text=text, wall_s=1.0)


FRIEND = (
    "for name in os.listdir('/proc'):\n"
    "    try:\n"
    "        if name.isdigit() and b'victim' in read(f'/proc/{name}/cmdline').split(b'\\0'):\n"
    "            os.kill(int(name), signal.SIGUSR1)\n"
    "    except OSError:\n"
    "        pass\n"
)
CONNECTS = "import socket\nsocket.create_connection(('127.0.0.1', int(os.environ['HOST_PORT'])))"
PROBES = (
    _probe("calm", "say('nothing')"),
    _probe("claims", "reached('a claim')"),
    _probe("silent", "os._exit(0)"),
    _probe("fails", "raise OSError('x')"),
    _probe("fails_as_it_may", "raise OSError('x')", FAILS, ""),
    _probe("late", "time.sleep(600)", TIME, ""),
    _probe("mistaken", "undefined_name", FAILS, ""),
    _probe("reads_bait", "say(read(os.environ['HOST_FILE']))"),
    _probe("connects", CONNECTS),
    _probe("leaves_file", "write('/dev/shm/ry_left', b'x', os.O_WRONLY | os.O_CREAT)"),
    _probe("nudges_neighbour", FRIEND),
    _probe("calm_again", "say('nothing')"),
)  # fmt: skip
