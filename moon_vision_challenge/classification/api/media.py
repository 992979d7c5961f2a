"""Serves uploaded images."""

import re

from django.conf import settings
from django.http import HttpRequest, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.views.static import serve

from moon_vision_challenge.accounts.access import PUBLIC, access
from moon_vision_challenge.classification.images import formats
from moon_vision_challenge.classification.media_store import media_store, signed_urls
from moon_vision_challenge.web.errors import error_body
from moon_vision_challenge.web.read_only import read_only

# The names that `image_path` returns. Other paths never reach the storage: some would cause a file system error.
_STORED = re.compile(r"inferences/[0-9]{4}/[0-9]{2}/[0-9]{2}/[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_HEADERS = {
    # If a browser treats an image as a page after all, the page can do nothing.
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


@access(PUBLIC)
@read_only
def uploaded_image(request: HttpRequest, path: str) -> HttpResponseBase:
    """Serve an uploaded image unchanged. The signature in its URL grants access."""
    if not _STORED.fullmatch(path):
        return _refuse(404, "This address does not exist.", "not_found")
    try:
        valid_s = signed_urls.check(path, request.GET.get("expires", ""), request.GET.get("signature", ""))
    except signed_urls.AddressExpiredError:
        detail = "This address has expired. Get the inference again: its `image` is a new address."
        return _refuse(403, detail, "media_url_expired")
    except signed_urls.BadSignature:
        detail = "This address is incomplete or has been changed. Copy all of `image` from the inference."
        return _refuse(404, detail, "not_found")
    media_type, disposition = formats.media_type_of(path), f'inline; filename="{path.rpartition("/")[2]}"'
    direct = media_store.direct_url(path, valid_s=valid_s, media_type=media_type, disposition=disposition)
    if direct is not None:
        url, valid_s = direct
        return HttpResponseRedirect(url, headers={"Cache-Control": f"private, max-age={valid_s}"})
    response = _serve(request, path)
    response["Cache-Control"] = f"private, max-age={valid_s}"
    if response.status_code == 200:
        response["Content-Type"] = media_type
        response["Content-Disposition"] = disposition
    return response


def _serve(request: HttpRequest, path: str) -> HttpResponseBase:
    response = serve(request, path, document_root=settings.MEDIA_ROOT)
    for name, value in _HEADERS.items():
        response[name] = value
    return response


def _refuse(status: int, detail: str, code: str) -> JsonResponse:
    return JsonResponse(error_body(detail, code), status=status, headers={"Cache-Control": "no-store"})
