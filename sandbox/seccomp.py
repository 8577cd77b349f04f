"""A filter of system calls, for good: the process and all it starts are refused the dangerous ones.

A deny-list in the kernel's classic BPF, built here, so nothing has to be installed. What it refuses
answers EPERM; a call in another instruction set (32-bit, x32) ends the process. Loaded by a bare
interpreter before every job, hence its few imports. Knows no files: see `sandbox.landlock`.
Numbers: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h,
linux/seccomp.h, linux/filter.h. The arm64 column has not been run by us.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

from sandbox.errors import SandboxUnavailable
from sandbox.own_network import NEW_NETWORK, NEW_USER

_EPERM, _ENOSYS = 1, 38
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
"""BPF opcodes: load a word, mask it, three jumps, return."""
_NUMBER, _ARCHITECTURE = 0, 4
_ARGUMENT = (16, 24, 32)
"""Where the low words of the first arguments lie in `struct seccomp_data`, little-endian."""

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Machine -> AUDIT_ARCH value, column of the tables below."""
_X32 = 0x40000000

_REFUSED = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "setns": (308, 268),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "personality": (135, 92),
    "lookup_dcookie": (212, 18),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "sysfs": (139, None),
}
_CHANGES_MODES = {
    "chmod": (90, None),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
}
"""By a path, which Landlock does not mind."""
_CLONE, _CLONE3, _IOCTL, _SOCKET, _CONNECT = (56, 220), (435, 435), (16, 29), (41, 198), (42, 203)
_SOCKETPAIR, _SETSOCKOPT, _UNSHARE = (53, 199), (54, 208), (272, 97)
_REPLACE_TABLES = 64
"""IPT_SO_SET_REPLACE and IP6T_SO_SET_REPLACE, for whoever is root of a network of his own."""
_NEW_NAMESPACES = 0x7E020000 | 0x80
"""CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET and TIME."""
_TYPES_INTO_A_TERMINAL = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX."""
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_NETLINK_ROUTE = 0
_SOCK_TYPE_MASK, _SOCK_DGRAM, _SOCK_RAW = 0xF, 2, 3
"""A raw Unix socket is a datagram one."""
_SECCOMP = (317, 277)
_SET_MODE_FILTER = 1
_PR_SET_NO_NEW_PRIVS = 38


def is_supported() -> bool:
    """Return whether there is a table for this machine's system calls."""
    return sys.platform == "linux" and os.uname().machine in _ARCHITECTURES


def confine(
    *,
    internet: bool,
    connects: bool,
    changes_modes: bool,
    networks: bool = False,
    interfaces: bool = False,
) -> None:
    """Refuse the dangerous calls to this process and all it starts, for good.

    Call it last, before other threads start; it gives up gaining privileges by `exec` too.

    Args:
        internet: whether IPv4 and IPv6 sockets may be made; other families but Unix never.
        connects: whether it may connect to anything; else also no Unix datagrams, which need no
            connection.
        changes_modes: whether it may change the modes and owners of files it names.
        networks: whether it may make a network of its own (`sandbox.own_network`), and with it the
            user namespace that takes; else no namespace at all.
        interfaces: whether it may ask which network interfaces there are, which takes a netlink
            socket; torch asks before it starts.

    Raises:
        SandboxUnavailable: `no_seccomp`, the kernel refuses or the machine has no table here.
    """
    machine = os.uname().machine
    if not is_supported():
        raise SandboxUnavailable(
            f"no filter of system calls for {machine!r}",
            code="no_seccomp",
            hint=f"Known are {', '.join(_ARCHITECTURES)}",
        )
    code = program(
        machine,
        internet=internet,
        connects=connects,
        changes_modes=changes_modes,
        networks=networks,
        interfaces=interfaces,
    )
    _install(code, _SECCOMP[_ARCHITECTURES[machine][1]])


