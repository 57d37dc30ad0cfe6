"""The attacks: what each goes against, where it must fail, by what, and how it ends."""

from __future__ import annotations

from attack_kinds import (
    ALL,
    DISK,
    ENDS,
    FAILS,
    FULL,
    MEMORY,
    PROCESSES,
    SPACES,
    TIME,
    Attack,
)  # fmt: skip

PIDS = "`pids.max` of the slot's group at `full`, else RLIMIT_NPROC"
ROOT = "a root of its own, minimal and read-only, in a mount namespace"
LANDLOCK = "; Landlock at `restricted`"
FIRST = (
    "the pid namespace ends with its first process, and at `restricted` a subreaper ends what is"
    " left; the end is known from a status"
)
CALLS = "seccomp"
SIZED = "sized tmpfs, a fresh one for each task"
REMOVED = "; at `restricted` a removal that never descends and follows no link"
SINGLE = "a process for one task only, forked from one that never ran a task's code"
NETWORK = "a network namespace with loopback only; no internet sockets at `restricted`"
TREE = "`memory` limit of the slot's group"
PRIVATE = TREE + " at `full`, else RLIMIT_DATA of a process"
BYTES = "output is bytes, and nothing the task writes is read as ours"
RIGHTS = "no capabilities, no_new_privs"

