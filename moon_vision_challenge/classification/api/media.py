"""Uploaded images."""

from django.conf import settings
from django.core.files.storage import storages
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.views.static import serve


def uploaded_image(request: HttpRequest, path: str) -> HttpResponseBase:
    """Serve an uploaded image unchanged. Its name is secret: whoever knows it may see the image."""
    if settings.MEDIA_BACKEND == "s3":
        return HttpResponseRedirect(storages["default"].presigned_url(path))  # type: ignore[attr-defined]
    return serve(request, path, document_root=settings.MEDIA_ROOT)
