"""ports: free ports on loopback, for servers that are started a moment later."""
import contextlib
import random
import socket


def free_port():
    """Of those that no outgoing connection takes before the server is there: the kernel gives these from 32768 on."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
