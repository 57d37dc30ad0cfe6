# mypy: ignore-errors
"""Calls that let a program into the kernel."""
permitted("io_uring_setup", "io_uring_setup", 8, ctypes.create_string_buffer(120))
permitted("bpf", "bpf", 0, ctypes.create_string_buffer(bytes([2, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0]), 72), 72)
permitted("userfaultfd", "userfaultfd", 1)
permitted("perf_event_open", "perf_event_open", ctypes.create_string_buffer(bytes([1, 0, 0, 0, 112, 0, 0, 0]), 120), 0, -1, -1, 0)
permitted("init_module", "init_module", 0, 0, 0)
permitted("open_by_handle_at", "open_by_handle_at", -1, 0, 0)
permitted("syslog", "syslog", 3, ctypes.create_string_buffer(100), 100)
permitted("swapon", "swapon", b"/nowhere", 0)
permitted("quotactl", "quotactl", 0, 0, 0, 0)
permitted("process_madvise", "process_madvise", -1, 0, 0, 0, 0)
permitted("kcmp", "kcmp", os.getpid(), 1, 0, 0, 0)
