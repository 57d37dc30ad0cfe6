# mypy: ignore-errors
"""Reads the machine's files by path."""
for path in (
    os.environ.get("HOST_FILE", "/etc/shadow"), "/etc/shadow", "/etc/hostname", "/root/.bashrc", "/home", "/root",
    "/proc/1/environ", "/proc/1/cwd/", "/proc/1/maps", "/proc/kcore", "/proc/kmsg", "/proc/config.gz",
    "/sys/kernel", "/sys/class/net", "/sys/fs/cgroup", "/var/log", "/run/secrets", "/tmp/../root", "/dev/mem",
    "/dev/kmsg", "/dev/vda", "/dev/kvm", "/dev/fuse", "/lost+found",
):
    def look(path=path):
        return os.listdir(path) or 1 / 0 if os.path.isdir(path) else read(path) or 1 / 0
    try:
        attempt(path, look)
    except ZeroDivisionError:
        stopped(path, "is empty")
