from itertools import pairwise

import pytest

from hfgen.server._options import Limits
from hfgen.server.http.errors import ValidationError
from hfgen.server.http.requests import GenerateParameters, GenerateRequest, RegexGrammar
from hfgen.server.http.validation import Validator

LIMITS = Limits(
    max_best_of=2,
    max_stop_sequences=4,
    max_top_n_tokens=5,
    max_input_tokens=20,
    max_total_tokens=30,
)


@pytest.fixture
def validate(byte_tokenizer):
    validator = Validator(byte_tokenizer, LIMITS)

    async def validate(inputs="hello", **parameters):
        parameters = GenerateParameters(**parameters)
        return await validator.validate(GenerateRequest(inputs=inputs, parameters=parameters))

    return validate


# The words are text-generation-inference's, `router/src/validation.rs`, in its order.
REFUSALS = [
    ({"best_of": 2}, "you must use sampling when `best_of` is > 1"),
    ({"temperature": 0.0}, "`temperature` must be strictly positive"),
    ({"temperature": -1.0}, "`temperature` must be strictly positive"),
    ({"repetition_penalty": 0.0}, "`repetition_penalty` must be strictly positive"),
    ({"frequency_penalty": 2.1}, "`frequency_penalty` must be >= -2.0 and <= 2.0"),
    ({"frequency_penalty": -2.1}, "`frequency_penalty` must be >= -2.0 and <= 2.0"),
    ({"top_p": 0.0}, "`top_p` must be > 0.0 and < 1.0"),
    ({"top_p": 1.0}, "`top_p` must be > 0.0 and < 1.0"),
    ({"typical_p": 0.0}, "`typical_p` must be > 0.0 and < 1.0"),
    ({"typical_p": 1.0}, "`typical_p` must be > 0.0 and < 1.0"),
    ({"top_k": 0}, "`top_k` must be strictly positive"),
    ({"top_k": -1}, "`top_k` must be strictly positive"),
    ({"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
    ({"stop": tuple("abcde")}, "`stop` supports up to 4 stop sequences. Given: 5"),
    ({"stop": ("a", "")}, "`stop` cannot contain an empty string"),
    (
        {"best_of": 2, "do_sample": True, "seed": 1},
        "`seed` must not be set when `best_of` > 1",
    ),
    ({"top_n_tokens": 6}, "`top_n_tokens` must be >= 0 and <= 5. Given: 6"),
    ({"inputs": ""}, "`inputs` cannot be empty"),
    ({"truncate": 0}, "`truncate` must be strictly positive and less than 20. Given: 0"),
    ({"truncate": 21}, "`truncate` must be strictly positive and less than 20. Given: 21"),
    (
        {"max_new_tokens": 26},
        (
            "`inputs` tokens + `max_new_tokens` must be <= 30."
            " Given: 5 `inputs` tokens and 26 `max_new_tokens`"
        ),
    ),
    (
        {"inputs": "x" * 31},
        (
            "`inputs` tokens + `max_new_tokens` must be <= 30."
            " Given: 31 `inputs` tokens and 0 `max_new_tokens`"
        ),
    ),
    ({"inputs": "x" * 21}, "`inputs` must have less than 20 tokens. Given: 21"),
    ({"grammar": RegexGrammar("a+")}, "grammar is not supported"),
    ({"watermark": True}, "`watermark` is not supported"),
    ({"adapter_id": "lora"}, "`adapter_id` is not supported"),
    ({"ignore_eos_token": True}, "`ignore_eos_token` is not supported"),
    (
        {"num_return_sequences": 3},
        "`num_return_sequences` is not supported: `/v1/completions` has `n`",
    ),
]


@pytest.mark.parametrize(("payload", "words"), REFUSALS)
async def test_invalid_parameters_are_refused(validate, payload, words):
    with pytest.raises(ValidationError) as caught:
        await validate(**payload)
    assert str(caught.value) == f"Input validation error: {words}"


async def test_the_first_of_two_faults_is_reported(validate):
    # Each row with the one below it, unless the two are about the same field; and not the first,
    # whose fault is that nothing else was asked for.
    for (first, words), (second, _) in pairwise(REFUSALS[1:]):
        if first.keys() & second.keys():
            continue
        with pytest.raises(ValidationError) as caught:
            await validate(**first, **second)
        assert words.partition(" Given")[0] in str(caught.value)


ACCEPTED = [
    {"best_of": 0},
    {"best_of": 1},
    {"best_of": 2, "temperature": 0.5},
    {"best_of": 2, "top_k": 1},
    {"frequency_penalty": -2.0},
    {"frequency_penalty": 2.0},
    {"top_p": 0.999},
    {"stop": tuple("abcd")},
    {"top_n_tokens": 5},
    {"truncate": 20},
    {"max_new_tokens": 25},
    {"inputs": "x" * 20},
    {"ignore_eos_token": False, "num_return_sequences": 1},
]


@pytest.mark.parametrize("payload", ACCEPTED)
async def test_valid_parameters_are_accepted(validate, payload):
    await validate(**payload)


@pytest.mark.parametrize(
    ("payload", "do_sample"),
    [
        ({}, False),
        ({"temperature": 1.0}, False),
        ({"do_sample": True}, True),
        ({"temperature": 0.9}, True),
        ({"top_k": 3}, True),
        ({"top_p": 0.9}, True),
        ({"typical_p": 0.9}, True),
        ({"repetition_penalty": 1.2, "frequency_penalty": 0.5, "seed": 3}, False),
    ],
)
async def test_which_parameters_sample(validate, payload, do_sample):
    assert (await validate(**payload)).sampling.do_sample is do_sample


async def test_absent_parameters_are_neutral(validate):
    job = await validate()
    sampling = job.sampling
    assert (sampling.temperature, sampling.top_k, sampling.top_p) == (1.0, 0, 1.0)
    assert (sampling.typical_p, sampling.repetition_penalty) == (1.0, 1.0)
    assert sampling.frequency_penalty == 0.0
    assert (job.stop, job.top_n_tokens, job.prefill_logprobs) == ((), 0, False)


async def test_parameters_reach_the_job(validate):
    job = await validate(
        temperature=0.5,
        top_k=3,
        top_p=0.75,
        typical_p=0.875,
        repetition_penalty=1.25,
        frequency_penalty=0.125,
        seed=2**64 - 1,
        stop=("a", "b"),
        top_n_tokens=2,
        decoder_input_details=True,
        max_new_tokens=3,
    )
    assert job.sampling.seed == 2**64 - 1
    assert (job.sampling.temperature, job.sampling.top_k, job.sampling.top_p) == (0.5, 3, 0.75)
    assert (job.sampling.typical_p, job.sampling.repetition_penalty) == (0.875, 1.25)
    assert job.sampling.frequency_penalty == 0.125
    assert (job.stop, job.top_n_tokens, job.max_new_tokens) == (("a", "b"), 2, 3)
    assert job.prefill_logprobs


async def test_each_job_draws_its_own_seed(validate):
    seeds = {(await validate(do_sample=True)).sampling.seed for _ in range(4)}
    assert len(seeds) == 4


async def test_the_end_of_a_truncated_prompt_is_kept(validate, byte_tokenizer):
    job = await validate("x" * 100 + "abc", truncate=3)
    assert byte_tokenizer.decode(job.input_ids) == "abc"


async def test_without_max_new_tokens_the_rest_of_the_context_is_used(validate):
    assert (await validate("hello")).max_new_tokens == 25


async def test_more_than_1024_new_tokens_end_with_the_context(byte_tokenizer):
    limits = Limits(
        max_best_of=2,
        max_stop_sequences=4,
        max_top_n_tokens=5,
        max_input_tokens=1999,
        max_total_tokens=2000,
    )
    validator = Validator(byte_tokenizer, limits)

    async def room(inputs, max_new_tokens):
        parameters = GenerateParameters(max_new_tokens=max_new_tokens)
        return await validator.validate(GenerateRequest(inputs=inputs, parameters=parameters))

    assert (await room("x" * 100, 5000)).max_new_tokens == 1900
    with pytest.raises(ValidationError, match="1000 `inputs` tokens and 1024 `max_new_tokens`"):
        await room("x" * 1000, 5000)


@pytest.mark.parametrize(
    ("max_best_of", "words"),
    [
        (1, "`best_of` != 1 is not allowed for this endpoint"),
        (2, "`best_of` must be > 0 and <= 2. Given: 3"),
    ],
)
def test_best_of_has_a_limit(byte_tokenizer, max_best_of, words):
    limits = Limits(
        max_best_of=max_best_of,
        max_stop_sequences=4,
        max_top_n_tokens=5,
        max_input_tokens=20,
        max_total_tokens=30,
    )
    with pytest.raises(ValidationError) as caught:
        Validator(byte_tokenizer, limits).check_best_of(3)
    assert str(caught.value) == f"Input validation error: {words}"


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"best_of": 2}, "`best_of` != 1 is not supported when streaming tokens"),
        ({"best_of": 0}, "`best_of` != 1 is not supported when streaming tokens"),
        (
            {"decoder_input_details": True},
            "`decoder_input_details` == true is not supported when streaming tokens",
        ),
    ],
)
def test_parameters_that_a_stream_refuses(byte_tokenizer, payload, words):
    request = GenerateRequest(inputs="", parameters=GenerateParameters(**payload))
    with pytest.raises(ValidationError) as caught:
        Validator(byte_tokenizer, LIMITS).check_stream(request)
    assert str(caught.value) == f"Input validation error: {words}"
