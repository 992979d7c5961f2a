"""The API of the service, as Python methods."""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from moonvision import settings
from moonvision.errors import (
    AuthenticationError,
    MoonVisionError,
    RejectedError,
    ServiceUnavailableError,
    UnreadableImageError,
)
from moonvision.images import SUFFIXES, Image
from moonvision.jobs import Job, idempotency_key, upload_of
from moonvision.results import Classification, Inference, Model, Result
from moonvision.transport import Transport

Source = Image | bytes | str | os.PathLike[str]
"""An image: its bytes, the path of a file, or an Image."""

_LONGEST_WAIT_S = 20
_POLL_S = 0.2
_AHEAD = 4
_JOBS = "/api/v1/jobs/"
_PAGE_SIZE = 1000


class Client:
    """A client of the service. Use it as a context manager, or call `close`. Threads can share it.

    Args:
        url: the address of the service. The default is MOONVISION_URL, or what `moonvision login` stored.
        token: an API token. The default is MOONVISION_TOKEN, or what `moonvision login` stored for this address.
        timeout_s: the time limit for connecting, and for each wait for the service to send or receive something.
        give_up_s: how long a request is retried while the service is unavailable.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, timeout_s: float = 60, give_up_s: float = 300
    ) -> None:
        account = settings.read(url=url, token=token)
        headers = {"Authorization": f"Bearer {account.token}"} if account.token else {}
        headers["User-Agent"] = "moonvision"
        limits = httpx.Limits(max_connections=None)
        connect = partial(httpx.Client, base_url=account.url, headers=headers, timeout=timeout_s, limits=limits)
        try:
            http = connect()
        except (ValueError, ImportError, OSError) as error:
            variables = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, and SSL_CERT_FILE"
            raise MoonVisionError(f"Cannot connect ({error}). Check the environment variables {variables}.") from error
        self._transport = Transport(http, give_up_s=give_up_s, renew=connect)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Requests in other threads end with ServiceUnavailableError."""
        self._transport.close()

    def classify(self, image: Source, model_type: str, *, top_k: int = 0) -> Classification:
        """Classify an image immediately.

        Args:
            top_k: how many of the most probable classes to return.

        Raises:
            UnreadableImageError: the file cannot be read.
            RejectedError: the service does not accept the image or the model.
            ServiceUnavailableError: the service was unavailable for `give_up_s`.
        """
        source = _image(image)
        params = {"top_k": top_k} if top_k else {}
        body = self._transport.request(
            "POST", "/api/v0/inferences/", params=params, **_form(source.read(), {"model_type": model_type})
        )
        return Classification.parse(body)

    def submit(
        self, image: Source, model_type: str, *, webhook_url: str = "", idempotency_key: str | None = None
    ) -> Inference:
        """Add an image to the queue.

        Args:
            idempotency_key: a second request with the same key returns the same inference. By default, the key is
                derived from the image and the other arguments, so submitting an image twice costs one inference. Pass
                "" to create a new inference.
        """
        data = _image(image).read()
        fields = {"model_type": model_type} | ({"webhook_url": webhook_url} if webhook_url else {})
        if idempotency_key is None:
            idempotency_key = hashlib.sha256("\n".join([model_type, webhook_url, ""]).encode() + data).hexdigest()
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        body = self._transport.request("POST", "/api/v1/inferences/", headers=headers, **_form(data, fields))
        return Inference.parse(body)

    def get(self, inference_id: int, *, wait_s: int = 0) -> Inference:
        """Return an inference. The service may hold the response for up to `wait_s` seconds, until it is final."""
        headers = {"Prefer": f"wait={wait_s}"} if wait_s else {}
        return Inference.parse(
            self._transport.request("GET", f"/api/v1/inferences/{int(inference_id)}/", headers=headers)
        )

    def cancel(self, inference_id: int) -> Inference:
        """Cancel an inference that no worker has started. Raises RejectedError if one has."""
        return Inference.parse(self._transport.request("POST", f"/api/v1/inferences/{int(inference_id)}/cancel/"))

    def wait(self, inference_id: int, *, timeout_s: float = 600) -> Inference:
        """Wait until an inference is final, and return it. Raises ServiceUnavailableError after `timeout_s`."""
        end = time.monotonic() + timeout_s
        pause_s = _POLL_S
        while True:
            begin = time.monotonic()
            left_s = max(1, min(_LONGEST_WAIT_S, int(end - begin)))
            inference = self.get(inference_id, wait_s=left_s)
            if inference.is_final:
                return inference
            if time.monotonic() >= end:
                raise ServiceUnavailableError(f"inference {inference_id} is still {inference.status}")
            if time.monotonic() - begin < pause_s:  # the service did not wait, because too many others do
                time.sleep(pause_s)
                pause_s = min(2.0, pause_s * 1.5)

    def create_job(
        self, source: str | os.PathLike[str], model_type: str, *, top_k: int = 1, webhook_url: str = ""
    ) -> Job:
        """Send a folder, or a zip, tar, or tar.gz file, as one job. Neither is read into memory.

        Sending the same files again returns the same job.

        Raises:
            UnreadableImageError: a file cannot be read, or the folder has no image.
            RejectedError: the service refuses the archive or the model, or there are too many files.
            ServiceUnavailableError: the service was unavailable for `give_up_s`.
        """
        upload = upload_of(Path(source), SUFFIXES)
        params = {"model_type": model_type, "top_k": top_k} | ({"webhook_url": webhook_url} if webhook_url else {})
        headers = {
            "Content-Type": upload.media_type,
            "Content-Length": str(upload.size),
            "Idempotency-Key": idempotency_key(upload, list(params.items())),
        }
        body = self._transport.request("POST", _JOBS, params=params, headers=headers, content=upload)
        return Job.parse(body)

    def jobs(self) -> list[Job]:
        """Return the newest jobs, without their counts."""
        return [Job.parse(each) for each in self._transport.request("GET", _JOBS)["results"]]

    def get_job(self, job_id: int, *, wait_s: int = 0) -> Job:
        """Return a job. The service may hold the response for up to `wait_s` seconds, until it is final."""
        headers = {"Prefer": f"wait={wait_s}"} if wait_s else {}
        return Job.parse(self._transport.request("GET", f"{_JOBS}{int(job_id)}/", headers=headers))

    def cancel_job(self, job_id: int) -> Job:
        """Cancel the images of a job that no worker has started. Raises RejectedError if the job has ended."""
        return Job.parse(self._transport.request("POST", f"{_JOBS}{int(job_id)}/cancel/"))

    def delete_job(self, job_id: int) -> Job:
        """Start the deletion of a job and all its images."""
        return Job.parse(self._transport.request("DELETE", f"{_JOBS}{int(job_id)}/"))

    def job_results(self, job_id: int) -> Iterator[dict[str, Any]]:
        """Yield the results in the order of the files: index, name, id, status, label, score, predictions, error."""
        after, is_over = -1, False
        while not is_over:
            params = {"after": after, "page_size": _PAGE_SIZE}
            page = self._transport.request("GET", f"{_JOBS}{int(job_id)}/results/", params=params)
            yield from page["results"]
            is_over = page["next"] is None
            after = -1 if is_over else page["results"][-1]["index"]

    def models(self) -> list[Model]:
        """Return the registered models and their state."""
        body = self._transport.request("GET", "/api/v1/models/")
        entries = body["results"] if isinstance(body, dict) else body
        return [Model.parse(each) for each in entries]

    def classify_many(
        self,
        images: Iterable[Source],
        model_type: str,
        *,
        top_k: int = 0,
        concurrency: int = 8,
        through_queue: bool = False,
    ) -> Iterator[Result]:
        """Classify images concurrently, and yield the results in the order of the images.

        An image that fails yields a Result with an error. At most four times `concurrency` images are read ahead, so
        the memory use does not depend on the number of images.

        Raises:
            MoonVisionError: the rest would fail as well, because the service is not available, or the token or the
                model is wrong.
        """

        def work(image: Image) -> Result:
            try:
                if through_queue:
                    return Result(image.name, self._classify_through_queue(image, model_type, top_k=top_k))
                return Result(image.name, self.classify(image, model_type, top_k=top_k))
            except MoonVisionError as error:
                if not _concerns_only_the_image(error):
                    raise
                return Result(image.name, error=error)

        return _in_order(work, (_image(each) for each in images), concurrency)

    def _classify_through_queue(self, image: Image, model_type: str, *, top_k: int) -> Classification:
        inference = self.submit(image, model_type)
        if inference.status in {"fail", "canceled"}:  # an earlier attempt, which has ended
            inference = self.submit(image, model_type, idempotency_key="")
        if not inference.is_final:
            inference = self.wait(inference.id)
        if inference.status != "done":
            raise RejectedError(inference.error or f"the inference is {inference.status}", code=inference.code)
        found = inference.classification
        return Classification(found.label, found.predictions[:top_k])


def _in_order(work: Callable[[Image], Result], images: Iterable[Image], concurrency: int) -> Iterator[Result]:
    running: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="moonvision")
    try:
        for image in images:
            running.append(pool.submit(work, image))
            if len(running) >= _AHEAD * concurrency:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _concerns_only_the_image(error: MoonVisionError) -> bool:
    if isinstance(error, UnreadableImageError):
        return True
    if isinstance(error, AuthenticationError) or not isinstance(error, RejectedError):
        return False
    return error.status not in {404, 405} and (not error.fields or "image" in error.fields)


def _image(source: Source) -> Image:
    if isinstance(source, Image):
        return source
    return Image.from_bytes(source) if isinstance(source, bytes) else Image.from_file(source)


def _form(data: bytes, fields: dict[str, str]) -> dict[str, Any]:
    return {"data": fields, "files": {"image": ("image", data)}}
