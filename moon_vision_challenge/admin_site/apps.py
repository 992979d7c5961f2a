from django.apps import AppConfig
from django.contrib.admin import apps as django_admin  # as a module: an imported class would be a second default


class AdminSiteConfig(AppConfig):
    """The app of this package, which has templates and static files."""

    default = True
    name = "moon_vision_challenge.admin_site"


class AdminWithFrontPageConfig(django_admin.AdminConfig):
    """Django's admin, with this service's front page. It replaces django.contrib.admin in INSTALLED_APPS."""

    default = False
    default_site = "moon_vision_challenge.admin_site.site.ServiceAdminSite"
