"""The certificate in a real cluster: made, agreed on, renewed, put back, and refused with a sentence."""

from __future__ import annotations

import base64
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from injector.certificate.store import OURS
from mesh.install.builder import write
from tests.cluster.api_server import ApiServer
from tests.cluster.client import Client, wait_until
from tests.e2e.injector.process import PATIENCE_S, Injector
from tests.e2e.injector.stage import KIND, NAME, Stage, has_sidecar, make_pod
from tests.e2e.processes import HOST, eventually
from tests.unit.injector.certificate.issuing import Issuer, make_data

SHORT = ("--certificate-lifetime", "10s")  # a rotation every 8 seconds
ROTATIONS = "injector_certificate_rotations_total"


def test_replicas_that_start_at_once_agree(stage: Stage) -> None:
    stage.configure()
    with ExitStack() as stack:
        replicas = [stack.enter_context(stage.start(port=0)) for _ in range(3)]
        for replica in replicas:
            replica.wait_ready()
        (bundle,) = {*stage.bundles()}
        assert len({replica.handshake(bundle) for replica in replicas}) == 1
        assert bundle.count("BEGIN CERTIFICATE") == 1
        (version,) = {stage.secret()["metadata"]["resourceVersion"]}
    with stage.start(port=0) as later:
        later.wait_ready()
    assert stage.secret()["metadata"]["resourceVersion"] == version
    assert stage.bundles()[0] == bundle


@contextmanager
def watching(stage: Stage, replicas: list[Injector]) -> Iterator[list[str]]:
    """Meanwhile, be an API server that hears late: each certificate must be trusted by a caBundle read before."""
    faults: list[str] = []
    done = threading.Event()
    client = Client(stage.api.kubeconfig)

    def watch() -> None:
        while not done.is_set():
            webhooks = client.get(KIND, stage.name)["webhooks"]
            bundles = {base64.b64decode(webhook["clientConfig"].get("caBundle", "")).decode() for webhook in webhooks}
            time.sleep(0.1)  # how late it hears
            for replica in replicas:
                try:
                    for bundle in bundles:
                        replica.handshake(bundle)
                except OSError as error:
                    faults.append(f"{replica.port}: {error}")
        client.close()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield faults
    finally:
        done.set()
        thread.join()


@contextmanager
def rotating(api: ApiServer, policy: str) -> Iterator[tuple[Stage, str, list[Injector]]]:
    """An installation with two replicas, of which the API server calls the first, and its one meshed namespace."""
    stage = Stage(api, {"injector.failurePolicy": policy}, f"{NAME}-{policy.lower()}")
    try:
        namespace = stage.make_namespace()
        stage.configure(only=namespace)
        with stage.start(*SHORT) as called, stage.start(*SHORT, port=0) as other:
            replicas = [called.wait_ready(), other.wait_ready()]
            with watching(stage, replicas) as faults:
                yield stage, namespace, replicas
            assert faults == []
    finally:
        stage.close()


def test_500_pods_during_two_rotations_under_both_failure_policies(api_server: ApiServer) -> None:
    with rotating(api_server, "Ignore") as ignoring, rotating(api_server, "Fail") as failing:
        replicas = [*ignoring[2], *failing[2]]
        before, count = [replica.metric(ROTATIONS) for replica in replicas], 0
        while count < 500 or not all(
            replica.metric(ROTATIONS) >= start + 2 for replica, start in zip(replicas, before, strict=True)
        ):
            for stage, namespace, _ in (ignoring, failing):
                assert has_sidecar(stage.client.create(make_pod(f"voter-{count}"), namespace))
            count += 1
        for stage, namespace, _ in (ignoring, failing):
            pods = stage.client.list("Pod", namespace)
            assert len(pods) == count
            assert all(map(has_sidecar, pods))


