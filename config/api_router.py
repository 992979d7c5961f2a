"""The routes of the API. A collection of inferences accepts only POST and OPTIONS, because its viewset has no list."""

from django.urls import path
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from moon_vision_challenge.accounts.access import PUBLIC, access
from moon_vision_challenge.classification.api.catalogue import ModelCatalogueViewSet
from moon_vision_challenge.classification.api.history import HistoryViewSet
from moon_vision_challenge.classification.api.views import InferenceV0ViewSet, InferenceV1ViewSet
from moon_vision_challenge.jobs.api.views import JobViewSet
from moon_vision_challenge.web.openapi.view import SchemaView
from moon_vision_challenge.web.throttling.usage import UsageView

router = SimpleRouter()
router.register("v0/inferences", InferenceV0ViewSet, basename="inference-v0")
router.register("v1/inferences", InferenceV1ViewSet, basename="inference-v1")
router.register("v1/jobs", JobViewSet, basename="job")
router.register("v1/history", HistoryViewSet, basename="history")
router.register("v1/models", ModelCatalogueViewSet, basename="model")

urlpatterns = [
    *router.urls,
    path("v1/jobs/<int:pk>/results.jsonl", JobViewSet.as_view({"get": "results_jsonl"}), name="job-results-jsonl"),
    path("v1/jobs/<int:pk>/results.csv", JobViewSet.as_view({"get": "results_csv"}), name="job-results-csv"),
    path("v1/usage/", UsageView.as_view(), name="usage"),
    path("schema/", access(PUBLIC)(SchemaView.as_view()), name="schema"),
    path("docs/", access(PUBLIC)(SpectacularSwaggerSplitView.as_view(url_name="schema")), name="docs"),
]
