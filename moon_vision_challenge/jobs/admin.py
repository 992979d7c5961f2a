from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet, URLField
from django.http import HttpRequest

from moon_vision_challenge.accounts.service_admin import ServiceModelAdmin, actor_of
from moon_vision_challenge.classification.admin import ModelTypeFilter
from moon_vision_challenge.jobs import progress, services, tasks
from moon_vision_challenge.jobs.errors import JobNotRunningError
from moon_vision_challenge.jobs.models import Job


@admin.register(Job)
class JobAdmin(ServiceModelAdmin):
    """Shows jobs. They can only be canceled or deleted, both in the background."""

    audited_elsewhere = ("delete",)
    list_display = ["id", "owner", "model_type", "status", "total", "progress", "created_at", "finished_at"]
    list_filter = ["status", "owner", ModelTypeFilter, "created_at"]
    list_select_related = ["owner"]
    list_per_page = 50
    search_fields = ["=id"]
    ordering = ["-id"]
    show_full_result_count = False
    actions = ["cancel", "delete_in_background"]
    formfield_overrides = {URLField: {"assume_scheme": "https"}}
    exclude = ["idempotency_scope", "idempotency_key", "payload_sha256", "boundary"]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Count the images of all listed jobs with one query."""
        changes = super().get_changelist_instance(request)
        counts = progress.count_all(changes.result_list)
        for job in changes.result_list:
            job.__dict__["listed_counts"] = counts[job.pk]
        return changes

    @admin.display
    def progress(self, job: Job) -> str:
        counts: dict[str, int] = job.__dict__["listed_counts"]
        return ", ".join(f"{count:,} {status}" for status, count in counts.items() if count)

    @admin.action(description="Cancel", permissions=["delete"])
    def cancel(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        for job in jobs:
            try:
                services.cancel_job(job_id=job.pk, actor=actor_of(request))
                tasks.advance_soon(job.pk)
            except JobNotRunningError as error:
                self.message_user(request, f"{job}: {error.detail}", messages.ERROR)

    @admin.action(description="Delete with all images", permissions=["delete"])
    def delete_in_background(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        for job in jobs:
            self.delete_model(request, job)

    def delete_model(self, request: HttpRequest, obj: Job) -> None:
        services.delete_job(job_id=obj.pk, actor=actor_of(request))
        tasks.advance_soon(obj.pk)

    def get_actions(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:  # Django 6 passes one more argument
        actions = super().get_actions(request, *args, **kwargs)
        actions.pop("delete_selected", None)  # it would delete the rows of jobs, but leave their images
        return actions

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:  # noqa: ARG002
        return False
