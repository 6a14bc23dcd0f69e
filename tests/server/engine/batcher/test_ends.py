"""Jobs that end early: the batcher is stopped, or something fails."""

from __future__ import annotations

import threading

import numpy as np

from hfgen.server.engine.batcher import Batcher
from hfgen.server.engine.jobs import Failed


def test_stopping_lets_jobs_end(counting_model, job):
    batcher = Batcher(counting_model, max_batch=1)
    events = [[], [], []]
    for i in (0, 1):
        batcher.submit(job(i + 1, max_new_tokens=4), events[i].append)
    batcher.start()
    batcher.stop(30)
    batcher.submit(job(1), events[2].append)
    assert [event.token.id for event in events[0][1:]] == [2, 3, 4, 5]
    assert events[1][-1].finish_reason == "length"
    assert events[2] == [Failed("the server is shutting down")]


def test_stopping_fails_jobs_that_take_longer(counting_model, job, wait_until):
    engine = counting_model.engine
    engine.gated = True
    batcher = Batcher(counting_model, max_batch=2, chunk=10)
    batcher.start()
    events = [[] for _ in range(4)]
    jobs = [job(1, max_new_tokens=900), job(*[5] * 500), job(2), job(3)]
    submitted_jobs = [
        batcher.submit(single_job, record.append)
        for single_job, record in zip(jobs, events, strict=True)
    ]
    submitted_jobs[3].cancel()
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


def test_stopping_a_batcher_that_was_never_started(counting_model, job):
    batcher, events = Batcher(counting_model), []
    batcher.submit(job(1), events.append)
    batcher.stop(5)
    batcher.stop(5)
    assert events == [Failed("the server is shutting down")]


def test_an_engine_that_fails_on_a_prompt(start_runner, counting_model, job, caplog, wait_until):
    counting_model.engine.failing_on = {77: RuntimeError("out of memory")}
    runner = start_runner(counting_model)
    good, bad = runner.submit(job(1, max_new_tokens=50)), runner.submit(job(5, 77))
    assert bad.result().failure == "out of memory"
    assert len(good.result().tokens) == 50
    assert "a job has failed" in caplog.text
    wait_until(lambda: not counting_model.engine.open_sequences)


def test_an_engine_that_fails_on_a_step_fails_the_batch_and_lives_on(
    start_runner, counting_model, job, wait_until
):
    counting_model.engine.failing_on = {20: ZeroDivisionError()}
    runner = start_runner(counting_model)
    records = [runner.submit(job(start, max_new_tokens=200)) for start in (1, 10, 15)]
    for record in records:
        assert record.result().failure == "ZeroDivisionError"
    wait_until(lambda: not counting_model.engine.open_sequences)
    counting_model.engine.failing_on = {}
    assert runner.run(job(18, max_new_tokens=3)).ids == [19, 20, 21]


def test_logits_that_are_no_numbers_fail_their_job_alone(start_runner, counting_model, job):
    engine = counting_model.engine
    rows_of = engine._logits

    def logits(token_ids):
        rows = rows_of(token_ids)
        for row, token_id in zip(rows, token_ids, strict=True):
            if token_id == 20:
                row[:] = np.nan
        return rows

    engine._logits = logits
    runner = start_runner(counting_model)
    bad, good = (runner.submit(job(start, max_new_tokens=30)) for start in (10, 100))
    assert bad.result().failure == "the model's logits are not finite"
    assert len(good.result().tokens) == 30


def test_a_callback_that_raises_cancels_its_job_only(start_runner, counting_model, job, wait_until):
    runner = start_runner(counting_model)

    def emit(event):
        raise RuntimeError("loop is closed")

    submitted = runner.batcher.submit(job(1, max_new_tokens=900), emit)
    assert len(runner.run(job(5, max_new_tokens=3)).tokens) == 3
    assert submitted.cancelled
    wait_until(lambda: not counting_model.engine.open_sequences)
