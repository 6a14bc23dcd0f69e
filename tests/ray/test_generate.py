"""`hfgen.ray.generate` on a real Ray, against a real server in this process."""

import os
import signal

import pytest

from helpers.echo_server import Echo

pytest.importorskip("ray.data")

import pyarrow as pa
import ray
from ray.exceptions import RayTaskError

import hfgen.ray
from hfgen import InvalidRequestError
from hfgen.testing import status

pytestmark = pytest.mark.usefixtures("cluster")


def make_dataset(rows, *, blocks=4):
    table = pa.Table.from_pylist([{"id": i, **row} for i, row in enumerate(rows)])
    size = -(-len(rows) // blocks)
    return ray.data.from_arrow([table.slice(size * i, size) for i in range(blocks)])


def index_by_id(rows):
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


def test_each_row_comes_out_once_with_its_text_or_its_error(serve):
    echo = Echo(0.02)
    server = serve(echo)
    rows = [{"text": f"row {i}", "error": "of old"} for i in range(400)]
    for i in range(0, 400, 40):
        rows[i]["text"] = f"bad {i}"
    rows[7]["text"] = None
    results = hfgen.ray.generate(
        make_dataset(rows, blocks=16),
        api_url=server.url,
        template="{text}!",
        parameters={"max_new_tokens": 3},
        workers=2,
        rows_per_block=32,
        concurrency=9,
    )
    tables = list(results.iter_batches(batch_size=None, batch_format="pyarrow"))

    # All blocks have the same schema, also those without an error.
    assert len({table.schema.remove_metadata() for table in tables}) == 1
    # The size of the blocks does not depend on the blocks of the input.
    assert sorted(table.num_rows for table in tables) == [16, *[32] * 12]
    rows_by_id = index_by_id([row for table in tables for row in table.to_pylist()])
    assert rows_by_id.keys() == set(range(400))
    for i, row in rows_by_id.items():
        assert row["text"] == rows[i]["text"]
        if i % 40 == 0:
            assert row["generated_text"] is None
            assert row["error"] == {
                "type": "ValidationError",
                "message": row["error"]["message"],
                "status": 422,
                "attempts": 1,
            }
        elif i == 7:
            assert row["error"]["type"] == "InvalidRequestError"
            assert (row["error"]["status"], row["error"]["attempts"]) == (None, 0)
        else:
            assert row["error"] is None
            assert row["generated_text"] == f"ROW {i}!"
            assert (row["finish_reason"], row["generated_tokens"]) == ("length", 1)
    assert set(echo.prompt_counts.values()) == {1}
    assert server.requests[0].json["parameters"]["max_new_tokens"] == 3
    # Four for each worker: half of nine, rounded down.
    assert 4 < echo.most_open <= 8


def test_a_worker_that_is_killed_loses_nothing_and_doubles_nothing(serve):
    echo = Echo(0.02)
    killed = []

    def answer_and_kill(request):
        if not killed and echo.prompt_counts.total() >= 150:
            killed.append(int(request.json["inputs"].split()[0]))
            os.kill(killed[0], signal.SIGKILL)
        return echo(request)

    def add_process_id(row):
        return f"{os.getpid()} {row['prompt']}"

    server = serve(answer_and_kill)
    rows = make_dataset([{"prompt": f"row {i}"} for i in range(600)])
    rows_by_id = index_by_id(
        hfgen.ray.generate(
            rows,
            api_url=server.url,
            request=add_process_id,
            workers=2,
            rows_per_block=32,
            concurrency=8,
        ).take_all()
    )
    assert killed
    assert {i: row["generated_text"].partition(" ")[2] for i, row in rows_by_id.items()} == {
        i: f"ROW {i}" for i in range(600)
    }
    # Another process repeated the rows of the unfinished blocks.
    assert len({prompt.split()[0] for prompt in echo.prompt_counts}) == 3
    assert echo.prompt_counts.total() > 600


def test_a_refused_key_ends_the_run(serve):
    server = serve(status(401, '{"error": "no such key"}'))
    rows = make_dataset([{"prompt": f"row {i}"} for i in range(4)], blocks=1)
    with pytest.raises(RayTaskError, match=r"AuthenticationError.*no such key"):
        hfgen.ray.generate(rows, api_url=server.url, workers=1).take_all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers must be a whole number"),
        ({"workers": 8, "concurrency": 7}, "cannot be shared"),
        ({"rows_per_block": 0}, "rows_per_block must be a whole number"),
        ({"template": "{0!r}"}, "in the template"),
        ({"request": print, "template": "m"}, "leave out template"),
        ({"on_retry": print}, "on_retry cannot be sent"),
        ({"api_url": "no url"}, "no url"),
        ({"api_url": []}, "api_url"),
        ({"timeout": "soon"}, "timeout"),
        ({"concurrency": (3, 2)}, "concurrency must be"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_runs(options, message):
    rows = make_dataset([{"prompt": "row"}], blocks=1)
    with pytest.raises(InvalidRequestError, match=message):
        hfgen.ray.generate(rows, **{"workers": 1} | options)


def test_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError, match="timeout"):
        hfgen.ray.generate(make_dataset([{"prompt": "row"}], blocks=1), workers=1, timeuot=3)
