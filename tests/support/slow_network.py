"""A TCP proxy that delays, holds up and cuts what goes through it, as a bad network does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["SlowNetwork", "slow_network"]


@dataclass(slots=True)
class SlowNetwork:
    """Delays each piece of data by ``delay`` seconds each way; ``cut_after`` ends an answer after so many bytes."""

    port: int
    delay: float = 0.0
    cut_after: int | None = None
    connections: int = 0

    @property
    def host_port(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def slow_network(target_port: int) -> Iterator[SlowNetwork]:
    """Forward a port of this machine to another."""
    listener = socket.create_server(("127.0.0.1", 0))
    network = SlowNetwork(port=listener.getsockname()[1])
    opened: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            network.connections += 1
            server = socket.create_connection(("127.0.0.1", target_port))
            opened.extend((client, server))
            for source, sink, is_answer in ((client, server, False), (server, client, True)):
                threading.Thread(target=_forward, args=(network, source, sink, is_answer), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield network
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in opened:
            connection.close()


def _forward(network: SlowNetwork, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
    try:
        while data := source.recv(1 << 16):
            time.sleep(network.delay)
            if is_answer and network.cut_after is not None:
                sink.sendall(data[: network.cut_after])
                break
            sink.sendall(data)
    except OSError:
        pass
    for connection in (source, sink):
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue
