"""The choice of tokens, compared with the same rules written in plain Python."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest

from hfgen.server.engine.jobs import Sampling
from hfgen.server.engine.sampling import Chooser, log_softmax

VOCAB = 40


def softmax(scores):
    highest = max(scores.values())
    masses = {i: math.exp(score - highest) for i, score in scores.items()}
    total = sum(masses.values())
    return {i: mass / total for i, mass in masses.items()}


def reference(logits, used_ids, sampling):
    """Return the log-probabilities of the tokens that are not ruled out, by id."""
    scores = dict(enumerate(map(float, logits)))
    for i in set(used_ids):
        penalty = sampling.repetition_penalty
        scores[i] = scores[i] * penalty if scores[i] < 0 else scores[i] / penalty
    for i, count in Counter(used_ids).items():
        scores[i] -= sampling.frequency_penalty * count / len(used_ids)
    scores = {i: score / sampling.temperature for i, score in scores.items()}
    if sampling.top_k:
        threshold = sorted(scores.values(), reverse=True)[: sampling.top_k][-1]
        scores = {i: score for i, score in scores.items() if score >= threshold}
    if sampling.top_p < 1:
        masses, mass_so_far, kept_ids = softmax(scores), 0.0, []
        for i in sorted(masses, key=masses.__getitem__, reverse=True):
            if mass_so_far < sampling.top_p:
                kept_ids.append(i)
            mass_so_far += masses[i]
        scores = {i: scores[i] for i in kept_ids}
    if sampling.typical_p < 1:
        masses, mass_so_far, kept_ids = softmax(scores), 0.0, []
        entropy = -sum(mass * math.log(mass) for mass in masses.values())
        for i in sorted(masses, key=lambda i: abs(-math.log(masses[i]) - entropy)):
            if mass_so_far < sampling.typical_p:
                kept_ids.append(i)
            mass_so_far += masses[i]
        scores = {i: scores[i] for i in kept_ids}
    return {i: math.log(mass) for i, mass in softmax(scores).items()}


def row(seed=0, scale=3.0):
    return (np.random.default_rng(seed).standard_normal(VOCAB) * scale).astype(np.float32)


def random_sampling(rng):
    def sometimes(neutral, draw):
        return draw() if rng.random() < 0.5 else neutral

    return Sampling(
        seed=rng.randrange(2**64),
        do_sample=rng.random() < 0.5,
        temperature=sometimes(1.0, lambda: rng.uniform(0.3, 2)),
        top_k=sometimes(0, lambda: rng.randrange(1, VOCAB + 10)),
        top_p=sometimes(1.0, lambda: rng.uniform(0.05, 0.99)),
        typical_p=sometimes(1.0, lambda: rng.uniform(0.05, 0.99)),
        repetition_penalty=sometimes(1.0, lambda: rng.uniform(0.7, 2)),
        frequency_penalty=sometimes(0.0, lambda: rng.uniform(-2, 2)),
    )


@pytest.mark.parametrize("seed", range(200))
def test_probabilities_are_those_of_the_reference(seed):
    rng = random.Random(seed)
    sampling = random_sampling(rng)
    used_ids = [rng.randrange(VOCAB) for _ in range(rng.randrange(1, 30))]
    chooser = Chooser(sampling, used_ids, VOCAB, top_n_tokens=VOCAB)
    for step in range(3):
        logits = row(1000 * seed + step)
        expected = reference(logits, used_ids, sampling)
        choice = chooser.choose(logits)
        assert dict(choice.top) == pytest.approx(expected, abs=1e-4)
        assert [lp for _, lp in choice.top] == sorted((lp for _, lp in choice.top), reverse=True)
        assert choice.logprob == dict(choice.top)[choice.id]
        used_ids.append(choice.id)


def test_greedy_takes_the_most_likely():
    logits = row()
    choice = Chooser(Sampling(seed=1), (), VOCAB).choose(logits.copy())
    assert choice.id == int(logits.argmax())
    assert choice.logprob == pytest.approx(float(log_softmax(logits).max()), abs=1e-6)
    assert choice.top == ()


@pytest.mark.parametrize(
    "options", [{"temperature": 0.9}, {"top_k": 20}, {"top_p": 0.99}, {"typical_p": 0.99}]
)
def test_an_option_of_sampling_means_a_draw_even_without_do_sample(options):
    token_ids = {
        Chooser(Sampling(seed=i, **options), (), VOCAB).choose(row()).id for i in range(50)
    }
    assert len(token_ids) > 1


def test_penalties_alone_stay_greedy():
    sampling = Sampling(seed=1, repetition_penalty=1.5, frequency_penalty=0.5)
    assert len({Chooser(sampling, [3], VOCAB).choose(row()).id for _ in range(20)}) == 1


def test_the_same_seed_draws_the_same():
    def draw_tokens(seed):
        chooser = Chooser(Sampling(seed=seed, do_sample=True), (), VOCAB)
        return [chooser.choose(row(scale=1.0)).id for _ in range(50)]

    assert draw_tokens(2**64 - 1) == draw_tokens(2**64 - 1)
    assert draw_tokens(1) != draw_tokens(2)


def test_draws_follow_the_probabilities():
    chooser = Chooser(Sampling(seed=5, do_sample=True), (), VOCAB)
    counts = Counter(chooser.choose(row(scale=1.0)).id for _ in range(20_000))
    masses = np.exp(log_softmax(row(scale=1.0)))
    for token_id, mass in enumerate(masses):
        spread = math.sqrt(20_000 * mass * (1 - mass))
        assert abs(counts[token_id] - 20_000 * mass) < 5 * spread


def test_ties_with_the_last_of_the_top_are_named_too():
    logits = np.array([1, 3, 2, 2, 2, 0], np.float32)
    choice = Chooser(Sampling(seed=0), (), 6, top_n_tokens=2).choose(logits)
    assert [i for i, _ in choice.top] == [1, 2, 3, 4]


def test_what_was_ruled_out_is_not_among_the_top():
    chooser = Chooser(Sampling(seed=0, top_k=3), (), VOCAB, top_n_tokens=5)
    assert len(chooser.choose(row()).top) == 3


def test_a_top_longer_than_the_vocabulary():
    chooser = Chooser(Sampling(seed=0), (), VOCAB, top_n_tokens=1000)
    assert len(chooser.choose(row()).top) == VOCAB


@pytest.mark.parametrize("temperature", [1e-45, 1e-30, 1e-3])
def test_a_temperature_near_zero_is_greedy(temperature):
    logits = row()
    choice = Chooser(Sampling(seed=3, temperature=temperature), (), VOCAB).choose(logits.copy())
    assert (choice.id, choice.logprob) == (int(logits.argmax()), 0.0)


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 50.0}])
def test_at_least_one_token_is_left(options):
    chooser = Chooser(Sampling(seed=0, typical_p=1e-9, **options), (), VOCAB, top_n_tokens=VOCAB)
    assert len(chooser.choose(row()).top) >= 1


@pytest.mark.parametrize("penalty", [1e-45, 1e-38, 1e38, 3.4e38])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"do_sample": True},
        {"temperature": 1e-45},
        {"temperature": 3.4e38},
        {"top_k": 3, "top_p": 0.5},
        {"typical_p": 0.5},
        {"frequency_penalty": 2.0},
    ],
)
@pytest.mark.parametrize("used_ids", [[3], range(VOCAB)])
@pytest.mark.parametrize("shift", [-20, 0, 20])
def test_extreme_penalties_keep_numbers_finite(penalty, options, used_ids, shift):
    sampling = Sampling(seed=0, repetition_penalty=penalty, **options)
    chooser = Chooser(sampling, used_ids, VOCAB, top_n_tokens=3)
    for step in range(3):
        choice = chooser.choose(row(step) + np.float32(shift))
        assert all(math.isfinite(logprob) for _, logprob in choice.top)
        assert math.isfinite(choice.logprob)


def test_a_penalty_brings_back_nothing_that_the_model_rules_out():
    logits = row()
    logits[5:] = -np.inf
    sampling = Sampling(seed=0, repetition_penalty=1.5)
    choice = Chooser(sampling, range(VOCAB), VOCAB, top_n_tokens=VOCAB).choose(logits)
    assert {i for i, _ in choice.top} <= set(range(5))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("do_sample", [False, True])
def test_logits_that_are_no_numbers(bad, do_sample):
    logits = row()
    logits[7] = bad
    with pytest.raises(ValueError, match="the model's logits are not finite"):
        Chooser(Sampling(seed=0, do_sample=do_sample), (), VOCAB).choose(logits)


def test_log_softmax_of_rows():
    rows = np.stack([row(1), row(2, scale=100.0)])
    np.testing.assert_allclose(np.exp(log_softmax(rows)).sum(-1), 1, rtol=1e-5)


def test_against_transformers():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    for seed in range(200):
        rng = random.Random(seed)
        sampling, used_ids = random_sampling(rng), [rng.randrange(VOCAB) for _ in range(12)]
        chain = [
            transformers.RepetitionPenaltyLogitsProcessor(penalty=sampling.repetition_penalty),
            transformers.TemperatureLogitsWarper(float(sampling.temperature)),
        ]
        if sampling.top_k:
            chain.append(transformers.TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            chain.append(transformers.TopPLogitsWarper(sampling.top_p))
        if sampling.typical_p < 1:
            chain.append(transformers.TypicalLogitsWarper(sampling.typical_p))
        scores = torch.from_numpy(row(seed))[None]
        counts = torch.bincount(torch.tensor(used_ids), minlength=VOCAB)
        for i, process in enumerate(chain):
            scores = process(torch.tensor([used_ids]), scores)
            if i == 0:  # transformers has no frequency penalty of this kind
                scores = scores - counts * sampling.frequency_penalty / len(used_ids)
        logprobs = torch.log_softmax(scores[0], -1).tolist()
        expected = {i: lp for i, lp in enumerate(logprobs) if lp > -math.inf}
        choice = Chooser(sampling, used_ids, VOCAB, top_n_tokens=VOCAB).choose(row(seed))
        assert dict(choice.top) == pytest.approx(expected, abs=1e-4)
