"""Processes that count, end, and are killed, and the sum of all their counts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import Metric

from moon_vision_challenge.observability import sample_files

COUNTING = """
import os, sys
from pathlib import Path
from moon_vision_challenge.observability import sample_files
sample_files.use_folder(Path(sys.argv[1]))
from prometheus_client import CollectorRegistry, Counter, Histogram
registry = CollectorRegistry()
things = Counter("things", "Things.", ["kind"], registry=registry)
seconds = Histogram("took_seconds", "Time.", ["kind"], registry=registry, buckets=(1, 2))
def count():
    for line in sys.stdin:
        things.labels("a").inc(int(line))
        seconds.labels("a").observe(int(line))
        print("counted", flush=True)
"""

SUMMING = """
import json, sys
from pathlib import Path
from moon_vision_challenge.observability.tests.test_sample_files import samples
print(json.dumps(samples(Path(sys.argv[1]))))
"""


class Counting:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def count(self, number: int) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "counted\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def counting(folder: Path, code: str = "count()") -> Iterator[Counting]:
    command = [sys.executable, "-c", COUNTING + code, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Counting(process)
        finally:
            process.kill()


def samples(folder: Path) -> dict[str, float]:
    """Return a mapping of each name, and of each bucket of a histogram → value."""
    metrics: list[Metric] = list(sample_files.collect(folder))
    return {
        sample.name + (f"<{sample.labels['le']}" if "le" in sample.labels else ""): sample.value
        for metric in metrics
        for sample in metric.samples
    }


def test_the_sum_of_living_and_ended_processes_is_exact(tmp_path: Path) -> None:
    with counting(tmp_path) as first, counting(tmp_path) as second:
        first.count(1)
        second.count(2)
        assert samples(tmp_path)["things_total"] == 3
        second.kill()
        assert samples(tmp_path)["things_total"] == 3
        first.count(3)
        found = samples(tmp_path)
    assert found["things_total"] == 6
    assert (found["took_seconds_count"], found["took_seconds_sum"]) == (3, 6)
    assert [found[f"took_seconds_bucket<{le}"] for le in ("1.0", "2.0", "+Inf")] == [1, 2, 3]


def test_the_files_of_ended_processes_do_not_stay(tmp_path: Path) -> None:
    for _ in range(5):
        with counting(tmp_path) as process:
            process.count(1)
        samples(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter_folded.db", "exporter", "histogram_folded.db"]
    assert samples(tmp_path)["things_total"] == 5


def test_a_forked_child_counts_separately_from_its_parent(tmp_path: Path) -> None:
    fork = """
things.labels("a").inc(10)
seconds.labels("a").observe(1)
if os.fork() == 0:
    count()
    os._exit(0)
os.wait()
"""
    with counting(tmp_path, fork) as process:
        process.count(1)
        process.count(2)
        assert samples(tmp_path)["things_total"] == 13
        assert len(list(tmp_path.glob("*.lock"))) == 2


def test_a_process_that_never_counts_leaves_no_file(tmp_path: Path) -> None:
    with counting(tmp_path) as process:
        assert process.process.stdin is not None
        process.process.stdin.close()
        process.process.wait()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_source_gone", [True, False])
def test_a_crash_of_the_exporter_counts_nothing_twice(tmp_path: Path, *, is_source_gone: bool) -> None:
    with counting(tmp_path) as process:
        process.count(1)
        samples(tmp_path)
        process.count(1)
    name = next(tmp_path.glob("*.lock")).stem
    ended = sample_files.sample_file(tmp_path, "counter", name)
    complete = ended.read_bytes()
    (tmp_path / f"counter_{name}.new").write_bytes(complete)
    if is_source_gone:
        ended.unlink()
    assert samples(tmp_path)["things_total"] == 2


def test_a_process_continues_without_a_place_to_count(tmp_path: Path) -> None:
    """Memory-mapped pages that the disk has no room for would kill the process."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    ignore = f"import signal; signal.signal({int(signal.SIGXFSZ)}, signal.SIG_IGN)\n"
    with counting(tmp_path, limit + ignore + "count()") as process:
        process.count(1)
    assert list(tmp_path.glob("*.db")) == []


def test_two_exporters_take_turns(tmp_path: Path) -> None:
    with counting(tmp_path) as process:
        process.count(1)
    command = [sys.executable, "-c", SUMMING, str(tmp_path)]
    exporters = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for exporter in exporters:
        output, _ = exporter.communicate()
        assert '"things_total": 1.0' in output


def test_a_system_without_fallocate_gets_files_of_the_same_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(os, "posix_fallocate")
    with (tmp_path / "samples").open("xb") as file:
        sample_files._allocate(file)
    assert (tmp_path / "samples").stat().st_size == sample_files.FILE_BYTES
