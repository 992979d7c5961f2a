"""Stores uploads in a folder or on S3, and signs the URLs at which clients see them."""

from typing import cast

from django.core.files.storage import default_storage

from moon_vision_challenge.classification.media_store.contract import MediaStore

media_store = cast("MediaStore", default_storage)
"""The store that DJANGO_MEDIA_BACKEND selects."""

__all__ = ["MediaStore", "media_store"]
