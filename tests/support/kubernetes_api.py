"""A Kubernetes API server that takes every object and starts nothing: what a client asks of it can be looked at."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["KubernetesApi", "running_kubernetes_api"]


@dataclass(slots=True)
class KubernetesApi:
    """``created`` has each object that was posted, with the path it was posted to."""

    url: str = ""
    created: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def pods(self) -> list[tuple[str, dict[str, Any]]]:
        return [(path, body) for path, body in self.created if body.get("kind") == "Pod"]

    def await_pod(self, seconds: float) -> tuple[str, dict[str, Any]] | None:
        """Give path and body of the first pod, None where none comes in time."""
        with self.changed:
            self.changed.wait_for(self.pods, timeout=seconds)
        return next(iter(self.pods()), None)


class _Server(ThreadingHTTPServer):
    """Serve one ``KubernetesApi``; watches last until ``ended``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = KubernetesApi(url=f"http://127.0.0.1:{self.server_port}")
        self.ended = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if "watch" in parse_qs(parts.query):
            self._watch()
            return
        kind = parts.path.rpartition("/")[2].removesuffix("s").capitalize()
        self._answer({"kind": f"{kind}List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []})

    def do_POST(self) -> None:
        api = self.server.api
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body.setdefault("metadata", {})["uid"] = f"uid-{len(api.created)}"
        with api.changed:
            api.created.append((urlsplit(self.path).path, body))
            api.changed.notify_all()
        self._answer(body, code=201)

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Stay quiet."""

    def _watch(self) -> None:
        """Refuse the web socket, as a proxy may; tell of no event over plain HTTP."""
        if self.headers.get("Upgrade"):
            self._answer({}, code=503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        self.server.ended.wait(120)
        self.close_connection = True

    def _answer(self, body: dict[str, Any], code: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def running_kubernetes_api() -> Iterator[KubernetesApi]:
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.api
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
