"""Forwards one connection between QEMU's user network and a socket file of the cloud, where namespaces cannot be made.

QEMU starts it once per connection, with the guest's side as standard input and output. It imports as little as possible,
because it starts for each request of a guest.
"""

import os
import socket
import sys
import threading

_CHUNK = 256 * 1024


def main() -> None:
    """Copy standard input to the socket and the socket to standard output, until both ends close.

    argv[2] is the directory, argv[3] the name of the socket file in it.
    """
    # Connect by a relative path, because the path of a Unix socket may have only 107 bytes.
    os.chdir(sys.argv[2])
    cloud = socket.socket(socket.AF_UNIX)
    cloud.connect(sys.argv[3])
    back = threading.Thread(target=_copy_to_guest, args=(cloud,), daemon=True)
    back.start()
    while data := os.read(0, _CHUNK):
        cloud.sendall(data)
    cloud.shutdown(socket.SHUT_WR)
    back.join()


def _copy_to_guest(cloud: socket.socket) -> None:
    while data := cloud.recv(_CHUNK):
        while data:
            data = data[os.write(1, data) :]
    os._exit(0)
