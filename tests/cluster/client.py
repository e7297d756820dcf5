"""A small blocking client of the Kubernetes API for tests: plain JSON objects in and out, kinds by their name.

A kind is given as `Service`, or where several groups have it as `gateway.networking.k8s.io/HTTPRoute` (any version) or
`apps/v1/Deployment`. It is looked up in what the server says it has, so that CRDs need nothing more.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import yaml

Object = dict[str, Any]
Objects = list[Object]  # inside Client, `list` is a method
JSON, APPLY, MERGE, STRATEGIC = (
    "application/json",
    "application/apply-patch+yaml",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
TIMEOUT_S = 30.0


class ApiError(Exception):
    """The API server said no; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Resource(NamedTuple):
    """Where the objects of one kind lie."""

    group: str
    version: str
    kind: str
    plural: str
    is_namespaced: bool

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.is_namespaced and namespace else ""
        tail = "".join(f"/{quote(part)}" for part in (name, subresource) if part)
        return f"{root}{scope}/{self.plural}{tail}"


def read_discovery(answer: Object) -> Iterator[Resource]:
    """The kinds of one answer to aggregated discovery, preferred versions first."""
    for group in answer["items"]:
        for version in group["versions"]:
            for found in version.get("resources", []):
                kind, scope = found["responseKind"]["kind"], found["scope"]
                name = group["metadata"].get("name", "")
                yield Resource(name, version["version"], kind, found["resource"], scope == "Namespaced")


def load_objects(source: str | Path | Object | Sequence[Object]) -> list[Object]:
    """The objects of YAML text, a file, or of what is already one or several."""
    if isinstance(source, Path):
        source = source.read_text()
    if isinstance(source, str):
        return [found for found in yaml.safe_load_all(source) if found]
    return [source] if isinstance(source, dict) else list(source)


class Client:
    """In the name of a kubeconfig's user. Any thread may use it; each has its own connection, of the given class."""

    def __init__(
        self, kubeconfig: Path, connection: type[http.client.HTTPSConnection] = http.client.HTTPSConnection
    ) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server = urlsplit(cluster["server"])
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._context = ssl.create_default_context(cadata=authority)
        self._headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        if "client-key-data" in user:
            self._load_certificate(user)
        self._connection, self._local, self._resources = connection, threading.local(), dict[str, Resource]()

    def _load_certificate(self, user: Mapping[str, str]) -> None:
        with tempfile.NamedTemporaryFile() as file:  # ssl takes files alone
            file.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
            file.flush()
            self._context.load_cert_chain(file.name)

    # Requests

    def request(self, method: str, path: str, body: object = None, content_type: str = JSON, accept: str = JSON) -> Any:
        """What the server answers, decoded; an ApiError for what is not 2xx, an OSError when it cannot be asked."""
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers | {"Accept": accept, "Content-Type": content_type}
        status, text = self._exchange(method, path, data, headers)
        if status >= 300:
            raise ApiError(status, read_message(text))
        return json.loads(text) if text[:1] in (b"{", b"[") else text.decode()

    def _exchange(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """On the connection of this thread; if that was closed since the last time, on a new one."""
        connection: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        is_used = connection is not None
        if connection is None:
            host, port = self.server.hostname or "", self.server.port
            connection = self._local.connection = self._connection(host, port, timeout=TIMEOUT_S, context=self._context)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if is_used and isinstance(error, ConnectionError | ssl.SSLEOFError | http.client.RemoteDisconnected):
                return self._exchange(method, path, data, headers)
            raise ConnectionError(f"{method} {path}: {error!r}") from error

    def close(self) -> None:
        """Close this thread's connection; the next request opens another."""
        connection = self._local.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def is_ready(self) -> bool:
        try:
            return bool(self.request("GET", "/readyz") == "ok")
        except (ApiError, OSError):
            return False

    def resource(self, kind: str) -> Resource:
        """What the server knows about a kind."""
        if kind not in self._resources:
            self._discover()
        if kind not in self._resources:
            raise KeyError(f"the API server has no kind {kind}")
        return self._resources[kind]

    def _discover(self) -> None:
        for path in ("/api", "/apis"):
            for found in read_discovery(self.request("GET", path, accept=DISCOVERY)):
                for name in (found.kind, f"{found.group}/{found.kind}", f"{found.api_version}/{found.kind}"):
                    self._resources.setdefault(name, found)

    # Objects

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object:
        return dict(self.request("GET", self.resource(kind).path(namespace, name)))

    def find(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """The object, or None."""
        try:
            return self.get(kind, name, namespace)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: str, namespace: str | None = None, **query: str) -> Objects:
        """All objects; `labelSelector="app=voting"` and the like narrow it."""
        path = self.resource(kind).path(namespace) + (f"?{urlencode(query)}" if query else "")
        found: Objects = self.request("GET", path)["items"]
        return found

    def create(self, body: Object, namespace: str | None = None) -> Object:
        resource, namespace, _ = self._place(body, namespace)
        return dict(self.request("POST", resource.path(namespace), body))

    def update(self, body: Object, subresource: str | None = None) -> Object:
        """Replace it (PUT): with its resourceVersion only if nobody else has changed it meanwhile."""
        resource, namespace, name = self._place(body, None)
        return dict(self.request("PUT", resource.path(namespace, name, subresource), body))

    def apply(self, source: str | Path | Object | Sequence[Object], namespace: str | None = None) -> Objects:
        """Create or change objects, given as YAML text, a file or values, as `kubectl apply --server-side` does."""
        return [self._apply(body, namespace) for body in load_objects(source)]

    def _apply(self, body: Object, namespace: str | None) -> Object:
        resource, namespace, name = self._place(body, namespace)
        path = resource.path(namespace, name) + "?fieldManager=tests&force=true"
        return dict(self.request("PATCH", path, body, content_type=APPLY))

    def patch(
        self, kind: str, name: str, body: Object, namespace: str | None = None, subresource: str | None = None
    ) -> Object:
        """Merge `body` into the object; None as a value removes a field. `subresource="status"` for its status."""
        path = self.resource(kind).path(namespace, name, subresource)
        return dict(self.request("PATCH", path, body, content_type=MERGE))

    def delete(self, kind: str, name: str, namespace: str | None = None, grace_s: int | None = None) -> None:
        """Ask for its deletion; it is gone when its grace period and its finalizers are."""
        body = None if grace_s is None else {"gracePeriodSeconds": grace_s}
        self.request("DELETE", self.resource(kind).path(namespace, name), body)

    def _place(self, body: Object, namespace: str | None) -> tuple[Resource, str | None, str]:
        resource = self.resource(f"{body['apiVersion']}/{body['kind']}")
        metadata = body["metadata"]
        return resource, metadata.get("namespace", namespace or "default"), metadata.get("name", "")

    def issue_token(self, account: str, namespace: str, audiences: Sequence[str] = ()) -> str:
        """A token of a ServiceAccount, for an hour."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": list(audiences), "expirationSeconds": 3600},
        }
        path = self.resource("ServiceAccount").path(namespace, account, "token")
        return str(self.request("POST", path, body)["status"]["token"])


def read_message(text: bytes) -> str:
    """What a Status object says, or whatever it was that came instead."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.decode(errors="replace")


def wait_until(is_met: Callable[[], object], what: str, within_s: float = 90.0, every_s: float = 0.05) -> None:
    """Return when it is met; a TimeoutError names `what` was waited for."""
    deadline = time.monotonic() + within_s
    while not is_met():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s:.0f} s: {what}")
        time.sleep(every_s)
