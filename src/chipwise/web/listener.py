"""Sockets that listen: an address that is had for oneself, and an end to new connections before the last are taken.

>>> with bound("127.0.0.1", 0) as listener:
...     listener.getsockname()[0]
'127.0.0.1'
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys

from chipwise.core.errors import MachineError

_SO_ATTACH_FILTER = 26
_LOAD_BYTE, _JUMP_IF_SET, _RETURN = 0x30, 0x45, 0x06  # of the filter's machine (linux/bpf_common.h)
_FLAGS_AT, _SYN, _ALL = 13, 0x02, 0xFFFFFFFF
_NO_SYN = ((_LOAD_BYTE, 0, 0, _FLAGS_AT), (_JUMP_IF_SET, 0, 1, _SYN), (_RETURN, 0, 0, 0), (_RETURN, 0, 0, _ALL))


def bound(host: str, port: int) -> socket.socket:
    """A socket that has the address for itself, and does not listen yet.

    Args:
        host: an address of this machine, or a name of one.
        port: 0 for any that is free.

    Raises:
        MachineError: it is taken, or the address is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with contextlib.ExitStack() as failed:
            listener = failed.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            failed.pop_all()
    except OSError as error:
        reason = error.strerror or str(error)
        raise MachineError(f"cannot listen on {host} port {port}: {reason}", hint="name another --port") from error
    return listener


def hear_no_more(listener: socket.socket) -> None:
    """Have the system pass over new connections, where it can; those that are being made go on.

    A socket filter that lets no packet with the flag SYN through: Linux, socket(7), SO_ATTACH_FILTER.
    """
    if sys.platform != "linux":
        return
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in _NO_SYN))
    with contextlib.suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(_NO_SYN), ctypes.addressof(code))
        )
