from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from moon_vision_challenge.accounts import audit, token_cache, tokens
from moon_vision_challenge.accounts.caller import Scope
from moon_vision_challenge.accounts.models import ApiToken, Owner
from moon_vision_challenge.accounts.service_admin import ServiceModelAdmin, actor_of

admin.site.unregister([User, Group])


@admin.register(User)
class ServiceUserAdmin(ServiceModelAdmin, UserAdmin[User]):
    name_field = "username"


@admin.register(Group)
class ServiceGroupAdmin(ServiceModelAdmin, GroupAdmin):
    name_field = "name"


@admin.register(Owner)
class OwnerAdmin(ServiceModelAdmin):
    audited_elsewhere = ("create", "change")
    list_display = ["name", "user", "is_active", "created_at"]
    list_filter = ["is_active"]
    search_fields = ["name"]
    autocomplete_fields = ["user"]

    def has_delete_permission(self, request: HttpRequest, obj: Owner | None = None) -> bool:  # noqa: ARG002
        """Forbid deletion, because rows refer to owners. Deactivate the owner instead."""
        return False

    def save_model(self, request: HttpRequest, obj: Owner, form: forms.ModelForm[Owner], change: bool) -> None:
        super().save_model(request, obj, form, change)
        token_cache.tokens.clear()
        action = "owner.change" if change else "owner.create"
        audit.record(action, actor=actor_of(request), owner=obj.name, is_active=obj.is_active)


class ApiTokenForm(forms.ModelForm[ApiToken]):
    scopes = forms.MultipleChoiceField(
        choices=[(scope.value, scope.value) for scope in Scope],
        initial=list(tokens.DEFAULT_SCOPES),
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = ApiToken
        fields = ["owner", "name", "scopes", "expires_at", "rate"]

    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at and expires_at <= timezone.now():
            raise forms.ValidationError("This time has passed.")
        return expires_at

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        same = {"owner": cleaned.get("owner"), "name": cleaned.get("name"), "revoked_at": None}
        if ApiToken.objects.filter(**same).exists():
            self.add_error("name", "This owner already has a token with this name.")
        return cleaned


class SecretOnceMixin:
    """Shows a new secret on the next page, and nowhere else. Messages would store it in a cookie."""

    explanation: str

    def response_add(self, request: HttpRequest, obj: Model, post_url_continue: str | None = None) -> HttpResponse:  # noqa: ARG002
        context = {
            **admin.site.each_context(request),
            "title": str(obj),
            "explanation": self.explanation,
            "secret": request.__dict__.pop("new_secret"),
            "next": reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_changelist"),
        }
        return TemplateResponse(request, "accounts/secret.html", context)  # the admin prevents caching


@admin.register(ApiToken)
class ApiTokenAdmin(SecretOnceMixin, ServiceModelAdmin):
    audited_elsewhere = ("create",)
    form = ApiTokenForm
    explanation = "The API token."
    list_display = ["name", "owner", "prefix", "scopes", "state", "rate", "expires_at", "last_used_at"]
    list_filter = ["owner"]
    list_select_related = ["owner"]
    search_fields = ["name", "owner__name", "prefix"]
    actions = ["revoke"]

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:  # noqa: ARG002
        """Forbid deletion: a revoked token stays in the list."""
        return False

    def save_model(self, request: HttpRequest, obj: ApiToken, form: forms.ModelForm[ApiToken], change: bool) -> None:  # noqa: ARG002
        token, secret = tokens.create_token(
            owner=obj.owner,
            name=obj.name,
            scopes=obj.scopes,
            expires_at=obj.expires_at,
            rate=obj.rate,
            actor=actor_of(request),
        )
        obj.pk, obj.prefix = token.pk, token.prefix
        request.__dict__["new_secret"] = secret

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiToken]) -> None:
        revoked = sum(tokens.revoke_token(token, actor=actor_of(request)) for token in chosen.select_related("owner"))
        self.message_user(request, f"Revoked {revoked} tokens.")
