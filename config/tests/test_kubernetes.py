"""Everything that the manifests in deploy/kubernetes/ name exists. `make kubernetes` renders and validates them."""

import re

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands
from django.urls import resolve

from config.tests.kubernetes import FOLDER, containers, kustomizations, manifests, megabytes, pods, variables
from config.tests.test_compose import documented
from moon_vision_challenge import __version__
from moon_vision_challenge.http_server.supervisor import KILL_AFTER_S
from moon_vision_challenge.observability import exporter
from moon_vision_challenge.webhooks.delivery import DEADLINE_S

ROOT = settings.ROOT_DIR
# Read as text, because the service imports nothing from the model server.
MONITORING = (ROOT / "moon_vision_challenge" / "model_server" / "monitoring.py").read_text()
(DEFAULT_PATH,) = re.findall(r'^DEFAULT_PATH = "(.+)"$', MONITORING, re.MULTILINE)
START = ROOT / "compose" / "django" / "start"
COMPOSE = yaml.safe_load((ROOT / "production.yml").read_text())["services"]
OURS = {f"moon_vision_challenge/{path.parent.name}" for path in ROOT.glob("compose/*/Dockerfile")}
OTHERS = {"tensorflow/serving", "amazon/aws-cli", "nvcr.io/nvidia/tritonserver"}
IN_COMPOSE = {"web": "django", "worker": "celeryworker", "webhooks": "webhookworker", "beat": "celerybeat"}
NOT_OURS = ("AWS_", "HOME")  # read by the AWS command line


def default_of(name: str) -> float:
    """Return the default of a setting in production."""
    return float(documented()[name].strip("`"))


def test_every_image_is_built_here_or_named_in_the_documentation() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    used = {container["image"] for _, container in containers()}
    assert used <= OURS | OTHERS
    assert all(image in page for image in used & OTHERS)


def test_every_overlay_gives_every_image_a_tag() -> None:
    tags = {image["name"]: image["newTag"] for one in kustomizations().values() for image in one.get("images", [])}
    assert tags.keys() == {container["image"] for _, container in containers()}
    assert {tags[image] for image in OURS & tags.keys()} == {__version__}
    assert f"tensorflow/serving:{tags['tensorflow/serving']}" in COMPOSE["tensorflow-serving"]["image"]


def test_every_command_exists() -> None:
    commands = [command for _, container in containers() if (command := container.get("command"))]
    ours = [command for command in commands if command[0] not in ("sh", "tritonserver")]
    assert ours
    for command in ours:
        if command[0] == "python":
            assert command[1] == "manage.py"
            assert command[2] in get_commands()
        else:
            assert (START / command[0]).exists() or (ROOT / "compose" / "model_zoo" / command[0]).exists()


def test_every_queue_that_the_service_has_is_served() -> None:
    options = [word for _, container in containers() for word in container.get("command", [])]
    served = {word.removeprefix("--queues=") for word in options if word.startswith("--queues=")}
    assert served == {queue.name for queue in settings.CELERY_TASK_QUEUES}


def test_probes_ask_what_answers() -> None:
    checks = re.findall(r"^  ([a-z| ]+)\)", (START / "healthcheck").read_text(), re.MULTILINE)
    names = {name.strip() for line in checks for name in line.split("|")}
    for pod, container in containers():
        for probe in (container.get(f"{kind}Probe") for kind in ("startup", "liveness", "readiness")):
            if probe and "exec" in probe:
                assert probe["exec"]["command"][0] == "healthcheck"
                assert probe["exec"]["command"][1] in names
            if probe and "httpGet" in probe:
                path = probe["httpGet"]["path"]
                assert path in (exporter.PATH, DEFAULT_PATH) or path.startswith("/v2/health/") or resolve(path).route, (
                    pod
                )


def test_probes_use_ports_that_the_container_has() -> None:
    for pod, container in containers():
        names = {port["name"] for port in container.get("ports", [])}
        for kind in ("startup", "liveness", "readiness"):
            probe = container.get(f"{kind}Probe", {})
            asked = {probe[how]["port"] for how in ("httpGet", "tcpSocket") if how in probe}
            assert asked <= names, pod


