"""Jobs: many images in one request."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.helpers import forced_singular_serializer
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.utils.urls import replace_query_param
from rest_framework.viewsets import GenericViewSet

from moon_vision_challenge.accounts.caller import Scope, caller_of
from moon_vision_challenge.classification.api import headers
from moon_vision_challenge.jobs import results, services, tasks
from moon_vision_challenge.jobs.api import schema
from moon_vision_challenge.jobs.api.parsers import PARSERS
from moon_vision_challenge.jobs.api.serializers import (
    JobListQuerySerializer,
    JobOptionsSerializer,
    JobPageSerializer,
    JobProgressSerializer,
    JobSerializer,
    JobUploadSerializer,
    ResultPageSerializer,
    ResultQuerySerializer,
)
from moon_vision_challenge.jobs.errors import EmptyJobError
from moon_vision_challenge.jobs.models import Job
from moon_vision_challenge.jobs.uploads import Upload
from moon_vision_challenge.web.throttling.middleware import charge
from moon_vision_challenge.web.throttling.policies import Scope as RateScope


class JobViewSet(GenericViewSet[Job]):
    """Many images in one request, classified through the queue."""

    access: ClassVar = {
        "create": Scope.CLASSIFY,
        "list": Scope.READ,
        "retrieve": Scope.READ,
        "results": Scope.READ,
        "results_jsonl": Scope.READ,
        "results_csv": Scope.READ,
        "cancel": Scope.CLASSIFY,
        "destroy": Scope.CLASSIFY,
    }
    serializer_class = JobUploadSerializer  # OPTIONS shows its fields
    rate_scope = RateScope.CREATE
    parser_classes = PARSERS
    lookup_value_regex = "[0-9]+"

    def get_queryset(self) -> QuerySet[Job]:
        """The jobs of the caller's owner: the others do not exist for it."""
        return Job.objects.filter(owner_id=caller_of(self.request).owner_id)

    @extend_schema(
        operation_id="create_job",
        summary="Create a job",
        request=schema.REQUEST,
        parameters=[
            JobOptionsSerializer,
            schema.IDEMPOTENCY_KEY,
            schema.PREFER,
            schema.location(200, 201),
            *schema.headers_of_job(200, 201),
        ],
        responses={
            200: OpenApiResponse(
                JobProgressSerializer, description="The job that an earlier request with this Idempotency-Key created."
            ),
            201: OpenApiResponse(JobProgressSerializer, "The job was created."),
            **schema.CREATE_ERRORS,
        },
    )
    def create(self, request: Request) -> Response:
        idempotency = headers.read_idempotency_key(request)
        upload = request.data
        if not isinstance(upload, Upload):  # DRF calls no parser for an empty body
            raise EmptyJobError
        with upload:
            contents = upload.inspect()
            options = JobOptionsSerializer(
                data={**request.query_params.dict(), **contents.fields}, context={"request": request}
            )
            options.is_valid(raise_exception=True)
            charge(request, images=contents.total - 1, stored_bytes=upload.size)
            job, is_new = services.create_job(
                owner_id=caller_of(request).owner_id,
                upload=upload,
                contents=contents,
                options=options.options(),
                idempotency=idempotency,
            )
        if is_new:
            tasks.advance_soon(job.pk)
        response = self._show(request, job, status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)
        response["Location"] = reverse("job-detail", [job.pk], request=request)
        return response

    @extend_schema(
        operation_id="list_jobs",
        summary="List jobs",
        parameters=[JobListQuerySerializer],
        responses={
            200: OpenApiResponse(
                forced_singular_serializer(JobPageSerializer),  # type: ignore[no-untyped-call]
                "A page.",
            ),
            **schema.LIST_ERRORS,
        },
        filters=False,
    )
    def list(self, request: Request) -> Response:
        query = _read(JobListQuerySerializer, request)
        lookups = {"status": query.get("status"), "pk__lt": query.get("before")}
        jobs = self.get_queryset().filter(**{name: value for name, value in lookups.items() if value is not None})
        page = list(jobs.order_by("-pk")[: query["page_size"]])
        is_full = len(page) == query["page_size"]
        return Response(
            {
                "next": _next(request, "before", page[-1].pk) if is_full else None,
                "results": JobSerializer(page, many=True).data,
            }
        )

    @extend_schema(
        operation_id="get_job",
        summary="Get a job",
        parameters=[schema.JOB_ID, schema.PREFER, *schema.headers_of_job(200)],
        responses={200: OpenApiResponse(JobProgressSerializer, "The job."), **schema.ROW_ERRORS},
    )
    def retrieve(self, request: Request, **_: str) -> Response:
        return self._show(request, self.get_object(), status.HTTP_200_OK)

    @extend_schema(
        operation_id="list_job_results",
        summary="List the results of a job",
        parameters=[schema.JOB_ID, ResultQuerySerializer],
        responses={200: OpenApiResponse(ResultPageSerializer, "A page."), **schema.RESULT_ERRORS},
    )
    @action(detail=True, methods=["get"])
    def results(self, request: Request, **_: str) -> Response:
        query = _read(ResultQuerySerializer, request)
        limit = query["page_size"]
        page = results.read_page(self.get_object(), after=query["after"], limit=limit, status=query.get("status"))
        is_full = len(page) == limit
        return Response({"next": _next(request, "after", page[-1]["index"]) if is_full else None, "results": page})

    @extend_schema(
        operation_id="get_job_results_as_json_lines",
        summary="Get all results of a job as JSON lines",
        parameters=[schema.JOB_ID, schema.DISPOSITION],
        responses={**schema.JSONL, **schema.ROW_ERRORS},
    )
    def results_jsonl(self, request: Request, **_: str) -> StreamingHttpResponse:  # noqa: ARG002
        job = self.get_object()
        return _download(results.as_jsonl(job), "application/jsonl", f"job-{job.pk}.jsonl")

    @extend_schema(
        operation_id="get_job_results_as_csv",
        summary="Get all results of a job as CSV",
        parameters=[schema.JOB_ID, schema.DISPOSITION],
        responses={**schema.CSV, **schema.ROW_ERRORS},
    )
    def results_csv(self, request: Request, **_: str) -> StreamingHttpResponse:  # noqa: ARG002
        job = self.get_object()
        return _download(results.as_csv(job), "text/csv; charset=utf-8", f"job-{job.pk}.csv")

    @extend_schema(
        operation_id="cancel_job",
        summary="Cancel a job",
        request=None,
        parameters=[schema.JOB_ID, *schema.headers_of_job(200)],
        responses={200: OpenApiResponse(JobProgressSerializer, "The job is being canceled."), **schema.CANCEL_ERRORS},
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **_: str) -> Response:
        job = services.cancel_job(job_id=self.get_object().pk, actor=caller_of(request))
        tasks.advance_soon(job.pk)
        return self._show(request, job, status.HTTP_200_OK)

    @extend_schema(
        operation_id="delete_job",
        summary="Delete a job",
        parameters=[schema.JOB_ID, *schema.headers_of_job(202)],
        responses={
            202: OpenApiResponse(JobProgressSerializer, description="The job is being deleted in the background."),
            **schema.ROW_ERRORS,
        },
    )
    def destroy(self, request: Request, **_: str) -> Response:
        job = self.get_object()
        services.delete_job(job_id=job.pk, actor=caller_of(request))
        tasks.advance_soon(job.pk)
        job.refresh_from_db()
        return self._show(request, job, status.HTTP_202_ACCEPTED)

    def _show(self, request: Request, job: Job, status_code: int) -> Response:
        """Return the job as it is now, or after the wait that the client prefers."""
        wait_s = headers.read_wait_s(request)
        is_granted = False
        if wait_s and not job.is_final and status_code != status.HTTP_202_ACCEPTED:
            is_granted = services.wait_until_final(job_id=job.pk, timeout_s=wait_s)
            job.refresh_from_db()
        response = Response(JobProgressSerializer(job, context={"request": request}).data, status=status_code)
        if is_granted:
            response["Preference-Applied"] = f"wait={wait_s}"
        if not job.is_final:
            response["Retry-After"] = "1"
        return response


def _read(serializer_class: type[Any], request: Request) -> dict[str, Any]:
    query = serializer_class(data=request.query_params.dict())
    query.is_valid(raise_exception=True)
    found: dict[str, Any] = query.validated_data
    return found


def _next(request: Request, name: str, value: int) -> str:
    return replace_query_param(request.build_absolute_uri(), name, value)


def _download(blocks: Any, media_type: str, filename: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(blocks, content_type=media_type)
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response
