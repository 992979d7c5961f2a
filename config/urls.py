from django.contrib import admin
from django.urls import include, path, re_path

from moon_vision_challenge.classification.api.media import uploaded_image
from moon_vision_challenge.health import views as health
from moon_vision_challenge.playground import views as playground
from moon_vision_challenge.web import error_views

urlpatterns = [
    path("livez", health.livez),
    # These have no rate limit: their reports are cached, and a load balancer must never get 429.
    path("readyz", health.readyz),
    path("status", health.status),
    path("api/", include("config.api_router")),
    re_path("^api/", error_views.not_found),
    path("admin/", admin.site.urls),
    path("media/<path:path>", uploaded_image),
    path("", playground.index),
]

handler400 = error_views.bad_request
handler403 = error_views.permission_denied
handler404 = error_views.not_found
handler500 = error_views.server_error
