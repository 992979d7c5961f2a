"""What a body may cost: memory and time in proportion to its size, whatever is in it."""

import base64
import gzip
import time
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from moon_vision_challenge.web.base64_text import decode_base64
from moon_vision_challenge.web.errors import MalformedBodyError
from moon_vision_challenge.web.tests.test_parsers import FIELD, FILE, parse_json, value_of

LENGTH = 600_000


def peak_ratio(run: Callable[[], object], size: int) -> float:
    """Return the peak memory of a run, as a multiple of the size of the input."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1] / size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("content", [b"[" + b"{}," * (LENGTH // 3) + b"1]", b"[" * LENGTH])
def test_a_part_of_json_is_not_parsed_to_find_that_it_is_not_text(content: bytes) -> None:
    def run() -> None:
        assert value_of(FIELD, "Content-Type: application/json", content=content) == content.decode()

    assert peak_ratio(run, len(content)) < 6


@pytest.mark.parametrize("text", ["AAA ", "AAAA ", "A\n", "A\u00a0"])
def test_blanks_in_base64_cost_a_few_copies_of_the_text(text: str) -> None:
    text *= LENGTH // len(text)
    expected = base64.b64decode("A" * text.count("A"))

    def run() -> None:
        assert decode_base64(text) == expected

    assert peak_ratio(run, len(text.encode())) < 6


def test_percent_signs_that_escape_nothing_are_refused_at_once() -> None:
    texts = {"hostile": "%" * LENGTH, "sound": "AAAA" * (LENGTH // 4)}

    def cpu_s(text: str) -> float:
        start = time.thread_time()
        try:
            decode_base64(text)
        except ValueError:
            assert text == texts["hostile"]
        return time.thread_time() - start

    least = {name: min(cpu_s(text) for _ in range(5)) for name, text in texts.items()}
    assert least["hostile"] < 8 * least["sound"]


def test_a_body_of_very_many_gzip_members_is_refused() -> None:
    """Each member is a decompression: millions of empty ones fit into a body."""
    assert parse_json(gzip.compress(b"", mtime=0) * 500 + gzip.compress(b"{}", mtime=0), "gzip") == {}
    for members in (b"", b"x"):
        with pytest.raises(MalformedBodyError, match="members"):
            parse_json(gzip.compress(members, mtime=0) * 5000, "gzip")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_body_of_many_blocks_is_decompressed(encoding: str) -> None:
    """The body is read in pieces, whose borders may lie anywhere."""
    deflate = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    pieces = [deflate.compress(b" ") + deflate.flush(zlib.Z_FULL_FLUSH) for _ in range(60_000)]
    body = b"".join(pieces) + deflate.compress(b'{"a": 1}') + deflate.flush()
    assert parse_json(body, encoding) == {"a": 1}
    with pytest.raises(MalformedBodyError, match="cut short"):
        parse_json(body[:-1], encoding)


def test_a_file_in_base64_of_blanks_is_empty() -> None:
    assert value_of(FILE, "Content-Transfer-Encoding: base64", content=b" \r\n" * 1000) == b""
