"""Admin lists for tables with millions of rows: no page reads or counts all of them."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db import connection, models
from django.db.models import Max, Min, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from moon_vision_challenge.accounts.service_admin import ServiceModelAdmin

COUNTED = 10_000
"""Up to this number, rows are counted. Above it, the number is PostgreSQL's estimate."""
MAX_PAGES = 200
"""A later page would read all rows before it. Filters and dates also lead to those rows."""
SEARCHED = 100_000
"""A search for text reads this many rows: the newest of those that match the filters."""
FOUND = 1_000
"""A search for text shows this many rows."""
MAX_CHOSEN = 1_000
"""The most rows that one action can change within the time of a request."""
_MAX_KEY = 2**63 - 1


class EstimatingPaginator(Paginator[Any]):
    """Uses the planner's estimate for the number of rows, which is derived from pg_class and the statistics."""

    object_list: QuerySet[Any]

    @property
    def count(self) -> int:
        if not hasattr(self, "_count"):
            self._count = self._estimate()
        return self._count

    @property
    def num_pages(self) -> int:
        pages = -(-self.count // int(self.per_page))
        return max(1, min(MAX_PAGES, pages))

    def _estimate(self) -> int:
        rows = self.object_list.order_by()
        counted = rows.values("pk")[: COUNTED + 1].count()
        return counted if counted <= COUNTED else max(counted, estimated_count(rows))


def estimated_count(rows: QuerySet[Any]) -> int:
    """Return how many rows PostgreSQL expects. It does not read them."""
    sql, parameters = rows.values("pk").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
        (plan,) = cursor.fetchone()
    return int((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]["Plan Rows"])


class PeriodsQuerySet(QuerySet[Any]):
    """Gives the admin's date hierarchy every period between the first row and the last one.

    Django would read all rows to leave out the periods without a row.
    """

    def datetimes(self, field_name: str, kind: str, order: str = "ASC", tzinfo: Any = None) -> Any:  # noqa: ARG002
        ends = self.aggregate(first=Min(field_name), last=Max(field_name))
        if ends["first"] is None:
            return self.none()
        return list(_periods(_begin(ends["first"], kind), ends["last"], kind))


def _periods(begin: datetime, last: datetime, kind: str) -> Iterator[datetime]:
    while begin <= last:
        yield begin
        begin = _begin(begin + timedelta(days={"day": 1, "month": 31, "year": 366}[kind]), kind)


def _begin(moment: datetime, kind: str) -> datetime:
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if kind == "day":
        return day
    return day.replace(day=1) if kind == "month" else day.replace(day=1, month=1)


class LargeTableAdmin(ServiceModelAdmin):
    """An admin whose list stays fast. Its rows are in the order of an index: newest first.

    A search for a number reads `key_fields`, which need an index. A search for other text reads `text_fields`.
    """

    paginator = EstimatingPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each facet would be a count
    list_per_page = 50
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    key_fields: tuple[str, ...] = ("pk",)
    text_fields: tuple[str, ...] = ()

    @property
    def search_fields(self) -> tuple[str, ...]:  # type: ignore[override]  # Django's name, which shows the search box
        return self.key_fields + self.text_fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return PeriodsQuerySet(self.model).order_by(*self.get_ordering(request))

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip().replace("\0", "")
        if not term:
            return queryset, False
        if term.isdecimal():
            # Not Django's "=id", which compares text, and therefore reads all rows.
            key = min(int(term[:20]), _MAX_KEY)
            return queryset.filter(_any_of(self.key_fields, "exact", key)), False
        matches = _newest(queryset).filter(_any_of(self.text_fields, "icontains", term))
        # Search once. The list, its count, and its dates are then lookups by key.
        found = list(matches.order_by("-created_at").values_list("pk", "created_at")[:FOUND])
        if not found:
            return queryset.none(), False
        # The times are for the planner, which would otherwise look for the first and the last date among all rows.
        times = (found[-1][1], found[0][1])
        return queryset.filter(pk__in=[key for key, _ in found], created_at__range=times), False

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *arguments: Any) -> HttpResponse | None:
        """Refuse an action on more rows than a request can change."""
        chooses_all = request.POST.get("select_across") == "1"
        if chooses_all and len(queryset.values_list("pk")[: MAX_CHOSEN + 1]) > MAX_CHOSEN:
            text = f"An action changes at most {MAX_CHOSEN:,} rows. Choose fewer, or use the shell: manage.py --help."
            self.message_user(request, text, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset, *arguments)


def _any_of(fields: Sequence[str], lookup: str, value: object) -> models.Q:
    return models.Q(*((f"{field}__{lookup}", value) for field in fields), _connector=models.Q.OR)


def _newest(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return the SEARCHED newest rows, and any as old as the last of them."""
    times = rows.order_by("-created_at").values_list("created_at", flat=True)
    oldest = times[SEARCHED - 1 : SEARCHED].first()
    return rows.filter(created_at__gte=oldest) if oldest else rows
