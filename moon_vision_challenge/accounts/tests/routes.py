"""All routes of the service, from its URL configuration."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver, resolve

from moon_vision_challenge.accounts.access import rule_of

SAMPLES = {
    "pk": "{pk}",
    "model_type": "efficientnet_lite0",
    "path": "inferences/2026/01/01/0123456789abcdef.jpg",
}
"""A value for each parameter of a route. `{pk}` remains as a placeholder for the id of a row."""


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    view: Callable[..., Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def rule(self) -> object:
        return rule_of(self.view, self.method)

    @property
    def is_of_a_row(self) -> bool:
        return "{pk}" in self.path


def all_routes() -> Iterator[Route]:
    """Yield each route outside the admin with each method that it allows."""
    for pattern, view in _patterns(get_resolver().url_patterns, "/"):
        if pattern.startswith("/admin/"):
            continue
        path = _sample(pattern)
        assert resolve(path.format(pk=1)).func == view, f"no sample path for {pattern}"
        for method in (*getattr(view, "actions", {"get": ""}), "options"):
            yield Route(method.upper(), path, view)


def _patterns(patterns: list[Any], prefix: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    for each in patterns:
        full = prefix + str(each.pattern).removeprefix("^")
        if isinstance(each, URLResolver):
            yield from _patterns(each.url_patterns, full)
        elif isinstance(each, URLPattern):
            yield full, each.callback


def _sample(pattern: str) -> str:
    path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: SAMPLES[found[1]], pattern.replace("(?P<", "<"))
    path = re.sub(r"\[[^\]]*\]\+\)", "", path).removesuffix("$").removesuffix(r"\Z")
    return path + "nothing" if path == "/api/" else path
