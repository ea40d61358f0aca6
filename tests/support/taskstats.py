"""What the kernel's delay accounting says of a process, asked for by the test itself.

Nothing here comes from the package under test.
"""

import ctypes
import socket
import struct

NETLINK_GENERIC = 16
ERROR = 2


def layout(*between: str) -> type[ctypes.Structure]:
    """struct taskstats up to the delays of compaction (include/uapi/linux/taskstats.h).

    Version 15 has more `between` a delay's total and what follows; before and after it there is nothing there.
    """

    def delay(*names: str) -> list[tuple[str, type]]:
        return [(f"{name}_{part}", ctypes.c_uint64) for name in names for part in ("count", "delay_total", *between)]

    class Stats(ctypes.Structure):
        _fields_ = [
            ("version", ctypes.c_uint16),
            ("ac_exitcode", ctypes.c_uint32),
            ("ac_flag", ctypes.c_uint8),
            ("ac_nice", ctypes.c_uint8),
            *delay("cpu", "blkio", "swapin"),
            *((f"cpu_run_{kind}_total", ctypes.c_uint64) for kind in ("real", "virtual")),
            ("ac_comm", ctypes.c_char * 32),
            ("ac_sched", ctypes.c_uint64),
            *((f"ac_{name}", ctypes.c_uint32) for name in ("uid", "gid", "pid", "ppid", "btime")),
            *((f"accounting_{number}", ctypes.c_uint64) for number in range(21)),
            *delay("freepages", "thrashing"),
            ("ac_btime64", ctypes.c_uint64),
            *delay("compact"),
        ]

    return Stats


def ask(family: int, command: int, attribute: int, value: bytes) -> bytes:
    """One request over generic netlink, and the message that answers it. OSError with the kernel's refusal."""
    value += b"\0" * (-len(value) % 4)
    body = struct.pack("=BBHHH", command, 1, 0, 4 + len(value), attribute) + value
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as netlink:
        netlink.send(struct.pack("=IHHII", 16 + len(body), family, 1, 1, 0) + body)
        answer = netlink.recv(1 << 16)
    if struct.unpack_from("=H", answer, 4)[0] == ERROR:
        number = -struct.unpack_from("=i", answer, 16)[0]
        raise OSError(number, "taskstats")
    return answer


def answer(tgid: int) -> bytes:
    """What the kernel answers when it is asked for a thread group. OSError without CAP_NET_ADMIN."""
    controller = ask(16, 3, 2, b"TASKSTATS\0")
    # The name comes first, padded to 12 bytes, then the family's number.
    (family,) = struct.unpack_from("=H", controller, 20 + 4 + 12 + 4)
    return ask(family, 1, 2, struct.pack("=I", tgid))


def delays(tgid: int) -> dict[str, float]:
    """The seconds that a thread group has waited for memory, by the exporter's words for the causes."""
    # Behind the headers: the aggregate, the thread group's number, and the struct's own header.
    stats = layout().from_buffer_copy(answer(tgid), 20 + 4 + 8 + 4)
    words = {"swapin": "swapin", "reclaim": "freepages", "thrashing": "thrashing", "compaction": "compact"}
    return {cause: getattr(stats, f"{delay}_delay_total") / 1e9 for cause, delay in words.items()}
