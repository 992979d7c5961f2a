"""The base of all pages of the admin."""

from collections.abc import Collection, Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, ValidationError
from django.db import DataError
from django.db.models import Model
from django.http import HttpRequest

from moon_vision_challenge.accounts import audit


def actor_of(request: HttpRequest) -> str:
    """Return the user of the admin, for the audit log."""
    return f"user:{request.user.pk}:{request.user.get_username()}"


class ServiceModelAdmin(admin.ModelAdmin[Any]):
    """Writes each change to the audit log, and rejects parameters that no link on the page contains."""

    audited_elsewhere: Collection[str] = ()
    """Those of `create`, `change`, and `delete` that other code audits in more detail."""
    name_field = ""
    """The field by which people recognize a row, if it is not a secret."""

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        if "create" not in self.audited_elsewhere:
            audit.record("admin.create", actor=actor_of(request), **self._about([obj]))
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        if "change" not in self.audited_elsewhere:
            fields = [field for part in message for field in part.get("changed", {}).get("fields", [])]
            audit.record("admin.change", actor=actor_of(request), **self._about([obj]), fields=fields)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        if "delete" not in self.audited_elsewhere:
            audit.record("admin.delete", actor=actor_of(request), **self._about(queryset))
        return super().log_deletions(request, queryset)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Raises BadRequest if the key of a row is malformed. Django would fail."""
        for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.run_validators(self.opts.pk.to_python(key))
            except ValidationError as error:
                raise BadRequest("The key of a chosen row is not valid.") from error
        return super().changelist_view(request, extra_context)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Raises IncorrectLookupParameters, which Django handles, for filter values that Django does not check."""
        try:
            return super().get_changelist_instance(request)
        except (ValueError, OverflowError, DataError) as error:  # a null character, an overlong number
            raise IncorrectLookupParameters from error

    def _about(self, rows: Iterable[Model]) -> dict[str, Any]:
        rows = list(rows)
        names = {"names": [getattr(each, self.name_field) for each in rows]} if self.name_field else {}
        return {"model": self.opts.label_lower, "ids": [each.pk for each in rows], **names}
