"""How things end before their time: the batcher is stopped, or something breaks."""

from __future__ import annotations

import threading

import numpy as np

from hfgen.server.engine.batcher import Batcher
from hfgen.server.engine.jobs import Failed


def test_stopping_lets_jobs_end(counting, job):
    batcher = Batcher(counting, max_batch=1)
    events = [[], [], []]
    for i in (0, 1):
        batcher.submit(job(i + 1, max_new_tokens=4), events[i].append)
    batcher.start()
    batcher.stop(30)
    batcher.submit(job(1), events[2].append)
    assert [event.token.id for event in events[0][1:]] == [2, 3, 4, 5]
    assert events[1][-1].finish_reason == "length"
    assert events[2] == [Failed("the server is shutting down")]


def test_stopping_fails_what_takes_longer(counting, job, wait_until):
    engine = counting.engine
    engine.gated = True
    batcher = Batcher(counting, max_batch=2, chunk=10)
    batcher.start()
    events = [[] for _ in range(4)]
    jobs = [job(1, max_new_tokens=900), job(*[5] * 500), job(2), job(3)]
    handles = [batcher.submit(one, record.append) for one, record in zip(jobs, events, strict=True)]
    handles[3].cancel()
    assert engine.entered.acquire(timeout=30)
    stopper = threading.Thread(target=batcher.stop, args=(0,))
    stopper.start()
    wait_until(lambda: batcher._deadline is not None)
    engine.gated = False
    engine.tickets.release(1)
    stopper.join(30)
    assert not stopper.is_alive()
    failed = Failed("the server is shutting down")
    assert [record[-1:] for record in events] == [[failed], [failed], [failed], []]
    assert not engine.open_sequences
    assert (batcher.queue_size, batcher.batch_size) == (0, 0)


def test_stopping_what_was_never_started(counting, job):
    batcher, events = Batcher(counting), []
    batcher.submit(job(1), events.append)
    batcher.stop(5)
    batcher.stop(5)
    assert events == [Failed("the server is shutting down")]


def test_an_engine_that_fails_on_a_prompt(station, counting, job, caplog, wait_until):
    counting.engine.failing_on = {77: RuntimeError("out of memory")}
    here = station(counting)
    good, bad = here.submit(job(1, max_new_tokens=50)), here.submit(job(5, 77))
    assert bad.result().failure == "out of memory"
    assert len(good.result().tokens) == 50
    assert "a job has failed" in caplog.text
    wait_until(lambda: not counting.engine.open_sequences)


def test_an_engine_that_fails_on_a_step_fails_the_batch_and_lives_on(
    station, counting, job, wait_until
):
    counting.engine.failing_on = {20: ZeroDivisionError()}
    here = station(counting)
    records = [here.submit(job(start, max_new_tokens=200)) for start in (1, 10, 15)]
    for record in records:
        assert record.result().failure == "ZeroDivisionError"
    wait_until(lambda: not counting.engine.open_sequences)
    counting.engine.failing_on = {}
    assert here.run(job(18, max_new_tokens=3)).ids == [19, 20, 21]


def test_logits_that_are_no_numbers_fail_their_job_alone(station, counting, job):
    engine = counting.engine
    rows_of = engine._logits

    def logits(token_ids):
        rows = rows_of(token_ids)
        for row, token_id in zip(rows, token_ids, strict=True):
            if token_id == 20:
                row[:] = np.nan
        return rows

    engine._logits = logits
    here = station(counting)
    bad, good = (here.submit(job(start, max_new_tokens=30)) for start in (10, 100))
    assert bad.result().failure == "the model's logits are not finite"
    assert len(good.result().tokens) == 30


def test_an_owner_that_raises_loses_its_job_only(station, counting, job, wait_until):
    here = station(counting)

    def emit(event):
        raise RuntimeError("loop is closed")

    handle = here.batcher.submit(job(1, max_new_tokens=900), emit)
    assert len(here.run(job(5, max_new_tokens=3)).tokens) == 3
    assert handle.cancelled
    wait_until(lambda: not counting.engine.open_sequences)
