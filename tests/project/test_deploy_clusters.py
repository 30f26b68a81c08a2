"""The files for Kubernetes and Dataflow fit their own schemas, our command line, and the versions that we pin."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest

from reelbeam.pipeline.cli import build_parser

yaml = pytest.importorskip("yaml")
jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
DATAFLOW = ROOT / "deploy" / "dataflow"
OPERATOR = "org.apache.flink:flink-kubernetes-operator-api:1.10.0:jar"
CLUSTERS = ("flink_cluster.yaml", "flink_cluster_gpu.yaml")


def objects(file: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(file.read_text()) if one]


def closed(schema: Any) -> Any:
    """The same schema, in which an unknown field is a fault, as it is to kubectl."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    after = {name: closed(one) for name, one in schema.items()}
    if "properties" in after and not schema.get("x-kubernetes-preserve-unknown-fields"):
        after.setdefault("additionalProperties", False)
    return after


@pytest.fixture(scope="module")
def flink_schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the operator says a FlinkDeployment is, without its metadata, which every object has."""
    if not shutil.which("mvn"):
        pytest.skip("no Maven here, which fetches the operator's schema")
    folder = tmp_path_factory.mktemp("operator")
    command = ["mvn", "-q", "dependency:copy", f"-Dartifact={OPERATOR}", f"-DoutputDirectory={folder}"]
    if subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False).returncode:
        pytest.skip(f"{OPERATOR} cannot be downloaded here")
    [jar] = folder.glob("*.jar")
    with zipfile.ZipFile(jar) as held:
        text = held.read("META-INF/fabric8/flinkdeployments.flink.apache.org-v1.yml").decode()
    [version] = yaml.safe_load(text)["spec"]["versions"]
    return closed(version["schema"]["openAPIV3Schema"])


@pytest.mark.slow
@pytest.mark.parametrize("name", CLUSTERS)
def test_the_clusters_are_what_the_operator_takes(flink_schema: Any, name: str) -> None:
    [cluster] = objects(KUBERNETES / name)
    wanted = {key: cluster[key] for key in cluster if key in ("spec",)}
    jsonschema.validate(wanted, {**flink_schema, "properties": {"spec": flink_schema["properties"]["spec"]}})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"spec": {**cluster["spec"], "flinkVersio": "v1_19"}}, flink_schema)


@pytest.mark.parametrize("file", ["kubernetes/job_server.yaml", "kubernetes/extract_job.yaml", "cronjob.yaml"])
def test_the_objects_are_what_kubernetes_takes(file: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for one in objects(ROOT / "deploy" / file):
        validate.validate(one, "1.31", strict=True)


@pytest.mark.parametrize("name", CLUSTERS)
def test_each_task_manager_has_a_worker_pool_where_the_launcher_says(name: str) -> None:
    [cluster] = objects(KUBERNETES / name)
    containers = {one["name"]: one for one in cluster["spec"]["taskManager"]["podTemplate"]["spec"]["containers"]}
    pool = containers["worker-pool"]
    assert pool["args"] == ["--worker_pool"]
    [launcher] = objects(KUBERNETES / "extract_job.yaml")[0]["spec"]["template"]["spec"]["containers"]
    assert f"--environment_config=localhost:{pool['ports'][0]['containerPort']}" in launcher["args"]
    rest = cluster["metadata"]["name"]
    [server] = [one for one in objects(KUBERNETES / "job_server.yaml") if one["kind"] == "Deployment"]
    assert f"--flink-master={rest}-rest:8081" in server["spec"]["template"]["spec"]["containers"][0]["args"]


def test_the_launcher_s_words_are_ours_or_beam_s() -> None:
    [launcher] = objects(KUBERNETES / "extract_job.yaml")[0]["spec"]["template"]["spec"]["containers"]
    words = [*launcher["command"][1:], *launcher["args"]]
    _, rest = build_parser().parse_known_args(words)
    flags = [re.match(r"--(\w+)=", word)[1] for word in rest]  # type: ignore[index]
    assert flags == [
        *("runner", "job_endpoint", "artifact_endpoint", "environment_type", "environment_config", "parallelism")
    ]


def test_the_job_server_is_of_the_pinned_beam_and_of_the_cluster_s_flink() -> None:
    beam = re.search(r"^apache-beam==([\d.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    [server] = [one for one in objects(KUBERNETES / "job_server.yaml") if one["kind"] == "Deployment"]
    image = server["spec"]["template"]["spec"]["containers"][0]["image"]
    for name in CLUSTERS:
        [cluster] = objects(KUBERNETES / name)
        flink = cluster["spec"]["flinkVersion"].removeprefix("v").replace("_", ".")
        assert beam
        assert image == f"apache/beam_flink{flink}_job_server:{beam[1]}"
        assert cluster["spec"]["image"].startswith(f"flink:{flink}.")


def launch() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("launch", DATAFLOW / "launch.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_template_s_parameters_become_our_command_line() -> None:
    named = {one["name"]: one for one in json.loads((DATAFLOW / "metadata.json").read_text())["parameters"]}
    assert [name for name, one in named.items() if not one.get("isOptional")] == ["input", "output"]
    values = {"input": "gs://v", "output": "gs://f", "models": "siglip2", "options": "--tick-hz 2 --wave-videos 50"}
    assert values.keys() == named.keys()
    words = launch().command_line([*(f"--{name}={value}" for name, value in values.items()), "--region=europe-west1"])
    args, rest = build_parser().parse_known_args(words)
    assert (args.command, args.models, args.wave_videos) == ("extract", "siglip2", 50)
    assert rest == ["--runner=DataflowRunner", "--region=europe-west1"]


def test_the_template_s_metadata_has_what_dataflow_asks_for() -> None:
    metadata = json.loads((DATAFLOW / "metadata.json").read_text())
    assert metadata.keys() == {"name", "description", "parameters"}
    for one in metadata["parameters"]:
        assert {"name", "label", "helpText"} <= one.keys() <= {"name", "label", "helpText", "isOptional", "regexes"}
        for pattern in one.get("regexes", ()):
            assert re.match(pattern, "gs://bucket/prefix")
            assert not re.match(pattern, "/a/folder")
