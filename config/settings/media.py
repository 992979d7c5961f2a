"""Uploads and static files."""

from typing import Any

from config.settings.environment import ROOT_DIR, env
from moon_vision_challenge.playground import assets

STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # served from the packages, without collectstatic
WHITENOISE_AUTOREFRESH = False
STATICFILES_DIRS = [(assets.PREFIX, assets.FOLDER)]
WHITENOISE_IMMUTABLE_FILE_TEST = rf"^{STATIC_URL}{assets.PREFIX}/"
MEDIA_URL = "/media/"
# Where uploads are stored: in a folder that web and workers share, or on S3.
MEDIA_BACKEND = env.str("DJANGO_MEDIA_BACKEND", default="local", choices=("local", "s3"))
# A rule of the bucket deletes images, so retention deletes only rows: docs/operations.md
MEDIA_S3_LIFECYCLE = MEDIA_BACKEND == "s3" and env.bool("DJANGO_MEDIA_S3_LIFECYCLE", default=False)
MEDIA_ROOT = env.path("DJANGO_MEDIA_ROOT", default=ROOT_DIR / ".run" / "media")
# An upload that would leave less free disk space than this gets 503.
MEDIA_MIN_FREE_BYTES = env.int("MEDIA_MIN_FREE_BYTES", default=100 * 1024 * 1024)
# An upload that would bring the size of all uploads above this also gets 503. 0 turns the limit off.
MEDIA_MAX_BYTES = env.int("MEDIA_MAX_BYTES", default=0)
# Image URLs are signed. A URL is valid for at least this time, and for at most twice as long.
MEDIA_URL_VALID_S = env.int("MEDIA_URL_VALID_S", default=3600)
# Whether to store images without EXIF, XMP, and similar metadata. If so, TIFF, AVIF, and HEIC are refused.
STRIP_IMAGE_METADATA = env.bool("STRIP_IMAGE_METADATA", default=False)
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "moon_vision_challenge.classification.media_store.folder.FolderStore"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if MEDIA_BACKEND == "s3":
    from botocore.config import Config  # imported only here: boto3 costs each process 20 MB and 0.2 s

    # https://django-storages.readthedocs.io/en/latest/backends/amazon-S3.html
    # boto3 finds the keys itself: in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or through the machine's role.
    STORAGES["default"] = {
        "BACKEND": "moon_vision_challenge.classification.media_store.s3.S3Store",
        "OPTIONS": {
            "bucket_name": env.str("DJANGO_MEDIA_S3_BUCKET"),
            "location": env.str("DJANGO_MEDIA_S3_PREFIX", default="media"),  # nothing outside it is served
            "region_name": env.str("DJANGO_MEDIA_S3_REGION", default="us-east-1"),
            # For a server other than Amazon's. Clients are redirected to it, so they and the service must reach it.
            "endpoint_url": env.str("DJANGO_MEDIA_S3_ENDPOINT_URL", default="") or None,
            "querystring_expire": env.int("DJANGO_MEDIA_S3_URL_EXPIRES_S", default=300),
            "deadline_s": env.float("DJANGO_MEDIA_S3_TIMEOUT_S", default=15.0),
            "client_config": Config(
                signature_version="s3v4",
                connect_timeout=1,  # seconds, for each wait, like the next one
                read_timeout=5,  # seconds
                retries={"mode": "standard", "total_max_attempts": 2},
                request_checksum_calculation="when_required",  # many other servers do not support more
                response_checksum_validation="when_required",
            ),
        },
    }
