# mypy: ignore-errors
"""Maps its stdin, for writing and reading, and shrinks it beneath."""
import mmap
for label, access in (("shared", mmap.MAP_SHARED), ("private", mmap.MAP_PRIVATE)):
    for rights in (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE):
        def change(access=access, rights=rights):
            area = mmap.mmap(0, 4096, flags=access, prot=rights)
            if rights & mmap.PROT_WRITE:
                area[:] = b"\xff" * 4096
            os.ftruncate(0, 0)
            return area[0]
        pid = os.fork()
        if pid == 0:
            try:
                say(label, change())
            except (OSError, ValueError) as error:
                stopped(label, error)
            os._exit(0)
        say(label, "ended with", os.waitpid(pid, 0)[1])