def test_the_ca_bundle_is_kept_in_force(stage: Stage) -> None:
    """`kubectl apply` of the manifest, which has none, keeps it; what empties it all the same is mended."""
    stage.kubectl("apply", "-f", "-", text=write([stage.manifest()]))
    with stage.start(*SHORT) as injector:
        injector.wait_ready()
        before = stage.bundles()
        assert "unchanged" in stage.kubectl("apply", "-f", "-", text=write([stage.manifest()]))
        changed = stage.manifest()
        changed["webhooks"][0]["timeoutSeconds"] = 7
        assert "configured" in stage.kubectl("apply", "-f", "-", text=write([changed]))
        assert stage.bundles() == before
        server_side = ("apply", "--server-side", "--force-conflicts", "-f", "-")
        assert "serverside-applied" in stage.kubectl(*server_side, text=write([stage.manifest()]))
        assert stage.bundles() == before
        assert "replaced" in stage.kubectl("replace", "-f", "-", text=write([stage.manifest()]))
        wait_until(lambda: all(stage.bundles()), "the caBundle")
        stage.client.delete(KIND, NAME)
        injector.wait_log(f"`mesh install` makes the webhook configuration {NAME}")
        stage.configure()
        wait_until(lambda: all(stage.bundles()), "the caBundle")
        injector.wait_log("the certificate is kept again")


def test_garbage_in_the_secret_is_replaced_without_a_gap(stage: Stage) -> None:
    stage.configure()
    with stage.start(*SHORT) as injector:
        injector.wait_ready()
        with watching(stage, [injector]) as faults:
            for data in ({"tls.crt": "bm9uZQ=="}, {"ca.crt": None}):
                stage.client.patch("Secret", NAME, {"data": data}, stage.namespace)
                wait_until(partial(is_whole, stage, data), f"the repair of {data}")
            stage.client.delete("Secret", NAME, stage.namespace)
            wait_until(lambda: stage.client.find("Secret", NAME, stage.namespace), "the Secret")
        assert faults == []
        assert (
            f"the Secret {stage.namespace}/{NAME} holds something else than was put there: tls.crt:" in injector.stderr
        )


def is_whole(stage: Stage, data: dict[str, str | None]) -> bool:
    found = stage.secret()["data"]
    return all(name in found and found[name] != text for name, text in data.items())


def write_secret(stage: Stage, data: dict[str, str], labels: dict[str, str] | None = None) -> None:
    """As a user or cert-manager does."""
    metadata = {"name": NAME, "namespace": stage.namespace, "labels": labels or {}}
    kind = "kubernetes.io/tls" if "tls.crt" in data else "Opaque"
    stage.client.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": data})


def test_a_secret_of_the_user_that_cannot_be_used_is_left_alone(stage: Stage) -> None:
    stage.configure()
    write_secret(stage, {"password": "c2VjcmV0"})
    before = stage.secret()
    with stage.start(*SHORT) as injector:
        injector.wait_log(f"the Secret {stage.namespace}/{NAME} cannot be used: tls.crt is missing")
        assert injector.get("/ready")[0] == 503
        assert stage.secret() == before
        stage.client.delete("Secret", NAME, stage.namespace)
        injector.wait_ready()
        assert stage.secret()["metadata"]["labels"][OURS] == "webhook"


def make_issuer(name: str) -> Issuer:
    now = datetime.now(UTC)
    return Issuer(name, times=(now - timedelta(hours=1), now + timedelta(days=1)))


def issue(issuer: Issuer, host: str = HOST) -> dict[str, str]:
    certificate, key = issuer.issue(host)
    return make_data(tls_crt=certificate, tls_key=key, ca_crt=issuer.text)


def test_a_secret_that_the_user_brings_is_served_and_never_written(stage: Stage) -> None:
    """Renewed by its authority, then by another: an API server that hears late trusts it all the time."""
    stage.configure()
    namespace = stage.make_namespace()
    first, second = map(make_issuer, ("first", "second"))
    write_secret(stage, issue(first))
    with stage.start(*SHORT) as injector, stage.start(*SHORT, port=0) as other:
        replicas = [injector.wait_ready(), other.wait_ready()]
        assert {bundle.strip() for bundle in stage.bundles()} == {first.text.strip()}
        assert has_sidecar(stage.client.create(make_pod("one"), namespace))
        with watching(stage, replicas) as faults:
            for issuer in (first, second, second):
                data = issue(issuer)
                write_secret(stage, data)
                for replica in replicas:
                    eventually(partial(serves, replica, stage, data), "the new certificate", PATIENCE_S)
                assert stage.secret()["data"] == data
            trusted = [second.text.strip()] * 2
            eventually(lambda: [text.strip() for text in stage.bundles()] == trusted, "the first to go", PATIENCE_S)
            wrong = issue(second, "other.example")
            write_secret(stage, wrong)
            injector.wait_log(f"tls.crt is not for {NAME}.{stage.namespace}.svc; have it issued for that name")
        assert faults == []
        assert has_sidecar(stage.client.create(make_pod("two"), namespace))
        assert injector.ready() == "ready"
        assert stage.secret()["data"]["tls.crt"] == wrong["tls.crt"]


