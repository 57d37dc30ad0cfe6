# mypy: ignore-errors
"""Gains rights by programs that have them."""
with open("/proc/self/status") as file:
    status = dict(line.split(":\t", 1) for line in file if ":\t" in line)
bound = status["NoNewPrivs"].strip() == "1"
for folder in ("/usr/bin", "/bin", "/usr/sbin", "/usr/lib/openssh"):
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        path = f"{folder}/{name}"
        try:
            mode = os.stat(path).st_mode
        except OSError:
            continue
        if mode & 0o6000 and not bound and not os.statvfs(path).f_flag & os.ST_NOSUID:
            reached(path, oct(mode))
# Not CapBnd: a user namespace refills it, and no_new_privs leaves nothing that it could bound.
for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
    (stopped if int(status[name], 16) == 0 else reached)(name, status[name].strip())
for label, action in (("setuid", lambda: os.setuid(0)), ("setgid", lambda: os.setgid(0)), ("setgroups", lambda: os.setgroups([0]))):
    def change(action=action):
        before = (os.getuid(), os.getgid(), os.getgroups())
        action()
        if before == (os.getuid(), os.getgid(), os.getgroups()):
            raise OSError("nothing changed")
    alone(label, change)