@pytest.mark.parametrize(("script", "name"), [("start-web", "http"), ("start-metrics", "metrics")])
def test_ports_are_those_that_the_programs_listen_on(script: str, name: str) -> None:
    (port,) = re.findall(r"--port (\d+)", (START / script).read_text())
    started = [container for _, container in containers() if container.get("command", [""])[0] == script]
    assert started
    for container in started:
        assert container["ports"] == [{"name": name, "containerPort": int(port)}]


def test_the_service_of_the_model_server_has_the_address_in_the_settings() -> None:
    servers = [one for one in manifests("Service") if one["metadata"]["name"] == "model-server"]
    assert len(servers) == len([name for name in pods() if name.startswith("model-server")])
    ports = {port["port"] for one in servers for port in one["spec"]["ports"]}
    assert [f"http://model-server:{port}" for port in ports] == [variables()["TF_SERVING_URL"]]


def test_every_variable_is_documented() -> None:
    unknown = {name for name in variables() if not name.startswith(NOT_OURS)} - documented().keys()
    used_in_the_manifests_only = {"MODELS_S3_URL"}
    in_containers = {"DJANGO_SETTINGS_MODULE", "TF_SERVING_IMAGE", "MODEL_DATA_URL"}
    assert unknown <= used_in_the_manifests_only | in_containers


def test_every_secret_is_a_file_that_make_production_env_writes() -> None:
    named = {
        source["secretRef"]["name"]
        for _, container in containers()
        for source in container.get("envFrom", [])
        if "secretRef" in source and not source["secretRef"].get("optional")
    }
    templates = {path.name.split(".")[1] for path in (ROOT / ".envs" / ".production").glob(".*.template")}
    assert {name.removeprefix("moon-vision-") for name in named} <= templates


def test_beat_and_migrations_do_not_get_the_secrets_of_web() -> None:
    for pod, container in containers():
        secrets = {each["secretRef"]["name"] for each in container.get("envFrom", []) if "secretRef" in each}
        if pod in ("beat", "migrate"):
            assert "moon-vision-django" not in secrets


@pytest.mark.parametrize("name", pods())
def test_no_pod_has_rights_that_it_does_not_need(name: str) -> None:
    pod = pods()[name]
    assert pod["automountServiceAccountToken"] is False
    # Otherwise, a Service named metrics would set METRICS_PORT.
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()


def test_pods_run_as_the_user_of_the_images() -> None:
    dockerfile = (ROOT / "compose" / "django" / "Dockerfile").read_text()
    (user,) = re.findall(r"^USER (\d+)$", dockerfile, re.MULTILINE)
    assert {pod["securityContext"]["runAsUser"] for pod in pods().values()} == {int(user)}


@pytest.mark.parametrize("name", pods())
def test_every_volume_for_temporary_files_has_a_limit(name: str) -> None:
    volumes = {volume["name"]: volume for volume in pods()[name]["volumes"]}
    assert "/tmp" in {mount["mountPath"] for mount in pods()[name]["containers"][0]["volumeMounts"]}  # noqa: S108
    assert all("sizeLimit" in volume["emptyDir"] for volume in volumes.values() if "emptyDir" in volume)


def test_uploads_of_jobs_fit_in_the_temporary_folder_of_web() -> None:
    (tmp,) = [volume for volume in pods()["web"]["volumes"] if volume["name"] == "tmp"]
    uploads = int(variables()["JOB_MAX_UPLOADS"]) * default_of("JOB_MAX_BYTES") * 2  # WEB_WORKERS
    assert megabytes(tmp["emptyDir"]["sizeLimit"]) * 2**20 > uploads


@pytest.mark.parametrize("name", IN_COMPOSE)
def test_limits_are_those_that_were_measured_for_compose(name: str) -> None:
    compose = COMPOSE[IN_COMPOSE[name]]
    limits = pods()[name]["containers"][0]["resources"]["limits"]
    measured = float(compose["mem_limit"][:-1]) * {"m": 1, "g": 1024}[compose["mem_limit"][-1]]
    assert megabytes(limits["memory"]) == measured
    cores = float(limits["cpu"][:-1]) / 1000 if limits["cpu"].endswith("m") else float(limits["cpu"])
    assert cores == float(str(compose["cpus"]).rpartition("-")[2].rstrip("}"))


