# mypy: ignore-errors
"""System calls by other doors of the processor: int 0x80, x32 numbers, vsyscall."""
import mmap
if platform.machine() == "x86_64":
    def machine_code(code):
        area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        area.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(area))
        result = ctypes.CFUNCTYPE(ctypes.c_long)(address)()
        if result < 0 and result > -4096:
            raise OSError(-result, os.strerror(-result))
        return result & 0xFFFFFFFF
    def old_door(number, *args):
        # push rbx; mov eax, n; mov ebx, a; mov ecx, b; int 0x80; cdqe; pop rbx; ret
        a, b = (*args, 0, 0)[:2]
        parts = b"\x53\xb8" + number.to_bytes(4, "little") + b"\xbb" + a.to_bytes(4, "little") + b"\xb9" + b.to_bytes(4, "little")
        return machine_code(parts + b"\xcd\x80\x48\x98\x5b\xc3")
    def x32(number, *args):
        # mov eax, n; mov edi, a; syscall; ret
        a = (*args, 0)[0]
        return machine_code(b"\xb8" + (number | 0x40000000).to_bytes(4, "little") + b"\xbf" + a.to_bytes(4, "little") + b"\x0f\x05\xc3")
    alone("int 0x80 getpid", old_door, 20)
    alone("int 0x80 unshare user", old_door, 310, 0x10000000)
    alone("int 0x80 keyctl", old_door, 288, 0, 0xFFFFFFFD)
    alone("x32 getpid", x32, 39)
    alone("x32 unshare user", x32, 272, 0x10000000)
else:
    stopped("no other door on", platform.machine())
