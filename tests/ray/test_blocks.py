"""Blocks of rows that go to the workers, and their results."""

import os
import signal
import threading
import time

import msgspec
import pytest

from helpers.echo_server import Echo

pytest.importorskip("ray.data")

from hfgen import AuthenticationError, BulkFileError, HfgenError
from hfgen._files.prompt import Prompt
from hfgen._files.row import Row
from hfgen.ray import _blocks
from hfgen.ray._blocks import RayBulk
from hfgen.ray._generate import make_plan
from hfgen.testing import status

pytestmark = pytest.mark.usefixtures("cluster")


def rows(count, *, error=None):
    for i in range(count):
        yield Row(i, {"prompt": msgspec.Raw(b'"row %d"' % i), "n": msgspec.Raw(b"1.50")})
    if error is not None:
        raise error


def start_bulk(server, rows, *, request=None, workers=1, num_cpus=1.0):
    plan = make_plan(
        request or Prompt(),
        model=None,
        api_url=server.url,
        workers=workers,
        concurrency=8,
        rate_limit=None,
        stream=True,
        patience=600.0,
        options={},
    )
    return RayBulk(rows, plan, workers=workers, rows_per_block=20, num_cpus=num_cpus)


def test_each_row_has_one_result_though_a_worker_is_killed(serve):
    echo = Echo(0.02)
    killed = []

    def answer_and_kill(request):
        if not killed and echo.prompt_counts.total() >= 100:
            killed.append(int(request.json["inputs"].split()[0]))
            os.kill(killed[0], signal.SIGKILL)
        return echo(request)

    def add_process_id(row):
        return f"{os.getpid()} {row.value('prompt')}"

    server = serve(answer_and_kill)
    results = start_bulk(server, rows(405), request=add_process_id, workers=2)
    with results:
        results_found = list(results)
    assert killed
    assert sorted(result.row.index for result in results_found) == list(range(405))
    for result in results_found:
        assert result.generated_text.partition(" ")[2] == f"ROW {result.row.index}"
        # The number keeps its digits.
        assert bytes(result.row.columns["n"]) == b"1.50"
    statistics = results.statistics
    assert [server_statistics.url for server_statistics in statistics.servers] == [server.url]
    assert 0 < statistics.succeeded <= 405


def test_a_worker_that_was_lost_is_not_counted(serve, tmp_path):
    kill_marker = tmp_path / "killed"
    echo = Echo(0.02)

    class SlowToUnpickle:
        """A request that takes long to arrive in a worker that is started again."""

        def __getstate__(self):
            return kill_marker

        def __setstate__(self, kill_marker):
            if kill_marker.exists():
                time.sleep(60)

        def __call__(self, row):
            return f"{os.getpid()} {row.value('prompt')}"

    def answer_and_kill(request):
        # Only when both workers have started: a worker that starts later takes long.
        processes = {prompt.split()[0] for prompt in list(echo.prompt_counts)}
        if not kill_marker.exists() and echo.prompt_counts.total() >= 100 and len(processes) == 2:
            kill_marker.touch()
            os.kill(int(request.json["inputs"].split()[0]), signal.SIGKILL)
        return echo(request)

    results = start_bulk(serve(answer_and_kill), rows(405), request=SlowToUnpickle(), workers=2)
    with results:
        assert len(list(results)) == 405
    assert kill_marker.exists()
    assert 0 < results.statistics.succeeded <= 405
    # The requests of the lost worker are no longer in flight.
    assert results.statistics.in_flight == 0


def test_a_drained_run_ends_with_whole_blocks(serve):
    echo = Echo(0.02)
    server = serve(echo)
    results_found = []
    with start_bulk(server, rows(2000)) as results:
        for result in results:
            results_found.append(result)
            if len(results_found) == 1:
                results.drain()
    assert len(results_found) % 20 == 0
    # The started blocks are complete, and no further rows were requested.
    assert len(results_found) == echo.prompt_counts.total() < 1000


def test_an_error_of_reading_is_raised_after_the_results_of_earlier_rows(serve):
    server = serve(Echo())
    results = start_bulk(server, rows(60, error=BulkFileError("the file is torn")))
    results_found = []
    with results, pytest.raises(BulkFileError, match="torn"):
        results_found.extend(results)
    assert len(results_found) % 20 == 0


def test_a_refused_key_ends_the_run(serve):
    server = serve(status(401, '{"error": "no such key"}'))
    with (
        start_bulk(server, rows(60)) as results,
        pytest.raises(AuthenticationError, match="no such"),
    ):
        list(results)


def test_a_run_that_is_left_leaves_no_thread_that_may_call_ray(serve):
    threads_before = set(threading.enumerate())
    server = serve(Echo(0.02))
    with start_bulk(server, rows(2000), workers=2) as results:
        assert next(iter(results)).error is None
    # The server's own threads end when the workers' requests do.
    assert {
        t.name for t in set(threading.enumerate()) - threads_before if "hfgen" not in t.name
    } == set()
    assert list(results) == []


@pytest.mark.parametrize(("count", "workers"), [(60, 1), (10**9, 2)])
def test_rows_that_kill_their_worker_end_the_run(serve, monkeypatch, count, workers):
    monkeypatch.setattr(_blocks, "_MAX_LOSSES", 3)

    def kill_worker(row):
        if row.index == 27:
            os._exit(1)
        return row.value("prompt")

    message = "3 workers were lost with rows 20 to 39, the last"
    with (
        start_bulk(serve(Echo()), rows(count), request=kill_worker, workers=workers) as results,
        pytest.raises(HfgenError, match=message),
    ):
        for _ in results:
            pass


class FailsToUnpickle:
    """A request function that cannot be unpickled."""

    def __reduce__(self):
        return os.readlink, ("/nowhere",)

    def __call__(self, row):
        raise AssertionError(row)


def test_workers_that_cannot_start_end_the_run(serve):
    message = r"(?s)no worker can be started: .*nowhere"
    with (
        start_bulk(serve(Echo()), rows(60), request=FailsToUnpickle(), workers=2) as results,
        pytest.raises(HfgenError, match=message),
    ):
        list(results)


def test_a_run_that_waits_for_the_cluster_can_be_ended(serve):
    server = serve(Echo())
    with start_bulk(server, rows(60), num_cpus=1000) as results:
        threading.Timer(0.2, results.drain).start()
        assert list(results) == []
    with start_bulk(server, rows(60), num_cpus=1000) as results:
        threading.Timer(0.2, results.close).start()
        assert list(results) == []
