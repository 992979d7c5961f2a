"""Admin lists of tables with millions of rows: no page reads or counts all of them."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db import connection, models
from django.db.models import Max, Min, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

COUNTED = 10_000
"""Up to this number, rows are counted. Above it, the number is PostgreSQL's estimate."""
MAX_PAGES = 1_000
"""A page far behind would read all rows before it. Filters and dates lead there, too."""
SEARCHED = 100_000
"""A search for text reads this many rows: the newest of those that the filters leave."""
MAX_CHOSEN = 1_000
"""The most rows that one action changes, within the time of a request."""


class EstimatingPaginator(Paginator[Any]):
    """Takes the planner's estimate for the number of rows, which it derives from pg_class and the statistics."""

    object_list: QuerySet[Any]

    @property
    def count(self) -> int:  # type: ignore[override]  # a cached property in Django
        if not hasattr(self, "_count"):
            self._count = self._estimate()
        return self._count

    @property
    def num_pages(self) -> int:  # type: ignore[override]
        pages = -(-self.count // int(self.per_page))
        return max(1, min(MAX_PAGES, pages))

    def _estimate(self) -> int:
        rows = self.object_list.order_by()
        counted = rows.values("pk")[: COUNTED + 1].count()
        return counted if counted <= COUNTED else max(counted, estimated_count(rows))


def estimated_count(rows: QuerySet[Any]) -> int:
    """How many rows PostgreSQL expects. It reads none of them."""
    sql, parameters = rows.values("pk").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
        (plan,) = cursor.fetchone()
    return int((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]["Plan Rows"])


class PeriodsQuerySet(QuerySet[Any]):
    """Gives the admin's date hierarchy every period between the first row and the last one.

    Django reads all rows to leave out the periods without a row.
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


class LargeTableAdmin(admin.ModelAdmin[Any]):
    """An admin whose list stays fast. List the fields that a search for text looks at in `text_fields`."""

    paginator = EstimatingPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each number would be a count
    list_per_page = 50
    ordering = ("-pk",)
    text_fields: tuple[str, ...] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        rows.__class__ = PeriodsQuerySet
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search for a number among ids, by their index, and for other text among the newest rows."""
        term = search_term.strip()
        if not term or self.finds_key(term):
            return super().get_search_results(request, queryset, search_term)
        newest = queryset.order_by("-pk").values("pk")[:SEARCHED]
        matches = models.Q(*((f"{field}__icontains", term) for field in self.text_fields), _connector=models.Q.OR)
        return queryset.filter(matches, pk__in=newest), False

    def finds_key(self, term: str) -> bool:
        """Whether to look a search term up in `search_fields`, which have an index."""
        return term.isdecimal()

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Refuse an action on more rows than a request can change."""
        chooses_all = request.POST.get("select_across") == "1"
        if chooses_all and len(queryset.order_by("-pk").values_list("pk")[: MAX_CHOSEN + 1]) > MAX_CHOSEN:
            text = f"An action changes at most {MAX_CHOSEN:,} rows. Choose fewer, or use the shell: manage.py --help."
            self.message_user(request, text, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset)
