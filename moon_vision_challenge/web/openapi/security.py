"""What an operation requires of its caller."""

from typing import Any

from drf_spectacular.openapi import AutoSchema

from moon_vision_challenge.accounts.access import Access

API_TOKEN = "apiToken"  # noqa: S105  # the name of the scheme
SCHEMES = {
    API_TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token. The names in `security` are the scopes that it needs. The operator can allow "
        "requests without a token.",
    }
}


class SchemaOfView(AutoSchema):
    """Takes the security requirement from the access rule that the view declares."""

    def get_auth(self) -> list[dict[str, list[str]]]:
        view: Any = self.view
        rule = view.access if isinstance(view.access, Access) else view.access[view.action]
        return [{API_TOKEN: [] if isinstance(rule, Access) else [rule.value]}]
