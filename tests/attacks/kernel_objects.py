# mypy: ignore-errors
"""Exhausts inotify, epoll, timers, eventfds: what belongs to a user, not to a process."""
import select
counts = {}
def take(label, make, most):
    held = []
    try:
        while len(held) < most:
            held.append(make())
    except (OSError, ValueError) as error:
        counts[label] = (len(held), str(error))
    else:
        counts[label] = (len(held), "no end")
    for each in held:
        if isinstance(each, int):
            os.close(each)
        elif hasattr(each, "close"):
            each.close()
take("inotify", lambda: checked(libc.inotify_init1(0)), 20_000)
take("epoll", select.epoll, 20_000)
take("eventfd", lambda: checked(libc.eventfd(0, 0)), 20_000)
take("timerfd", lambda: checked(libc.timerfd_create(1, 0)), 20_000)
for label, (number, why) in counts.items():
    (reached if why == "no end" else stopped)(label, number, why)
