"""A network of one's own: a namespace with a loopback, and nobody else on it.

For an engine that serves on a TCP port: no other engine has taken it, nothing of the machine is in
reach. As root that is one call; else it takes a user namespace too, and gives up nothing by it: the
files are still its user's. Loaded by a bare interpreter.
"""

from __future__ import annotations

import ctypes
import struct

NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000
_AF_INET, _SOCK_DGRAM = 2, 2
_GET_FLAGS, _SET_FLAGS = 0x8913, 0x8914
"""SIOCGIFFLAGS and SIOCSIFFLAGS of netdevice(7)."""
_IS_UP = 1


def take() -> bool:
    """Move this process, of one thread, to a network of its own; False = the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_NETWORK) != 0 and libc.unshare(NEW_USER | NEW_NETWORK) != 0:
        return False
    return _raise_loopback(libc)


def _raise_loopback(libc: ctypes.CDLL) -> bool:
    """Switch it on, which gives it 127.0.0.1 and ::1."""
    request = ctypes.create_string_buffer(struct.pack("16sH22x", b"lo", 0))
    own = libc.socket(_AF_INET, _SOCK_DGRAM, 0)
    try:
        if libc.ioctl(own, _GET_FLAGS, request) != 0:
            return False
        flags = struct.unpack_from("H", request, 16)[0] | _IS_UP
        struct.pack_into("H", request, 16, flags)
        return bool(libc.ioctl(own, _SET_FLAGS, request) == 0)
    finally:
        libc.close(own)