NUMBERS = (
    Attack("fork_bomb", "Too much", ALL, PIDS, TIME | PROCESSES, says="", quick=True, wall_s=3),
    Attack("fork_count", "Too much", ALL, PIDS, PROCESSES, says="stopped", quick=True),
    Attack("thread_bomb", "Too much", ALL, PIDS, PROCESSES, says="stopped"),
    Attack("vfork_bomb", "Too much", ALL, PIDS, PROCESSES, says="stopped"),
    Attack("zombie_flood", "Too much", ALL, PIDS, PROCESSES, says="stopped"),
    Attack("memory_list", "Too much", ALL, PRIVATE, MEMORY,
           at_full="memory_limit", says="", wall_s=8, quick=True),
    Attack("memory_children", "Too much", FULL, TREE, MEMORY | ENDS, says="stopped", wall_s=8),
    Attack("memory_mmap", "Too much", ALL, PRIVATE, MEMORY, says="", wall_s=8),
    Attack("memory_shared", "Too much", FULL, TREE + ", which memory files count in",
           MEMORY | ENDS, says="stopped", wall_s=8),
    Attack("tmpfs_bomb", "Too much", SPACES, SIZED, DISK, says="stopped", wall_s=8, quick=True),
    Attack("shared_memory", "Too much", SPACES, SIZED + "; /dev/shm too", DISK, says="stopped",
           wall_s=8),
    Attack("sparse_file", "Too much", ALL, "RLIMIT_FSIZE", DISK, quick=True),
    Attack("many_files", "Too much", SPACES, "the tmpfs's number of inodes", DISK | TIME,
           says="stopped", wall_s=8),
    Attack("deep_folders", "Too much", ALL,
           "the tmpfs's number of inodes, removed with the mount" + REMOVED, DISK | TIME),
    Attack("output_flood", "Too much", ALL, "the worker stops reading at the cap and ends it",
           frozenset({"output_limit"}), says="", quick=True),
    Attack("output_flood_stderr", "Too much", ALL, "the same, whoever writes",
           frozenset({"output_limit"}), says=""),
    Attack("busy_eight", "Too much", FULL, "the `cpu` quota of the slot's group", PROCESSES | TIME,
           processors=1.4, wall_s=12),
    Attack("descriptors", "Too much", ALL, "RLIMIT_NOFILE", MEMORY | ENDS, says="stopped"),
    Attack("kernel_objects", "Too much", ALL, "RLIMIT_NOFILE and the kernel's counts for a user",
           MEMORY | ENDS, says="stopped"),
    Attack("ipc_fill", "Too much", FULL, TREE + ", an ipc namespace", MEMORY | ENDS,
           says="stopped", wall_s=8),
    Attack("stdin_fill", "Too much", ALL, "RLIMIT_FSIZE", MEMORY | ENDS, says="stopped"),
)  # fmt: skip
LASTING = (
    Attack("deaf_loop", "Not ending", ALL, "SIGKILL from its parent, which is ours", TIME, says="",
           quick=True, wall_s=3),
    Attack("stop_itself", "Not ending", ALL, "the same", frozenset({"timeout"}), says="", wall_s=2),
    Attack("closed_outputs", "Not ending", ALL,
           "the end is known from the status, not from the pipes",
           frozenset({"timeout"}), says="", wall_s=2),
    Attack("slow_exit", "Not ending", ALL, "the wall limit", frozenset({"timeout"}), says="",
           wall_s=2),
    Attack("exit_games", "Not ending", ALL, "the wall limit", TIME | ENDS | FAILS, says="",
           wall_s=2),
    Attack("pipe_holder", "Not ending", ALL, FIRST, quick=True),
    Attack("daemon", "Not ending", ALL, FIRST, quick=True),
    Attack("daemon_and_hang", "Not ending", ALL, FIRST, frozenset({"timeout"}), says="", wall_s=2),
    Attack("hidden_sessions", "Not ending", ALL, FIRST),
    Attack("abstract_names", "Not ending", ALL, FIRST),
    Attack("kill_group", "Not ending", ALL, "a session of its own", frozenset({"signal"}), says=""),
    Attack("kill_first", "Not ending", SPACES,
           "a namespace's first process takes no signal from within",
           says="still here", quick=True),
    Attack("crash", "Not ending", ALL, "the parent's wait status", frozenset({"signal"}), says=""),
)  # fmt: skip
FILES = (
    Attack("host_files", "Files and secrets", SPACES, ROOT, quick=True),
    Attack("host_root", "Files and secrets", ALL,
           "a pid namespace; the first process is not dumpable" + LANDLOCK, quick=True),
    Attack("host_links", "Files and secrets", ALL, ROOT + LANDLOCK),
    Attack("host_fd_escape", "Files and secrets", ALL,
           ROOT + LANDLOCK + "; no folder is passed on"),
    Attack("secrets", "Files and secrets", ALL, "environment made anew, never inherited",
           quick=True, wall_s=10),
    Attack("foreign_descriptors", "Files and secrets", ALL, "close_range before the program",
           quick=True),
    Attack("read_only_root", "Files and secrets", SPACES, ROOT),
    Attack("side_readings", "Files and secrets", SPACES,
           "/proc with `subset=pid`, of its own pid namespace"),
    Attack("terminals", "Files and secrets", ALL, "no terminal, a session of its own, " + CALLS),
)  # fmt: skip
OTHERS = (
    Attack("ptrace", "Other processes", ALL, "a pid namespace, " + CALLS, quick=True),
    Attack("signals", "Other processes", ALL, "a pid namespace; Landlock's scope at `restricted`",
           quick=True),
    Attack("limits_of_others", "Other processes", ALL,
           CALLS + " for those of others, no capabilities for its own"),
    Attack("oom_score", "Other processes", ALL, "/proc is read-only" + LANDLOCK),
    Attack("priority", "Other processes", ALL, RIGHTS),
)  # fmt: skip
NET = (
    Attack("loopback", "Network", ALL, NETWORK, quick=True, wall_s=15),
    Attack("link_local", "Network", ALL, NETWORK, quick=True),
    Attack("raw_sockets", "Network", ALL, CALLS + " on socket()"),
    Attack("network_change", "Network", ALL, RIGHTS),
    Attack("proxy", "Network", ALL, "the worker's proxy checks the address that it connects to",
           wall_s=30, network=True, says="connect metadata.test:80 b'HTTP/1.1 403",
           env=(("PROXY_NAMES", "inside.test:OWN both.test:OWN metadata.test:80"),)),
)  # fmt: skip
KERNEL = (
    Attack("unshare", "The kernel", ALL, CALLS, quick=True),
    Attack("user_namespaces", "The kernel", ALL, CALLS),
    Attack("mounts", "The kernel", ALL, CALLS + ", " + RIGHTS, quick=True),
    Attack("kernel_calls", "The kernel", ALL, CALLS, quick=True),
    Attack("keyrings", "The kernel", ALL, CALLS),
    Attack("setuid", "The kernel", ALL, "no_new_privs, and nosuid in a jail", quick=True),
    Attack("device_nodes", "The kernel", ALL,
           CALLS + ", " + RIGHTS + ", and nodev in a jail"),
    Attack("clock", "The kernel", ALL, RIGHTS),
    Attack("hostname", "The kernel", ALL, RIGHTS),
    Attack("kernel_settings", "The kernel", ALL,
           "/proc is read-only" + LANDLOCK + "; uids that are not root"),
    Attack("control_groups", "The kernel", ALL, "none is mounted" + LANDLOCK),
    Attack("memfd_exec", "The kernel", ALL, "allowed; filter and rights last over execve"),
    Attack("personality", "The kernel", ALL, CALLS),
    Attack("other_entries", "The kernel", ALL, "the filter ends calls of another architecture",
           quick=True),
)  # fmt: skip
TRACES = (
    Attack("left_files", "The next task", SPACES, SIZED, DISK, says="left", quick=True),
    Attack("odd_names", "The next task", ALL, SIZED + REMOVED),
    Attack("poisoned_modules", "The next task", SPACES, SIZED + "; the rest is read-only",
           says="left", quick=True),
    Attack("poisoned_state", "The next task", ALL, SINGLE, quick=True),
    Attack("ipc", "The next task", SPACES, "an ipc namespace for each task", quick=True),
    Attack("stdout_mode", "The next task", ALL, "pipes are made for one task"),
    Attack("stdin_truncate", "The next task", ALL, "a file made for one task"),
    Attack("stdin_map", "The next task", ALL, "a file made for one task", FAILS | ENDS),
)  # fmt: skip
LIES = (
    Attack("fake_results", "Lies", ALL, BYTES, frozenset({"exit_code"}), says="", quick=True),
    Attack("escapes", "Lies", ALL, BYTES, frozenset({"exception"}), says="", quick=True),
    Attack("broken_text", "Lies", ALL, BYTES, frozenset({"exception"}), says=""),
)  # fmt: skip

ATTACKS: tuple[Attack, ...] = NUMBERS + LASTING + FILES + OTHERS + NET + KERNEL + TRACES + LIES
BY_NAME = {attack.name: attack for attack in ATTACKS}
QUICK = tuple(attack.soon() for attack in ATTACKS if attack.quick)
