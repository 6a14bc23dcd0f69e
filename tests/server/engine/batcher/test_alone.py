"""One job at a time: its tokens, its texts and its end."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from hfgen.server.engine.jobs import PrefillToken
from hfgen.server.engine.sampling import log_softmax


def test_a_job_from_its_start_to_its_end(start_runner, counting_model, job, wait_until):
    before = time.perf_counter()
    record = start_runner(counting_model).run(job(10, 11, 12, max_new_tokens=3))
    assert record.ids == [13, 14, 15]
    assert record.reason == "length"
    assert before <= record.started.started_at <= time.perf_counter()
    assert record.started.prefill == ()
    wait_until(lambda: not counting_model.engine.open_sequences)


def test_end_token_and_stop_string(start_runner, counting_model, job):
    runner = start_runner(counting_model)
    record = runner.run(job(247, max_new_tokens=50))
    assert (record.ids, record.reason) == ([248, 249, 250], "eos_token")
    text = counting_model.tokenizer.decode([40])
    record = runner.run(job(37, max_new_tokens=50, stop=(text,)))
    assert (record.ids, record.reason) == ([38, 39, 40], "stop_sequence")
    assert record.text.endswith(text)


def test_a_full_context(start_runner, counting_model, job):
    record = start_runner(counting_model).run(job(*[5] * 997, max_new_tokens=100))
    assert (record.ids, record.reason) == ([6, 7, 8], "length")
    record = start_runner(counting_model).run(job(*[5] * 1000, max_new_tokens=100))
    assert (record.ids, record.reason) == ([6], "length")


@pytest.mark.parametrize("count", [0, 1001])
def test_a_prompt_that_cannot_be_read(start_runner, counting_model, job, count):
    record = start_runner(counting_model).run(job(*[5] * count))
    assert record.failure == f"a prompt of {count} tokens; the model reads 1 to 1000"


def test_special_tokens_are_marked_and_no_text(start_runner, counting_model, job):
    record = start_runner(counting_model).run(job(298, max_new_tokens=4))
    assert [(t.id, t.text, t.special) for t in record.tokens[1:2]] == [(0, "<|endoftext|>", True)]
    assert "<|endoftext|>" not in record.text


@pytest.mark.parametrize("end", ["length", "eos_token"])
def test_half_a_character_at_the_end(start_runner, counting_model, job, end):
    # TGI's decode_token puts what is left before the text of the last token.
    first, second = counting_model.tokenizer.encode("é").ids

    class Engine(type(counting_model.engine)):
        def _logits(self, token_ids):
            rows = np.zeros((len(token_ids), self.vocab_size), np.float32)
            rows[:, first if token_ids[-1] == second else 0] = 20
            return rows

    limit = 1 if end == "length" else 5
    changed_model = replace(counting_model, engine=Engine(), eos_ids=frozenset({0}))
    record = start_runner(changed_model).run(job(second, max_new_tokens=limit))
    texts = [token.text for token in record.tokens]
    assert record.reason == end
    assert texts == (["\ufffd"] if end == "length" else ["", "\ufffd<|endoftext|>"])


def test_top_tokens(start_runner, model, job):
    record = start_runner(model).run(job(5, 6, top_n_tokens=3))
    for event in record.events[1:]:
        assert len(event.top_tokens) == 3
        assert event.top_tokens[0] == replace(event.token, text=event.top_tokens[0].text)
        assert [t.text for t in event.top_tokens] == [
            model.tokenizer.decode([t.id], skip_special_tokens=False) for t in event.top_tokens
        ]


@pytest.mark.parametrize("chunk", [3, 4, 100])
def test_log_probabilities_of_the_prompt(start_runner, model, job, chunk):
    prompt = [7, 0, 30, 31, 290, 4, 5, 6]
    record = start_runner(model, chunk=chunk).run(job(*prompt, prefill_logprobs=True))
    engine = model.engine
    rows = log_softmax(engine.extend(engine.open(), prompt, every_position=True))
    prefill = record.started.prefill
    assert [token.id for token in prefill] == prompt
    assert prefill[0].logprob is None
    assert prefill[1] == PrefillToken(0, "<|endoftext|>", prefill[1].logprob)
    found = [token.logprob for token in prefill[1:]]
    assert found == pytest.approx([rows[i, t] for i, t in enumerate(prompt[1:])], abs=1e-4)


def test_the_same_seed_gives_the_same_text(start_runner, model, job):
    options = {"do_sample": True, "temperature": 1.2, "max_new_tokens": 40}
    first, again, other = (
        start_runner(model).run(job(5, 6, 7, seed=seed, **options)) for seed in (11, 11, 12)
    )
    assert first.tokens == again.tokens
    assert first.ids != other.ids
