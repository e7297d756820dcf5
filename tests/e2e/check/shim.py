"""The same API server with another version or clock: a server before it that forwards, and changes just that."""

from __future__ import annotations

import json
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time
from typing import Any, Self

from tests.cluster.client import ApiError, Client


class Shim:
    """`with Shim(client) as shim:`; `version` is merged into what the server says, `ahead_s` moves its clock."""

    def __init__(self, client: Client) -> None:
        self.version: dict[str, str] = {}
        self.ahead_s = 0.0
        shim = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.forward(None)

            def do_POST(self) -> None:
                self.forward(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def forward(self, body: object) -> None:
                try:
                    status, answer = 200, client.request(self.command, self.path, body)
                except ApiError as error:
                    status, answer = error.status, {"kind": "Status", "message": str(error)}
                finally:
                    client.close()  # this thread's connection, as the thread ends with the request
                if self.path.startswith("/version"):
                    answer |= shim.version
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return formatdate((timestamp or time()) + shim.ahead_s, usegmt=True)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def write_kubeconfig(self, path: Path) -> Path:
        """Without credentials: the shim has those of its client."""
        server = f"http://127.0.0.1:{self._server.server_address[1]}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "shim", "cluster": {"server": server}}],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "shim", "context": {"cluster": "shim", "user": "nobody"}}],
            "current-context": "shim",
        }
        path.write_text(json.dumps(config))
        return path
