"""The manifests of docs/deploy.md, as text: they parse, and say nothing that the server does not know."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from chipwise.cli.app import app
from chipwise.serving.settings import Settings

yaml = pytest.importorskip("yaml")
routes = pytest.importorskip("chipwise.serving.routes", reason="needs the extra serve")
ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "deploy.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


DOCUMENTS = {each["kind"]: each for text in blocks("yaml") for each in yaml.safe_load_all(text)}
PODS = {
    "Deployment": DOCUMENTS["Deployment"]["spec"]["template"]["spec"],
    "InferenceService": DOCUMENTS["InferenceService"]["spec"]["predictor"],
}
CONTAINERS = [(pod, each) for pod in PODS.values() for each in pod["containers"]]


def parsed(words: list[str]) -> dict[str, Any]:
    """What the command line makes of the words after `chipwise serve`; it refuses what it does not know."""
    commands: dict[str, Any] = getattr(typer.main.get_command(app), "commands", {})
    return dict(commands["serve"].make_context("serve", list(words)).params)


def dockerfile(word: str) -> list[str]:
    (text,) = blocks("dockerfile")
    (line,) = re.findall(rf"^{word} (.*)$", text, re.MULTILINE)
    return list(json.loads(line)) if line.startswith("[") else line.split()


def probes(container: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        if name in container:
            yield container[name]["httpGet"]


def test_kinds_and_navigation() -> None:
    assert set(DOCUMENTS) == {"Deployment", "Service", "InferenceService"}
    assert all({"apiVersion", "metadata", "spec"} <= set(each) for each in DOCUMENTS.values())
    assert "Deploy: deploy.md" in (ROOT / "mkdocs.yml").read_text()


def test_the_image_runs_the_server() -> None:
    assert dockerfile("ENTRYPOINT") == ["chipwise", "serve"]
    given = parsed(dockerfile("CMD"))
    assert given["host"] == "0.0.0.0"
    assert [str(given["port"]), str(given["grpc_port"])] == dockerfile("EXPOSE")
    assert f" {given['plans'][0]}\n" in blocks("dockerfile")[0]  # which COPY fills
    assert "CHIPWISE_CACHE" in (ROOT / "src" / "chipwise" / "codec" / "cache.py").read_text()


@pytest.mark.parametrize(("pod", "container"), CONTAINERS, ids=PODS)
def test_command_line_ports_probes_and_files(pod: dict[str, Any], container: dict[str, Any]) -> None:
    given = parsed(container["args"])
    assert given["host"] == "0.0.0.0"
    ports = {each.get("name", each["containerPort"]): each["containerPort"] for each in container["ports"]}
    assert list(ports.values()) == [port for port in (given["port"], given["grpc_port"]) if port is not None]
    found = list(probes(container))
    assert found
    for probe in found:
        assert ports[probe["port"]] == given["port"]
        assert (probe.get("scheme") == "HTTPS") == (given["tls_cert"] is not None)
        assert routes.find_route("GET", probe["path"])[1].name in routes.OPEN  # no token is asked
    mounts = {each["mountPath"]: each["name"] for each in container.get("volumeMounts", ())}
    assert set(mounts.values()) == {each["name"] for each in pod.get("volumes", ())}
    for name in ("token_file", "tls_cert", "tls_key", "client_ca"):
        assert given[name] is None or str(Path(given[name]).parent) in mounts
    assert container["resources"]["requests"]["cpu"] == container["resources"]["limits"]["cpu"]


def test_there_is_time_to_drain() -> None:
    drain_s = Settings(plans=()).drain_s
    (container,) = PODS["Deployment"]["containers"]
    pause_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert PODS["Deployment"]["terminationGracePeriodSeconds"] > pause_s + drain_s
    assert PODS["InferenceService"]["timeout"] > drain_s
    assert int(re.findall(r"--stop-timeout (\d+)", PAGE)[0]) > drain_s
    assert f"at most {drain_s:g} s" in PAGE


def test_the_service_leads_to_the_pods() -> None:
    spec = DOCUMENTS["Service"]["spec"]
    (container,) = PODS["Deployment"]["containers"]
    assert {each["targetPort"] for each in spec["ports"]} == {each["name"] for each in container["ports"]}
    template = DOCUMENTS["Deployment"]["spec"]["template"]
    assert (
        spec["selector"] == template["metadata"]["labels"] == DOCUMENTS["Deployment"]["spec"]["selector"]["matchLabels"]
    )


def test_paths_in_the_text_are_routes() -> None:
    for method, path in re.findall(r"`(GET|POST) (/[^`\s]+)`", PAGE):
        routes.find_route(method, path)
    for path in re.findall(r"http://INGRESS(/\S+)", PAGE):
        routes.find_route("GET", path)
