"""Fetches an image from a URL that a client gave (ALLOW_IMAGE_URLS)."""

from django.conf import settings

from moon_vision_challenge import __version__, http_client
from moon_vision_challenge.classification.exceptions import ImageFetchBusyError, ImageNotFetchedError
from moon_vision_challenge.concurrency_limit import ConcurrencyLimit

MAX_URL_LENGTH = 2000
MAX_REDIRECTS = 3
FETCHES_PER_ADDRESS = 2
"""Concurrent fetches of a process from one address, under any name, so that clients cannot aim the service at it."""
_HEADERS = {"Accept": "image/*", "User-Agent": f"moon-vision-challenge/{__version__}"}

_fetches = ConcurrencyLimit(lambda: settings.IMAGE_URL_MAX_REQUESTS)
"""A slow server occupies only some threads of the web server, not all of them."""
_address_limit = http_client.AddressLimit(FETCHES_PER_ADDRESS)


def fetch_image(url: str) -> bytes:
    """Return the bytes at a public URL, at most INFERENCE_MAX_IMAGE_BYTES, within IMAGE_URL_TIMEOUT_S.

    Raises:
        ImageNotFetchedError: the URL is refused, or the image did not arrive.
        ImageFetchBusyError: this process is already fetching IMAGE_URL_MAX_REQUESTS images, or FETCHES_PER_ADDRESS from
            the same address.
    """
    if len(url) > MAX_URL_LENGTH:
        raise ImageNotFetchedError(detail=f"The URL is too long. At most {MAX_URL_LENGTH:,} characters are accepted.")
    with _fetches.place() as has_place:
        if not has_place:
            raise ImageFetchBusyError
        try:
            status, content = http_client.guarded_download(
                url,
                headers=_HEADERS,
                deadline_s=settings.IMAGE_URL_TIMEOUT_S,
                min_bytes_per_s=settings.WEB_MIN_BODY_BYTES_PER_S,
                max_body_bytes=settings.INFERENCE_MAX_IMAGE_BYTES,
                max_redirects=MAX_REDIRECTS,
                address_limit=_address_limit,
                allow_private=settings.IMAGE_URL_ALLOW_PRIVATE_ADDRESSES,
            )
        except http_client.AddressBusyError as error:
            raise ImageFetchBusyError from error
        except http_client.RequestFailedError as error:
            raise ImageNotFetchedError(str(error), detail=_sentence(error)) from error
    if status != 200:
        raise ImageNotFetchedError(
            f"status {status}", detail=f"The URL's server returned {status} instead of an image."
        )
    return content


def _sentence(error: http_client.RequestFailedError) -> str:
    match error:
        case http_client.RefusedURLError() | http_client.TooManyRedirectsError():
            return str(error)  # for the client that gave the URL
        case http_client.DeadlineExceededError():
            return f"The URL's server did not send the image within {settings.IMAGE_URL_TIMEOUT_S:g} s."
        case http_client.ResponseTooLargeError():
            limit = settings.INFERENCE_MAX_IMAGE_BYTES
            return f"The image at this URL is too large. At most {limit:,} bytes are accepted."
    return "The URL's server cannot be reached, or did not send a complete answer."