def serves(replica: Injector, stage: Stage, data: dict[str, bytes]) -> bool:
    try:
        found = replica.handshake(stage.bundles()[0])
    except ssl.SSLError:  # not yet
        return False
    return found.split() == base64.b64decode(data["tls.crt"]).decode().split()


def test_what_is_brought_into_our_secret_takes_its_place(stage: Stage) -> None:
    """cert-manager keeps the labels that it finds; what we had beside it does not matter. Without it, ours is back."""
    stage.configure()
    namespace = stage.make_namespace()
    data = issue(make_issuer("theirs"))
    del data["ca.crt"]  # ours stays in its place, and is of no use: what is trusted is their certificate itself
    with stage.start(*SHORT) as injector:
        injector.wait_ready()
        with watching(stage, [injector]) as faults:
            write_secret(stage, data, stage.secret()["metadata"]["labels"])
            injector.wait_log(f"the Secret {stage.namespace}/{NAME} is yours: it is never written")
            eventually(partial(serves, injector, stage, data), "their certificate", PATIENCE_S)
        assert faults == []
        eventually(lambda: stage.bundles()[0].count("BEGIN") == 1, "our authority to go", PATIENCE_S)
        assert has_sidecar(stage.client.create(make_pod("one"), namespace))
        stage.client.delete("Secret", NAME, stage.namespace)
        wait_until(lambda: stage.client.find("Secret", NAME, stage.namespace), "a Secret of ours")
        assert stage.secret()["data"]["tls.crt"] != data["tls.crt"]
        eventually(partial(serves, injector, stage, stage.secret()["data"]), "our certificate", PATIENCE_S)


def test_each_missing_right_is_one_sentence(stage: Stage) -> None:
    stage.configure()
    rights = ("namespaces", "mutatingwebhookconfigurations", "secrets")
    stage.grant_all_but(*rights)
    with stage.start(*SHORT) as injector:
        injector.wait_log("cannot follow namespaces at")
        injector.wait_log("cannot keep the certificate: 403: mutatingwebhookconfigurations")
        stage.grant_all_but("secrets")
        injector.wait_log('cannot keep the certificate: 403: secrets "gossamer-injector" is forbidden')
        assert "cannot keep the certificate" in injector.ready()
        stage.grant_all_but()
        injector.wait_ready()
        injector.wait_log("namespaces are followed again")
        lines = [line for line in injector.stderr.splitlines() if "grant what docs/rbac/injector.yaml has" in line]
        assert len(lines) == len(rights)


def test_a_certificate_of_ones_own(stage: Stage, tmp_path: Path) -> None:
    """As cert-manager brings one: served from files, exchanged when they change; the caBundle is its business."""
    stage.configure()
    authority = stage.api.authority
    files = ("--tls-cert", str(tmp_path / "tls.crt"), "--tls-key", str(tmp_path / "tls.key"))

    def issue() -> str:
        authority.issue("webhook", "webhook", hosts=[HOST])
        for part in ("crt", "key"):
            (tmp_path / f"tls.{part}").write_bytes((authority.folder / f"webhook.{part}").read_bytes())
        return (tmp_path / "tls.crt").read_text()

    first, trusted = issue(), authority.ca.read_text()
    with stage.start(*files) as injector:
        injector.wait_ready()
        assert injector.handshake(trusted).split() == first.split()
        assert stage.bundles() == ["", ""]
        second = issue()
        eventually(lambda: injector.handshake(trusted).split() == second.split(), "the new certificate")
        (tmp_path / "tls.crt").write_text("none")
        injector.wait_log("the one before is served on")
        assert injector.handshake(trusted).split() == second.split()
    issue()
    with stage.start(*files, "--ca-bundle", str(authority.ca)) as injector:
        injector.wait_ready()
        assert [bundle.split() for bundle in stage.bundles()] == [trusted.split()] * 2
