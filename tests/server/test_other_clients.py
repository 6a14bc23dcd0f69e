"""Clients that others have written, unchanged, against the real server."""

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import ValidationError
from openai import APIStatusError, OpenAI

PROMPT = "Once upon a time"


@pytest.fixture
def hub(local_server):
    return InferenceClient(local_server.url)


@pytest.fixture
def openai(local_server):
    with OpenAI(base_url=f"{local_server.url}/v1", api_key="-", max_retries=0) as client:
        yield client


def test_hub_plain(hub):
    text = hub.text_generation(PROMPT, max_new_tokens=8)
    assert isinstance(text, str)
    assert text


def test_hub_is_greedy_unless_it_asks_for_more(hub):
    texts = {hub.text_generation(PROMPT, max_new_tokens=8, do_sample=False) for _ in range(2)}
    assert len(texts) == 1


def test_hub_seed(hub):
    payload = {"max_new_tokens": 12, "temperature": 1.3, "seed": 2**64 - 1}
    assert hub.text_generation(PROMPT, **payload) == hub.text_generation(PROMPT, **payload)


def test_hub_full_text(hub):
    payload = {"max_new_tokens": 8, "do_sample": False}
    text = hub.text_generation(PROMPT, return_full_text=True, **payload)
    assert text == PROMPT + hub.text_generation(PROMPT, return_full_text=False, **payload)


def test_hub_details(hub):
    output = hub.text_generation(
        PROMPT,
        details=True,
        decoder_input_details=True,
        max_new_tokens=8,
        top_n_tokens=2,
        return_full_text=False,
        best_of=2,
        do_sample=True,
    )
    details = output.details
    assert details.finish_reason == "length"
    assert details.generated_tokens == len(details.tokens) == len(details.top_tokens) == 8
    assert "".join(token.text for token in details.tokens) == output.generated_text
    assert "".join(token.text for token in details.prefill) == PROMPT
    assert details.prefill[0].logprob is None
    assert all(token.logprob <= 0 for token in details.prefill[1:])
    assert isinstance(details.seed, int)
    (other,) = details.best_of_sequences
    assert other.generated_tokens == 8
    assert other.seed != details.seed


def test_hub_stream(hub):
    payload = {"max_new_tokens": 16, "do_sample": False, "return_full_text": False}
    tokens = [*hub.text_generation(PROMPT, stream=True, **payload)]
    assert len(tokens) == 16
    assert "".join(tokens) == hub.text_generation(PROMPT, **payload)


def test_hub_stream_with_details(hub):
    payload = {"max_new_tokens": 16, "do_sample": False, "return_full_text": False}
    events = [*hub.text_generation(PROMPT, stream=True, details=True, top_n_tokens=3, **payload)]
    assert [event.index for event in events] == list(range(1, 17))
    assert all(len(event.top_tokens) == 3 for event in events)
    assert all(event.generated_text is None for event in events[:-1])
    assert events[-1].generated_text == "".join(event.token.text for event in events)
    details = events[-1].details
    assert (details.finish_reason, details.generated_tokens, details.seed) == ("length", 16, None)
    assert details.input_length > 0


def test_hub_stop(hub):
    whole = hub.text_generation(PROMPT, max_new_tokens=16, do_sample=False, return_full_text=False)
    word = whole.split()[2]
    output = hub.text_generation(
        PROMPT,
        stop=[word],
        max_new_tokens=16,
        do_sample=False,
        details=True,
        return_full_text=False,
    )
    assert output.details.finish_reason == "stop_sequence"
    assert output.generated_text == whole[: whole.index(word) + len(word)]


def test_hub_end_of_the_text(hub):
    output = hub.text_generation(PROMPT, details=True, do_sample=False)
    assert output.details.finish_reason == "eos_token"
    last = output.details.tokens[-1]
    assert last.special
    assert last.text
    assert not output.generated_text.endswith(last.text)


def test_hub_errors(hub):
    with pytest.raises(ValidationError, match="`temperature` must be strictly positive"):
        hub.text_generation(PROMPT, temperature=-1)
    with pytest.raises(ValidationError, match="`inputs` cannot be empty"):
        [*hub.text_generation("", stream=True)]


def test_openai_plain(openai):
    payload = {"model": "any/name", "prompt": PROMPT, "max_tokens": 8, "temperature": 0}
    completion = openai.completions.create(**payload)
    assert completion.object == "text_completion"
    (choice,) = completion.choices
    assert choice.finish_reason == "length"
    assert choice.text == openai.completions.create(**payload).choices[0].text
    usage = completion.usage
    assert usage.completion_tokens == 8
    assert usage.total_tokens == usage.prompt_tokens + 8


def test_openai_prompts(openai):
    prompts = ["Once", "Tell me a story", "The fox"]
    completion = openai.completions.create(model="tgi", prompt=prompts, max_tokens=4)
    assert [choice.index for choice in completion.choices] == [0, 1, 2]


def test_openai_stream(openai):
    payload = {"model": "tgi", "prompt": PROMPT, "max_tokens": 12, "temperature": 0}
    chunks = [*openai.completions.create(stream=True, **payload)]
    text = "".join(chunk.choices[0].text for chunk in chunks)
    assert text == openai.completions.create(**payload).choices[0].text
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [*[""] * 11, "length"]
    assert chunks[-1].usage.completion_tokens == 12
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_openai_logprobs(openai):
    payload = {"model": "tgi", "prompt": PROMPT, "max_tokens": 6, "temperature": 0, "logprobs": 2}
    whole = openai.completions.create(**payload).choices[0].logprobs
    assert len(whole.tokens) == len(whole.top_logprobs) == 6
    chunks = openai.completions.create(stream=True, **payload)
    parts = [chunk.choices[0].logprobs for chunk in chunks]
    assert [part.tokens for part in parts] == [[token] for token in whole.tokens]
    assert [part.text_offset for part in parts] == [[offset] for offset in whole.text_offset]


def test_openai_choices(openai):
    payload = {"model": "tgi", "prompt": PROMPT, "max_tokens": 8, "seed": 5}
    choices = openai.completions.create(n=2, **payload).choices
    assert [choice.index for choice in choices] == [0, 1]
    alone = [openai.completions.create(**{**payload, "seed": seed}).choices[0] for seed in (5, 6)]
    assert [choice.text for choice in choices] == [choice.text for choice in alone]


def test_openai_models(openai, local_server):
    (model,) = openai.models.list().data
    assert model.id


def test_openai_errors(openai):
    with pytest.raises(APIStatusError) as caught:
        openai.completions.create(model="tgi", prompt=PROMPT, temperature=-1)
    assert caught.value.status_code == 422
    assert caught.value.response.json() == {
        "error": "Input validation error: `temperature` must be strictly positive",
        "error_type": "validation",
    }
