# mypy: ignore-errors
"""Leaves SysV memory, semaphores, messages and POSIX queues, which outlive processes."""
class Gone(OSError):
    pass
def shm():
    return checked(libc.shmget(0x5259, 1 << 20, 0o1666))
def sem():
    return checked(libc.semget(0x5259, 1, 0o1666))
def msg():
    return checked(libc.msgget(0x5259, 0o1666))
for label, make in (("shm", shm), ("sem", sem), ("msg", msg)):
    try:
        say("left", label, make())
    except OSError as error:
        stopped(label, error)
try:
    say("left queue", call("mq_open", b"ry_left", os.O_CREAT | os.O_RDWR, 0o666, 0))
except OSError as error:
    stopped("queue", error)
