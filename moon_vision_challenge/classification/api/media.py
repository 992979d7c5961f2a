"""Uploaded images."""

import re

from django.conf import settings
from django.core.files.storage import storages
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.views.static import serve

from moon_vision_challenge.accounts.access import PUBLIC, access

# The names that `image_path` gives. Other paths never reach the storage: some would cause a file system error.
_STORED = re.compile(r"inferences/[0-9]{4}/[0-9]{2}/[0-9]{2}/[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@access(PUBLIC)
def uploaded_image(request: HttpRequest, path: str) -> HttpResponseBase:
    """Serve an uploaded image unchanged. Its name is secret: anyone with the name may see the image."""
    if not _STORED.fullmatch(path):
        raise Http404
    if settings.MEDIA_BACKEND == "s3":
        return HttpResponseRedirect(storages["default"].presigned_url(path))  # type: ignore[attr-defined]  # S3MediaStorage has it
    return serve(request, path, document_root=settings.MEDIA_ROOT)
