"""While the model works on a part of a claim, the next part is read."""

import gc
import os
import threading
import tracemalloc
from collections.abc import Iterator

import pytest
from PIL import Image
from pytest_django import Settings

from chaos.corpus import jpeg
from moon_vision_challenge.classification.exceptions import StorageUnavailableError
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import batch, picture_reader, worker
from moon_vision_challenge.classification.queue.picture_reader import Part
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.rows import QUEUE, STATUS, create
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.observability import log_context

pytestmark = pytest.mark.django_db

DEADLINE_S = 50  # shorter than the client's timeout


class Reads:
    """Counts the images that are read, and fails at one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails_at: int | None = None) -> None:
        self.count = 0
        self.changed = threading.Condition()
        self.subjects: set[log_context.Subject] = set()
        self._read, self._fails_at = picture_reader._read_image, fails_at
        monkeypatch.setattr(picture_reader, "_read_image", self.read)

    def read(self, inference: Inference) -> Image.Image:
        if self.count == self._fails_at:
            raise StorageUnavailableError("no disk")
        image = self._read(inference)
        with self.changed:
            self.count += 1
            self.subjects.add(log_context.current())
            self.changed.notify_all()
        return image


@pytest.fixture(autouse=True)
def batches_of_two(settings: Settings) -> None:
    settings.INFERENCE_BATCH_SIZE = 2


def claim(rows: int) -> list[Inference]:
    return worker.claim_batch(queue=QUEUE, limit=rows)


def test_the_next_part_is_read_while_the_model_works_and_no_more(
    jpeg: bytes, start_fake: StartFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(6):
        create(jpeg)
    reads = Reads(monkeypatch)
    seen: list[int] = []

    def answer(handler: fake.Handler) -> None:
        if handler.command == "GET":
            return fake.predicts(281)(handler)
        with reads.changed:
            expected = min(6, 2 * len(seen) + 4)
            reads.changed.wait_for(lambda: reads.count >= expected, DEADLINE_S)
            seen.append(reads.count)
        return fake.predicts(281)(handler)

    start_fake(answer)
    outcomes = batch.run(claim(6))
    assert seen == [4, 6, 6]
    assert [outcome.label for outcome in outcomes] == ["tabby"] * 6


def test_nothing_is_read_beside_a_large_part(
    jpeg: bytes, start_fake: StartFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_reader, "_MAX_PIXELS_BESIDE", 1)
    for _ in range(6):
        create(jpeg)
    reads = Reads(monkeypatch)
    seen: list[int] = []

    def answer(handler: fake.Handler) -> None:
        if handler.command != "GET":
            seen.append(reads.count)
        return fake.predicts(281)(handler)

    start_fake(answer)
    outcomes = batch.run(claim(6))
    assert seen == [2, 4, 6]
    assert [outcome.label for outcome in outcomes] == ["tabby"] * 6


@pytest.mark.parametrize("count", [2, 6])
def test_the_pixels_of_a_part_are_freed_before_the_next_but_one_is_read(
    jpeg: bytes, start_fake: StartFake, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    images: list[Image.Image] = []
    original = picture_reader._read_image

    def read(inference: Inference) -> Image.Image:
        assert all(is_closed(image) for image in images[:-4])
        images.append(original(inference))
        return images[-1]

    monkeypatch.setattr(picture_reader, "_read_image", read)
    for _ in range(count):
        create(jpeg)
    start_fake(fake.predicts(281))
    assert [outcome.label for outcome in batch.run(claim(count))] == ["tabby"] * count
    assert all(is_closed(image) for image in images)


def is_closed(image: Image.Image) -> bool:
    try:
        image.getpixel((0, 0))
    except ValueError:
        return True
    return False


def test_a_claim_of_one_part_needs_no_thread(
    jpeg: bytes, start_fake: StartFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[threading.Thread] = set()
    original = picture_reader._read_image

    def read(inference: Inference) -> Image.Image:
        threads.add(threading.current_thread())
        return original(inference)

    monkeypatch.setattr(picture_reader, "_read_image", read)
    for _ in range(2):
        create(jpeg)
    start_fake(fake.predicts(281))
    batch.run(claim(2))
    assert threads == {threading.current_thread()}


def test_when_the_store_goes_away_the_rows_that_were_read_are_done_and_the_others_wait(
    jpeg: bytes, start_fake: StartFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(6):
        create(jpeg)
    reads = Reads(monkeypatch, fails_at=3)
    start_fake(fake.predicts(281))
    outcomes = batch.run(claim(6))
    statuses = {outcome.inference.pk: outcome.status for outcome in outcomes}
    assert [statuses[pk] for pk in sorted(statuses)] == [STATUS.DONE] * 3 + [STATUS.PENDING] * 3
    assert reads.count == 3


def test_what_the_reading_thread_logs_is_about_what_its_caller_logs_about(
    jpeg: bytes, start_fake: StartFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        create(jpeg)
    reads = Reads(monkeypatch)
    start_fake(fake.predicts(281))
    with log_context.about(request_id="a-request"):
        batch.run(claim(4))
    assert {subject.request_id for subject in reads.subjects} == {"a-request"}


def test_a_fork_of_a_process_that_has_read_ahead_reads_ahead() -> None:
    def parts() -> Iterator[Part]:
        yield Part()
        yield Part()

    assert len(list(picture_reader._read_ahead(parts()))) == 2
    pid = os.fork()
    if pid == 0:
        os._exit(len(list(picture_reader._read_ahead(parts()))))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_the_bytes_of_a_file_are_freed_when_it_has_been_decoded() -> None:
    """A row and its file form a reference cycle. Until it is collected, a hundred files of 20 MB may be read."""
    size = 1_000_000
    rows = [create(jpeg.before_end(b"\xff" * size)) for _ in range(4)]
    tracemalloc.start()
    try:
        for row in rows:
            picture_reader._read_image(row).close()
        assert tracemalloc.get_traced_memory()[0] < size
    finally:
        tracemalloc.stop()
