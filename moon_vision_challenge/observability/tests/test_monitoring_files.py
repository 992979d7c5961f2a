"""The alert rules and the dashboard in deploy/monitoring: their queries are valid, and what they name exists."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator

import promql_parser
import pytest
import yaml
from prometheus_client import Counter, Histogram

from moon_vision_challenge.classification.queue.gauges import GAUGES
from moon_vision_challenge.observability import metrics
from native.environment import ROOT

FOLDER = ROOT / "deploy" / "monitoring"
MADE_BY_THE_EXPORTER = {
    "moon_vision_build_info",
    "moon_vision_check_ok",
    "moon_vision_database_up",
    "moon_vision_media_free_bytes",
    "moon_vision_retention_overdue_seconds",
}

MADE_BY_TRAEFIK = {"traefik_tls_certs_not_after"}


def queries() -> Iterator[str]:
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    yield from (rule["expr"] for group in rules["groups"] for rule in group["rules"])
    dashboard = json.loads((FOLDER / "grafana" / "dashboard.json").read_text())
    yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])


def known_names() -> set[str]:
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    counted = {
        family.name + ending for family in metrics.registry.collect() for ending in endings.get(family.type, ("",))
    }
    return counted | {name for name, _ in GAUGES} | MADE_BY_THE_EXPORTER | MADE_BY_TRAEFIK


@pytest.mark.parametrize("query", dict.fromkeys(queries()))
def test_a_query_is_valid_and_names_metrics_that_exist(query: str) -> None:
    promql_parser.parse(query)
    names = set(re.findall(r"(?:moon_vision|traefik)_\w+", query))
    assert names
    assert names <= known_names()


def test_the_labels_in_queries_exist() -> None:
    counted = [metric for metric in vars(metrics).values() if isinstance(metric, Counter | Histogram)]
    known = {"le", "queue", "check", "cn"} | {label for metric in counted for label in metric._labelnames}
    for query in queries():
        compared = re.findall(r'(\w+)(?:=~|!~|!=|=)"', query)
        grouped = [label for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(", ")]
        assert {*compared, *grouped} <= known


def test_each_alert_fires_and_ends_in_the_tests_of_promtool() -> None:
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    tried = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    expected = [each for test in tried for each in test["alert_rule_test"]]
    for alert in (rule["alert"] for group in rules for rule in group["rules"]):
        assert {bool(each["exp_alerts"]) for each in expected if each["alertname"] == alert} == {True, False}, alert


@pytest.mark.parametrize("check", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")])
def test_promtool_accepts_the_rules(check: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt install prometheus")
    done = subprocess.run([promtool, *check], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
