"""Another webhook in the cluster, called after ours and once a pod: it does to a pod what the pod's label names."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from injector.certificate.pair import make_pair
from tests.cluster.client import Client, Object
from tests.e2e.processes import HOST

LABEL = "other"
NAME = "zz-other"  # the API server calls by name
KIND = "MutatingWebhookConfiguration"
Change = Callable[[Object], None]


class OtherWebhook:
    def __init__(self, client: Client, folder: Path, changes: dict[str, Change]) -> None:
        pair = make_pair([HOST], datetime.now(UTC), 3600)
        file = folder / "other.pem"
        file.write_text(pair.certificate + pair.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        self._client, self._authority = client, base64.b64encode(pair.authority.encode()).decode()
        self._server = http.server.ThreadingHTTPServer((HOST, 0), make_handler(changes))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        where = {"url": f"https://{HOST}:{self._server.server_port}/", "caBundle": self._authority}
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        webhook = {
            "name": "other.example.local",
            "admissionReviewVersions": ["v1"],
            "clientConfig": where,
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "objectSelector": {"matchExpressions": [{"key": LABEL, "operator": "Exists"}]},
            "rules": [rule],
        }
        group = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": KIND, "metadata": {"name": NAME}}
        self._client.create({**group, "webhooks": [webhook]})
        return self

    def __exit__(self, *exc_info: object) -> None:
        with suppress(OSError):
            self._client.delete(KIND, NAME)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def make_handler(changes: dict[str, Change]) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(answer(asked, changes)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    return Handler


def answer(asked: Object, changes: dict[str, Change]) -> Object:
    pod = asked["request"]["object"]
    changes[pod["metadata"]["labels"][LABEL]](pod)
    patch = [{"op": "replace", "path": f"/{name}", "value": pod[name]} for name in ("metadata", "spec")]
    said = {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
    return {**asked, "request": None, "response": {"uid": asked["request"]["uid"], "allowed": True, **said}}
