"""Jobs that share the engine: their order, and that each gets the tokens it would get alone."""

from __future__ import annotations

import random


def random_job(rng, job):
    def sometimes(neutral, draw):
        return draw() if rng.random() < 0.4 else neutral

    return job(
        *(rng.randrange(300) for _ in range(rng.choice([1, 3, 10, 40, 90]))),
        max_new_tokens=rng.randrange(1, 60),
        seed=rng.randrange(2**32),
        do_sample=rng.random() < 0.7,
        temperature=sometimes(1.0, lambda: rng.uniform(0.5, 1.5)),
        top_k=sometimes(0, lambda: rng.randrange(1, 50)),
        top_p=sometimes(1.0, lambda: rng.uniform(0.3, 0.99)),
        typical_p=sometimes(1.0, lambda: rng.uniform(0.3, 0.99)),
        repetition_penalty=sometimes(1.0, lambda: rng.uniform(1, 1.5)),
        frequency_penalty=sometimes(0.0, lambda: rng.uniform(0, 1)),
        stop=sometimes((), lambda: ("e", "th")),
        top_n_tokens=sometimes(0, lambda: 2),
        prefill_logprobs=rng.random() < 0.2,
    )


def test_48_jobs_that_come_and_go_get_what_they_get_alone(start_runner, model, job, wait_until):
    rng = random.Random(4)
    jobs = [random_job(rng, job) for _ in range(48)]
    cancelled = set(rng.sample(range(48), 10))
    alone = start_runner(model, max_batch=1, chunk=32)
    expected = [alone.run(single_job) for single_job in jobs]
    shared = start_runner(model, max_batch=12, chunk=32)
    records = []
    for i, single_job in enumerate(jobs):
        records.append(shared.submit(single_job))
        if i in cancelled:
            records[i].wait(rng.randrange(3))
            records[i].submitted.cancel()
        if rng.random() < 0.5:
            rng.choice([r for n, r in enumerate(records) if n not in cancelled]).wait(5)
    for i, record in enumerate(records):
        if i not in cancelled:
            # Events and not ids alone: log-probabilities are the same to the last bit.
            assert record.result().events[1:] == expected[i].events[1:]
            assert record.started.prefill == expected[i].started.prefill
        else:
            assert record.tokens == expected[i].tokens[: len(record.tokens)]
    wait_until(lambda: shared.batcher.batch_size == 0)


def test_a_long_prompt_is_read_between_the_tokens_of_others(start_runner, counting_model, job):
    engine = counting_model.engine
    runner = start_runner(counting_model, chunk=10)
    engine.gated = True
    first = runner.submit(job(1, max_new_tokens=30))
    engine.tickets.release(3)
    first.wait(3)
    second = runner.submit(job(*[5] * 45, max_new_tokens=1))
    engine.gated = False
    engine.tickets.release(1)
    first.result()
    second.result()
    chunks = [i for i, entry in enumerate(engine.log) if entry[0] == "extend"][1:]
    assert [engine.log[i][2] for i in chunks] == [10, 10, 10, 10, 5]
    kinds = [entry[0] for entry in engine.log[chunks[0] :]]
    assert kinds[:10] == ["extend", "step"] * 5


def test_short_prompts_are_read_together(start_runner, counting_model, job):
    engine = counting_model.engine
    engine.gated = True
    runner = start_runner(counting_model, chunk=10)
    runner.submit(job(1, max_new_tokens=1))
    assert engine.entered.acquire(timeout=30)
    others = [runner.submit(job(*[i] * 4, max_new_tokens=2)) for i in range(1, 5)]
    engine.gated = False
    engine.tickets.release(1)
    for record in others:
        record.result()
    kinds = [entry[0] for entry in engine.log if entry[0] != "open"]
    assert kinds == ["extend"] * 4 + ["step"] + ["extend"] + ["step"]


def test_jobs_beyond_the_batch_wait_in_the_queue(start_runner, counting_model, job, wait_until):
    engine = counting_model.engine
    engine.gated = True
    runner = start_runner(counting_model, max_batch=2)
    records = [runner.submit(job(i, max_new_tokens=3)) for i in range(1, 6)]
    wait_until(lambda: runner.batcher.batch_size == 2)
    assert runner.batcher.queue_size == 3
    engine.gated = False
    engine.tickets.release(1)
    assert [record.result().ids[0] for record in records] == [2, 3, 4, 5, 6]
    wait_until(lambda: runner.batcher.batch_size == 0)
    assert runner.batcher.queue_size == 0
    assert max(len(entry) for entry in engine.log if entry[0] == "step") == 3


def test_cancelling_frees_the_place(start_runner, counting_model, job, wait_until):
    engine = counting_model.engine
    engine.gated = True
    runner = start_runner(counting_model, max_batch=1)
    running = runner.submit(job(1, max_new_tokens=900))
    engine.tickets.release(5)
    running.wait(5)
    queued, patient = (runner.submit(job(i, max_new_tokens=2)) for i in (50, 60))
    queued.submitted.cancel()
    running.submitted.cancel()
    engine.gated = False
    engine.tickets.release(1)
    assert patient.result().ids == [61, 62]
    assert len(running.tokens) == 5
    assert queued.events == []
    wait_until(lambda: not engine.open_sequences)


def test_cancelling_while_the_prompt_is_read(start_runner, counting_model, job, wait_until):
    engine = counting_model.engine
    engine.gated = True
    runner = start_runner(counting_model, chunk=10)
    record = runner.submit(job(*[5] * 500))
    assert engine.entered.acquire(timeout=30)
    record.submitted.cancel()
    engine.gated = False
    engine.tickets.release(1)
    wait_until(lambda: not engine.open_sequences)
    assert len(engine.log) == 2
    assert record.events == []


def test_the_bundled_model_tells_a_story(start_runner, bundled, job):
    prompt = bundled.tokenizer.encode("Once upon a time").ids
    runner = start_runner(bundled)
    records = [
        runner.submit(job(*prompt, max_new_tokens=450, do_sample=True, temperature=0.5, seed=i))
        for i in range(4)
    ]
    for record in records:
        assert record.result().reason in {"eos_token", "length"}
        assert len(record.text.split()) > 20
        assert "\ufffd" not in record.text
    assert "eos_token" in {record.reason for record in records}
