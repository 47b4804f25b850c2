"""Serves a folder on this computer alone, to pages that may use threads."""

import functools
import http.server
from pathlib import Path

_ADDRESS, _PORT = "127.0.0.1", 8000
_HEADERS = {
    # An isolated page may share memory between threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Prints nothing: a request is no news."""


def server_of(folder: Path) -> http.server.ThreadingHTTPServer:
    """Returns a server of a folder on loopback, at port 8000 or, if that is taken, at any other.

    Its `server_address` says where; `serve_forever` starts it.
    """
    handler = functools.partial(_Handler, directory=str(folder))
    try:
        return http.server.ThreadingHTTPServer((_ADDRESS, _PORT), handler)
    except OSError:
        return http.server.ThreadingHTTPServer((_ADDRESS, 0), handler)
