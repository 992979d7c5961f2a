from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse

from moon_vision_challenge.admin_site import front_page


class ServiceAdminSite(AdminSite):
    """An admin site whose front page shows the state of the service."""

    site_header = "Moon Vision Challenge"
    site_title = "Moon Vision Challenge"
    index_title = "State of the service"
    index_template = "admin_site/index.html"

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        context = {"service": front_page.read_service_state(), **(extra_context or {})}
        return super().index(request, context)