def test_a_pod_has_the_time_to_finish_its_work() -> None:
    pause_s = float(pods()["web"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    drain_s = float(variables()["WEB_STOP_TIMEOUT_S"]) + KILL_AFTER_S
    assert pods()["web"]["terminationGracePeriodSeconds"] > pause_s + drain_s
    for name in ("worker", "background"):
        assert pods()[name]["terminationGracePeriodSeconds"] > 0.75 * default_of("INFERENCE_LEASE_S")
    assert pods()["webhooks"]["terminationGracePeriodSeconds"] > 2 * DEADLINE_S
    for name, pod in pods().items():
        if name.startswith("model-server"):
            assert pod["terminationGracePeriodSeconds"] > pause_s + default_of("TF_SERVING_TIMEOUT_S")


def test_no_worker_is_restarted_because_redis_is_down() -> None:
    for name in ("worker", "background", "webhooks", "beat"):
        (container,) = pods()[name]["containers"]
        assert container["livenessProbe"]["exec"]["command"] == ["healthcheck", "alive"]


def test_selectors_find_their_pods_and_no_others() -> None:
    labels = {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"]
        for one in manifests("Deployment", "Job")
        if "metadata" in one["spec"]["template"]
    }
    for one in manifests("Service", "PodDisruptionBudget", "Deployment"):
        selector = one["spec"].get("selector")
        wanted = selector.get("matchLabels", selector) if selector else None
        if wanted:
            found = [name for name, has in labels.items() if wanted.items() <= has.items()]
            assert found == [one["metadata"]["name"]]


def test_network_policies_name_components_that_exist() -> None:
    components = {
        one["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]
        for one in manifests("Deployment", "Job")
        if "metadata" in one["spec"]["template"]
    }
    text = yaml.safe_dump([one["spec"] for one in manifests("NetworkPolicy", "PodMonitor")])
    named = set(re.findall(r"app\.kubernetes\.io/component: ([\w-]+)", text))
    for one in re.findall(r"key: app\.kubernetes\.io/component\s+operator: In\s+values:\s+((?:\s*- [\w-]+\n)+)", text):
        named |= set(re.findall(r"- ([\w-]+)", one))
    assert named == components


def test_prometheus_gets_the_alert_rules() -> None:
    (rule,) = manifests("PrometheusRule")
    assert rule["spec"] == yaml.safe_load((ROOT / "deploy" / "monitoring" / "alerts.yml").read_text())


def test_tensorflow_serving_gets_the_files_that_compose_mounts() -> None:
    for name in ("batching_parameters.txt", "monitoring.config"):
        ours = FOLDER / "components" / "model_server_tensorflow_serving" / name
        assert ours.read_bytes() == (ROOT / "compose" / "tensorflow-serving" / name).read_bytes()


def test_tensorflow_serving_has_the_flags_of_compose() -> None:
    (container,) = [one for _, one in containers() if one["image"] == "tensorflow/serving"]
    flags = {word.partition("=")[0] for word in container["args"]}
    assert flags == {word.partition("=")[0] for word in COMPOSE["tensorflow-serving"]["command"]} - {
        "--model_config_file_poll_wait_seconds"  # a change to the ConfigMap replaces the pods
    }


def test_the_served_models_are_models_of_the_project() -> None:
    names = r"name: '(\w+)'"
    served = set(re.findall(names, (FOLDER / "base" / "models.config").read_text()))
    assert served <= set(re.findall(names, (ROOT / "models.config").read_text()))


def test_every_folder_of_the_overlays_and_queues_is_validated() -> None:
    """`make kubernetes` validates the folders in which it finds a kustomization."""
    folders = {path for parent in ("overlays", "queues") for path in (FOLDER / parent).iterdir()}
    assert {str(path.relative_to(FOLDER)) for path in folders} <= kustomizations().keys()
    components = {name for name in kustomizations() if name.startswith("components/")}
    text = "\n".join(path.read_text() for path in FOLDER.rglob("kustomization.yml"))
    assert all(f"/{name.removeprefix('components/')}\n" in text for name in components)
