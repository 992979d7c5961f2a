"""Reads what the admin's front page shows. Each neighbour has a short time limit. The page shows which one is down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse
from django.utils.safestring import SafeString

from moon_vision_challenge.classification import catalogue
from moon_vision_challenge.classification.catalogue import CatalogueEntry, ModelState
from moon_vision_challenge.classification.queue.gauges import QueueState, read_queue_states, read_retention_overdue_s
from moon_vision_challenge.health.views import status_of_all
from moon_vision_challenge.web.admin_cells import duration, state

_COLORS = {
    ModelState.AVAILABLE: "good",
    ModelState.LOADING: "active",
    ModelState.UNAVAILABLE: "bad",
    ModelState.UNKNOWN: "bad",
}


@dataclass(frozen=True)
class QueueRow:
    state: QueueState
    oldest: str
    """How long the oldest pending inference has waited."""


@dataclass(frozen=True)
class ModelRow:
    entry: CatalogueEntry
    state: SafeString
    versions: str


@dataclass(frozen=True)
class CheckRow:
    name: str
    state: SafeString
    problem: str


@dataclass(frozen=True)
class ServiceState:
    queues: Sequence[QueueRow]
    models: Sequence[ModelRow]
    checks: Sequence[CheckRow]
    """Workers, beat, and what they need."""
    retention_overdue: str
    """How long the deletion of the oldest inference is overdue. Empty if none is."""
    links: Mapping[str, str]


def read_service_state() -> ServiceState:
    overdue_s = read_retention_overdue_s()
    return ServiceState(
        queues=[_queue_row(each) for each in sorted(read_queue_states())],
        models=[_model_row(each) for each in catalogue.list_models()],
        checks=[_check_row(name, problem) for name, problem in _problems().items()],
        retention_overdue=duration(overdue_s) if overdue_s else "",
        links=_links(),
    )


def _queue_row(each: QueueState) -> QueueRow:
    return QueueRow(each, duration(each.oldest_s) if each.pending else "-")


def _model_row(entry: CatalogueEntry) -> ModelRow:
    versions = ", ".join(f"{one.version} {one.state.lower()}" for one in entry.versions)
    return ModelRow(entry, state(entry.state, _COLORS[entry.state]), versions)


def _problems() -> Mapping[str, str | None]:
    """Return the problems of /status, except those of the models, which have their own table."""
    found = status_of_all.report().problems
    return {name: problem for name, problem in found.items() if not name.startswith("model:")}


def _check_row(name: str, problem: str | None) -> CheckRow:
    return CheckRow(name, state("problem", "bad") if problem else state("ok", "good"), problem or "")


def _links() -> Mapping[str, str]:
    links = {
        "API documentation": reverse("docs"),
        "Flower: tasks and workers": settings.FLOWER_URL,
        "Metrics": settings.METRICS_URL,
    }
    return {name: address for name, address in links.items() if address}