def program(  # each is one permission
    machine: str,
    *,
    internet: bool,
    connects: bool,
    changes_modes: bool,
    networks: bool = False,
    interfaces: bool = False,
) -> bytes:
    """Return the filter as the kernel takes it: 8 bytes an instruction."""
    architecture, column = _ARCHITECTURES[machine]
    code = _jump(_EQUAL, architecture, load=_ARCHITECTURE, unless=_KILL)
    code += _load(_NUMBER)
    if machine == "x86_64":
        code += _jump(_AT_LEAST, _X32, then=_KILL)
    refused = [numbers[column] for numbers in _REFUSED.values()]
    if not connects:
        refused.append(_CONNECT[column])
    if not changes_modes:
        refused += [numbers[column] for numbers in _CHANGES_MODES.values()]
    for number in refused:
        if number is not None:
            code += _jump(_EQUAL, number, then=_ERRNO | _EPERM)
    # its flags lie in memory, where a filter cannot look; libraries then use `clone`
    code += _jump(_EQUAL, _CLONE3[column], then=_ERRNO | _ENOSYS)
    code += _only_for(_CLONE[column], _jump(_ANY_BIT, _NEW_NAMESPACES, load=_ARGUMENT[0], then=1))
    own = (NEW_USER | NEW_NETWORK,) if networks else ()
    code += _only_for(_UNSHARE[column], _one_of(own))
    tables = _jump(_EQUAL, _REPLACE_TABLES, load=_ARGUMENT[2], then=1)
    code += _only_for(_SETSOCKOPT[column], tables)
    for request in _TYPES_INTO_A_TERMINAL:
        code += _only_for(_IOCTL[column], _jump(_EQUAL, request, load=_ARGUMENT[1], then=1))
    families = (_AF_UNIX, *((_AF_INET, _AF_INET6) if internet else ()))
    families += (_AF_NETLINK,) if interfaces else ()
    code += _only_for(_SOCKET[column], _one_of(families))
    if interfaces:
        code += _only_for(_SOCKET[column], _netlink_route_only())
    if not connects:
        tests = _load(_ARGUMENT[1]) + _instruction(_AND, _SOCK_TYPE_MASK)
        tests += _jump(_EQUAL, _SOCK_DGRAM, then=1) + _jump(_EQUAL, _SOCK_RAW, then=1)
        code += _only_for(_SOCKET[column], tests) + _only_for(_SOCKETPAIR[column], tests)
    return code + _instruction(_RETURN, _ALLOW)


def _instruction(opcode: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("<HBBI", opcode, then, otherwise, value)


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, offset)


def _jump(
    test: int, value: int, *, load: int | None = None, then: int = 0, unless: int = 0
) -> bytes:
    """Return "if the test holds return `then`" or "... return `unless`"; 1 stands for EPERM."""
    answer = _ERRNO | _EPERM if then == 1 else then or unless
    skips = (0, 1) if then else (1, 0)
    start = _load(load) if load is not None else b""
    return start + _instruction(test, value, *skips) + _instruction(_RETURN, answer)


def _one_of(values: tuple[int, ...]) -> bytes:
    """Return "refuse unless the first argument is one of `values`"."""
    code = _load(_ARGUMENT[0])
    for place, value in enumerate(values):
        code += _instruction(_EQUAL, value, len(values) - place, 0)
    return code + _instruction(_RETURN, _ERRNO | _EPERM)


def _netlink_route_only() -> bytes:
    """Return "refuse a netlink socket of any protocol but 0", which tells of interfaces."""
    refused = _jump(_EQUAL, _NETLINK_ROUTE, load=_ARGUMENT[2], unless=_ERRNO | _EPERM)
    family = _load(_ARGUMENT[0])
    return family + _instruction(_EQUAL, _AF_NETLINK, 0, len(refused) // 8) + refused


def _only_for(number: int, body: bytes) -> bytes:
    """Return `body` for one system call; the number is loaded again for what follows."""
    whole = body + _load(_NUMBER)
    return _instruction(_EQUAL, number, 0, len(whole) // 8) + whole


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _install(code: bytes, number: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    wanted = _Program(len(code) // 8, code)
    if (
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
        or libc.syscall(number, _SET_MODE_FILTER, 0, ctypes.byref(wanted)) != 0
    ):
        raise SandboxUnavailable(
            f"the kernel takes no filter of system calls: {os.strerror(ctypes.get_errno())}",
            code="no_seccomp",
            hint="Use a kernel with CONFIG_SECCOMP_FILTER, in a container that lets it through",
        )
