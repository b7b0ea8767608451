"""``/metrics`` over HTTP."""

import socket
from contextlib import suppress
from socketserver import ThreadingMixIn
from threading import BoundedSemaphore, Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from monitor.observe.exposition import registry
from monitor.observe.metrics import Metrics

MAX_CLIENTS = 16
"""Connections at one time; what comes beyond is closed."""
PATIENCE = 5
"""Seconds that a client may keep still."""


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE

    def handle(self) -> None:
        with suppress(OSError):  # It kept still, or has gone.
            super().handle()

    def log_message(self, format: str, *values: object) -> None:
        """Nothing is told of requests."""


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each client in a thread of its own, so that none waits for one that keeps still."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[_Handler]) -> None:
        self._places = BoundedSemaphore(MAX_CLIENTS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # There is no thread to be had.
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()


class _Server6(_Server):
    address_family = socket.AF_INET6


class Exporter:
    """``/metrics`` over HTTP, from a thread of its own.

    :raises OSError: the address or port cannot be had.
    """

    def __init__(self, metrics: Metrics, address: str, port: int) -> None:
        self._server = (_Server6 if ":" in address else _Server)((address, port), _Handler)
        self._server.set_app(make_wsgi_app(registry(metrics)))
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port listened on, also where 0 was asked for."""
        return self._server.server_port

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
