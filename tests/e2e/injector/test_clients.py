"""Reviews only for who has a certificate, with an API server that has one, as docs/injection.md has it."""

from __future__ import annotations

import ssl

import pytest
import yaml

from tests.cluster.api_server import ApiServer
from tests.cluster.binaries import require_programs
from tests.e2e.injector.stage import Stage, has_sidecar, make_pod
from tests.e2e.injector.test_reviews import post

_GROUP = "apiserver.config.k8s.io/v1"


def give_certificate(api: ApiServer) -> None:
    """What `--admission-control-config-file` names, before the API server starts."""
    pki = api.place.pki
    api.authority.issue("caller", "kube-apiserver")
    user = {"client-certificate": str(pki / "caller.crt"), "client-key": str(pki / "caller.key")}
    config = {"apiVersion": "v1", "kind": "Config", "users": [{"name": "*", "user": user}]}
    (pki / "webhooks.conf").write_text(yaml.safe_dump(config))
    webhooks = {"apiVersion": _GROUP, "kind": "WebhookAdmissionConfiguration", "kubeConfigFile": "webhooks.conf"}
    webhooks["kubeConfigFile"] = str(pki / "webhooks.conf")
    plugin = {"name": "MutatingAdmissionWebhook", "configuration": webhooks}
    admission = {"apiVersion": _GROUP, "kind": "AdmissionConfiguration", "plugins": [plugin]}
    (pki / "admission.yaml").write_text(yaml.safe_dump(admission))
    api.server.command.append(f"--admission-control-config-file={pki / 'admission.yaml'}")


def test_only_who_has_a_certificate_is_answered() -> None:
    require_programs("kubectl")
    api = ApiServer()
    give_certificate(api)
    with api:
        stage = Stage(api, {"injector.failurePolicy": "Fail"})
        stage.configure()
        with stage.start("--client-ca", str(api.authority.ca)) as injector:
            injector.wait_ready()
            assert has_sidecar(stage.client.create(make_pod(), stage.make_namespace()))
            with pytest.raises((ssl.SSLError, ConnectionError)):
                post(injector, stage.bundles()[0], b"{}")
