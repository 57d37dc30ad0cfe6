"""Where a process's own groups are, by what real systems say in /proc."""

from __future__ import annotations

import pytest

from runyard.worker.sandbox.cgroups import where
from runyard.worker.sandbox.cgroups.where import CORE, Base

HYBRID = """\
9:name=systemd:/
8:pids:/
6:freezer:/
4:memory:/process_api/5804d278
2:cpuacct:/
1:cpu:/
0::/
"""
HYBRID_MOUNTS = """\
23 1 254:0 / / rw,relatime - ext4 /dev/root rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
38 31 0:35 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
# CentOS 7 and Debian 10: cpu and cpuacct together, under a name that is a link elsewhere.
TOGETHER = """\
11:memory:/user.slice
4:cpu,cpuacct:/user.slice
3:pids:/user.slice/user-1000.slice/session-2.scope
1:name=systemd:/user.slice/user-1000.slice/session-2.scope
"""
TOGETHER_MOUNTS = """\
25 20 0:21 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
29 25 0:25 / /sys/fs/cgroup/memory rw,nosuid,nodev shared:13 - cgroup cgroup rw,memory
30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:14 - cgroup cgroup rw,cpu,cpuacct
31 25 0:27 / /sys/fs/cgroup/pids rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,pids
"""
V2_MOUNT = (
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
)
DELEGATED = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/runyard.service\n"
DOCKER = "0::/\n"
DOCKER_MOUNT = (
    "1035 1034 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw\n"
)
POD = "0::/kubepods.slice/kubepods-burstable.slice/kubepods-pod1.slice/cri-containerd-2.scope\n"
POD_MOUNT = DOCKER_MOUNT
# Version 1 in a container without a cgroup namespace: the mount shows the container's own group.
DOCKER_V1 = "4:memory:/docker/ab12\n3:pids:/docker/ab12\n2:cpu,cpuacct:/docker/ab12\n"
DOCKER_V1_MOUNTS = """\
700 690 0:32 /docker/ab12 /sys/fs/cgroup/memory rw,nosuid master:17 - cgroup cgroup rw,memory
701 690 0:36 /docker/ab12 /sys/fs/cgroup/pids ro,nosuid master:18 - cgroup cgroup rw,pids
702 690 0:29 /docker/ab12 /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
"""
ALL = "cpuset cpu io memory hugetlb pids rdma misc\n"


def found(cgroup: str, mountinfo: str, unified: str = "") -> tuple[Base, dict[str, str]]:
    return where.choose(where.own(cgroup, mountinfo), unified)


def test_a_hybrid_system_has_its_controllers_in_version_1() -> None:
    base, why_not = found(HYBRID, HYBRID_MOUNTS, "hugetlb\n")
    assert base == Base(1, {
        "memory": "/sys/fs/cgroup/memory/process_api/5804d278", "pids": "/sys/fs/cgroup/pids",
        "cpu": "/sys/fs/cgroup/cpu", "cpuacct": "/sys/fs/cgroup/cpuacct",
        "freezer": "/sys/fs/cgroup/freezer",
    })  # fmt: skip
    assert not why_not


def test_controllers_that_are_mounted_together_share_a_folder() -> None:
    base, _ = found(TOGETHER, TOGETHER_MOUNTS)
    assert base.folders["cpu"] == base.folders["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct/user.slice"
    assert base.folders["pids"].endswith("/user-1000.slice/session-2.scope")


def test_a_delegated_unit_has_one_folder_for_all() -> None:
    base, why_not = found(DELEGATED, V2_MOUNT, "cpu memory pids\n")
    folder = "/sys/fs/cgroup" + DELEGATED[3:].strip()
    assert base == Base(2, dict.fromkeys((CORE, "memory", "pids", "cpu"), folder))
    assert not why_not


def test_what_is_not_delegated_is_named() -> None:
    base, why_not = found(DELEGATED, V2_MOUNT, "memory pids\n")
    assert "cpu" not in base.folders
    assert "cgroup.controllers does not list cpu" in why_not["cpu"]


def test_a_container_with_a_namespace_of_its_own_begins_at_its_mounts_root() -> None:
    base, _ = found(DOCKER, DOCKER_MOUNT.replace(" ro,", " rw,"), ALL)
    assert base.folders["memory"] == "/sys/fs/cgroup"


@pytest.mark.parametrize(("cgroup", "mount"), [(DOCKER, DOCKER_MOUNT), (POD, POD_MOUNT)])
def test_a_mount_that_is_read_only_is_said(cgroup: str, mount: str) -> None:
    base, why_not = found(cgroup, mount)
    assert base == Base(1, {})
    assert set(why_not) == {"memory", "pids", "cpu"}
    assert set(why_not.values()) == {"/sys/fs/cgroup is mounted read-only"}


def test_a_group_outside_of_the_namespace_is_not_reached() -> None:
    base, why_not = found("0::/../../system.slice/x.service\n", V2_MOUNT, ALL)
    assert not base.folders
    assert "lies outside of /sys/fs/cgroup" in why_not["memory"]


def test_the_part_of_a_mount_that_is_a_containers_own_is_taken_off() -> None:
    base, why_not = found(DOCKER_V1, DOCKER_V1_MOUNTS)
    assert base.folders["memory"] == "/sys/fs/cgroup/memory"
    assert why_not == {"pids": "/sys/fs/cgroup/pids is mounted read-only"}


def test_a_neighbour_whose_name_begins_alike_is_outside() -> None:
    mount = where.mounts(DOCKER_V1_MOUNTS)[0]
    assert where.folder(mount, "/docker/ab12/x") == "/sys/fs/cgroup/memory/x"
    assert where.folder(mount, "/docker/ab123") is None


def test_nothing_mounted_or_nothing_said_is_no_error() -> None:
    assert found("", "")[0] == Base(1, {})
    base, why_not = found(HYBRID, "23 1 254:0 / / rw - ext4 /dev/root rw\ngarbage\n\n")
    assert not base.folders
    assert why_not["memory"] == "its hierarchy is not mounted here"


def test_the_last_mount_at_a_place_counts_whatever_it_is() -> None:
    over = "99 30 0:99 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    assert not where.mounts(V2_MOUNT + over)
    assert where.mounts(over + V2_MOUNT)[0].version == 2


def test_blanks_in_mount_points_are_read() -> None:
    text = r"30 23 0:26 / /mnt/my\040groups\134x rw - cgroup2 none rw" + "\n"
    assert where.mounts(text)[0].point == "/mnt/my groups\\x"


def test_a_name_that_looks_like_another_line_is_one_name() -> None:
    odd = "50 23 0:9 / /home/x\x0b\x85y rw - fuse fuse rw\n"
    assert [mount.point for mount in where.mounts(odd + V2_MOUNT)] == ["/sys/fs/cgroup"]
    assert where.memberships("0::/a\x0bb\n") == [((), "/a\x0bb")]


def test_a_base_can_be_narrowed() -> None:
    base = Base(2, {CORE: "/x", "memory": "/x", "cpu": "/x"})
    assert base.only("cpu") == Base(2, {CORE: "/x", "cpu": "/x"})
