"""The WSGI application. config/web_server.py serves it, and so can any other WSGI server."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
django.setup(set_prefix=False)

from moon_vision_challenge.web.application import Application  # noqa: E402  # it needs Django's settings

application = Application()
