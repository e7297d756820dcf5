"""The story in a cluster that has the mesh: the application without sidecars, then with them, and the same verdict.

A namespace of its own, so that nothing of the user's is touched; it is deleted in any case. The figures are those of
the callers, from the log of their pod, so that both modes are measured alike.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace

from mesh.contract import CONTROL_NAMESPACE, CONTROL_SERVICE, PROXY_CONTAINER
from mesh.demo.application import SERVICES
from mesh.demo.figures import Call, Tally, Window
from mesh.demo.kubernetes.kubectl import apply, follow, get, kubectl
from mesh.demo.kubernetes.manifests import SERVERS, WEB, Application
from mesh.demo.process import DemoError
from mesh.demo.screen import Screen
from mesh.demo.story import TITLES, WARM_UP_S, Mode, Plan, Story
from mesh.demo.verdict import failing_method, slow_pod
from mesh.demo.watch import WINDOW_S

NAMESPACE = "mesh-demo"
SCOPE = f"--namespace={NAMESPACE}"
TIMEOUT = "--timeout=180s"

Pods = list[tuple[str, list[str]]]


async def tell(plan: Plan, screen: Screen) -> Story:
    application = await find_image()
    if await kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):
        raise DemoError(f"there is a namespace {NAMESPACE}: kubectl delete namespace {NAMESPACE}, if it is of a demo")
    try:
        unmeshed = await run_mode("unmeshed", application, plan, screen)
        meshed = await run_mode("meshed", replace(application, is_meshed=True), plan, screen)
    finally:
        screen.close()
        await kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
    modes = {"unmeshed": unmeshed, "meshed": meshed}
    return Story(modes, slow_pod(meshed.rows), failing_method(meshed.outcomes), kill=None)


async def find_image() -> Application:
    """The application from the image that the mesh itself runs from here."""
    found = (await get("deployments", "--all-namespaces", f"--field-selector=metadata.name={CONTROL_SERVICE}"))["items"]
    if not found:
        raise DemoError("Gossamer is not installed: mesh install | kubectl apply -f -")
    # One that serves a single namespace may be there as well.
    found.sort(key=lambda deployment: deployment["metadata"]["namespace"] != CONTROL_NAMESPACE)
    container = found[0]["spec"]["template"]["spec"]["containers"][0]
    return Application(NAMESPACE, container["image"], container["imagePullPolicy"])


async def run_mode(mode: str, application: Application, plan: Plan, screen: Screen) -> Mode:
    screen.note(f"\nRolling the application out, {mode} ...")
    await apply(application.servers())
    for name in SERVERS:
        await kubectl("rollout", "status", f"deployment/{name}", SCOPE, TIMEOUT)
        screen.note(f"  {name} runs")
    pods = [(name, await list_pods(name, application.is_meshed)) for name in SERVICES]
    screen.begin(TITLES[mode])
    name = f"{WEB}-{mode}"
    await apply([application.visitors(name, plan.rate, WARM_UP_S, plan.duration_s)])
    await kubectl("wait", "--for=jsonpath={.status.phase}=Running", f"pod/{name}", SCOPE, TIMEOUT)
    watch = Watch(pods, screen)
    async for line in follow(name, f"--container={WEB}", SCOPE):
        watch.take(line)
    await kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", SCOPE, "--timeout=60s")
    rows = watch.tally.figures(pods, plan.duration_s)
    screen.end(rows)
    return Mode(rows, watch.tally.outcomes)


async def list_pods(app: str, is_meshed: bool) -> list[str]:
    """Those that are to stay; each must have the sidecar, or none may."""
    found = (await get("pods", SCOPE, f"--selector=app={app}"))["items"]
    pods = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
    for pod in pods:
        containers = [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
        if any(container["name"] == PROXY_CONTAINER for container in containers) != is_meshed:
            what = "has no sidecar: mesh check tells why" if is_meshed else "has a sidecar that nobody asked for"
            raise DemoError(f"{pod['metadata']['name']} {what}")
    return sorted(pod["metadata"]["name"] for pod in pods)


class Watch:
    """What the visitors report, with their clock set to ours."""

    def __init__(self, pods: Pods, screen: Screen) -> None:
        self.tally = Tally()
        self._window = Window(WINDOW_S)
        self._pods = pods
        self._screen = screen
        self._behind_s = 0.0
        self._started_s = 0.0

    def take(self, line: str) -> None:
        try:
            report = json.loads(line)
        except ValueError:
            raise DemoError(f"{WEB} failed: {line.strip()}") from None
        match report:
            case {"started": float(started_s)}:
                self._started_s = time.monotonic()
                self._behind_s = self._started_s - started_s
            case {"calls": list(calls)}:
                for path, pod, code, started_s, latency_s in calls:
                    call = Call(path, pod, code, started_s + self._behind_s, latency_s)
                    self.tally.add(call)
                    self._window.add(call)
                self._show()

    def _show(self) -> None:
        now_s = time.monotonic()
        span_s = min(WINDOW_S, now_s - self._started_s)
        self._screen.update(self._window.tally(now_s).figures(self._pods, span_s))
