"""Reads the results of a job in the order of the request, with a bounded number in memory."""

import csv
from collections.abc import Iterator
from typing import Any

import orjson

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.jobs.models import Job

_CHUNK_ROWS = 500
# What spreadsheets read as a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_FIELDS = ("position", "name", "pk", "status", "label", "predictions", "error")


def read_page(job: Job, *, after: int, limit: int, status: str | None = None) -> list[dict[str, Any]]:
    """Return the results that follow the one at the index `after`."""
    rows = Inference.objects.filter(job_id=job.pk, position__gt=after)
    rows = rows.filter(status=status) if status else rows
    return [_result(row, job.top_k) for row in rows.order_by("position").values_list(*_FIELDS)[:limit]]


def as_jsonl(job: Job) -> Iterator[bytes]:
    """Yield one JSON object per line, in blocks."""
    for page in _pages(job):
        yield b"".join(orjson.dumps(result, option=orjson.OPT_APPEND_NEWLINE) for result in page)


def as_csv(job: Job) -> Iterator[bytes]:
    """Yield CSV (RFC 4180) with a header, in blocks. Text that spreadsheets read as a formula gets a leading quote."""
    writer = csv.writer(lines := _Lines())
    more = [f"{name}_{rank}" for rank in range(2, job.top_k + 1) for name in ("label", "score")]
    writer.writerow(["index", "name", "id", "status", "label", "score", *more, "error_code", "error"])
    yield lines.take()
    for page in _pages(job):
        writer.writerows(_cells(result, job.top_k) for result in page)
        yield lines.take()


class _Lines(list[str]):
    """A file-like object for csv.writer."""

    def write(self, line: str) -> None:
        self.append(line)

    def take(self) -> bytes:
        data = "".join(self).encode()
        self.clear()
        return data


def _pages(job: Job) -> Iterator[list[dict[str, Any]]]:
    after = -1
    while page := read_page(job, after=after, limit=_CHUNK_ROWS):
        yield page
        after = page[-1]["index"]


def _result(row: tuple[Any, ...], top_k: int) -> dict[str, Any]:
    position, name, inference_id, status, label, predictions, error = row
    is_best = bool(predictions) and predictions[0]["label"] == label
    return {
        "index": position,
        "name": name,
        "id": inference_id,
        "status": status,
        "label": label,
        "score": predictions[0]["score"] if is_best else None,
        "predictions": predictions[:top_k],
        "error": error if status != Inference.STATUS.DONE else None,
    }


def _cells(result: dict[str, Any], top_k: int) -> list[object]:
    others = [cell for one in result["predictions"][1:] for cell in (_safe(one["label"]), one["score"])]
    error = result["error"] or {"code": "", "detail": ""}
    return [
        *(result["index"], _safe(result["name"]), result["id"], result["status"]),
        *(_safe(result["label"]), result["score"]),
        *(others + [""] * (2 * (top_k - 1) - len(others))),
        *(error["code"], _safe(error["detail"])),
    ]


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
