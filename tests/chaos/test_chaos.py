"""Hundreds of streams at once through a proxy that breaks them, as drawn from a seed.

Every stream ends: whole, resumed, or with a typed error that has exactly the text that was sent.
No file, thread or task stays. `make test` plays one round, always the same; `make chaos` plays new
rounds.
"""

import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import hfgen
from chaos.callers import Caller, Outcome, outcomes_by_number, run_tasks, start_threads
from chaos.generation import Generation
from chaos.leftovers import Leftovers, check_tasks, fail_on_unraised, wait_for
from chaos.plan import CallPlan
from chaos.proxy import Exchange, Proxy
from chaos.verdict import BEHIND, StreamJudge

SEED = 20251108
THREADS, TASKS = 60, 200
# Seconds after which every stream has reached a limit of its own, even on a slow machine.
PATIENCE = 60.0


def test_chaos() -> None:
    """Play rounds for `HFGEN_CHAOS_SECONDS`, the first with the seed `HFGEN_CHAOS_SEED`."""
    seconds = float(os.environ.get("HFGEN_CHAOS_SECONDS", "0"))
    first_number = random.SystemRandom().randrange(10**9) if seconds else SEED
    seed = int(os.environ.get("HFGEN_CHAOS_SEED") or first_number)
    deadline = time.monotonic() + seconds
    while True:
        started = time.monotonic()
        with name_seed(seed), fail_on_unraised():
            verdicts = play_round(seed)
        counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        print(f"seed {seed}: {counts} ({time.monotonic() - started:.1f} s)")  # noqa: T201 - for -s
        if time.monotonic() >= deadline:
            return
        seed += 1


@contextlib.contextmanager
def name_seed(seed: int) -> Iterator[None]:
    """Add the seed to an error."""
    try:
        yield
    except Exception as error:
        error.add_note(f"to repeat it: HFGEN_CHAOS_SEED={seed}")
        raise


def play_round(seed: int) -> Counter[str]:
    """Play a round; return how many streams had each verdict."""
    leftovers, deadline = Leftovers(), time.monotonic() + PATIENCE
    sync_plans = plan_calls(seed, "sync", THREADS, first_number=0)
    async_plans = plan_calls(seed, "async", TASKS, first_number=1000)
    call_plans = {plan.number: plan for plans in (*sync_plans, *async_plans) for plan in plans}
    with Proxy(seed, call_plans) as proxy:

        def make_callers(plans_by_worker: list[list[CallPlan]]) -> list[list[Caller]]:
            return [
                [Caller(plan, seed, proxy.urls[plan.endpoint]) for plan in plans]
                for plans in plans_by_worker
            ]

        thread_callers, task_callers = make_callers(sync_plans), make_callers(async_plans)
        with hfgen.Client() as client:
            threads = start_threads(client, thread_callers)
            asyncio.run(call_all(task_callers, proxy))
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            outcomes = outcomes_by_number([*thread_callers, *task_callers])
            unended = [
                number for number, (_, outcome) in outcomes.items() if outcome.ending is None
            ]
            assert not unended, f"streams {unended} do not end"
            # All callers have ended, so the proxy must not send to any of them.
            wait_for(
                lambda: not proxy.unfinished_streams,
                lambda: f"still sent to: {proxy.unfinished_streams}",
            )
        assert not proxy.complaints, proxy.complaints
        wait_for(lambda: not proxy.connections, lambda: f"{proxy.connections} connections stay")
        verdicts = judge_streams(seed, outcomes, proxy)
    del thread_callers, task_callers, make_callers, threads, client, outcomes
    leftovers.check()
    return verdicts


def plan_calls(
    seed: int, side: Literal["sync", "async"], count: int, *, first_number: int
) -> list[list[CallPlan]]:
    """Return the calls of this many workers; every fourth worker makes two."""
    numbers = [
        [n, n + 500] if n % 4 == 0 else [n] for n in range(first_number, first_number + count)
    ]
    return [[CallPlan.of(seed, number, side) for number in plans] for plans in numbers]


async def call_all(callers_by_worker: list[list[Caller]], proxy: Proxy) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: proxy.complaints.append(str(context)))
    async with hfgen.AsyncClient() as client:
        await asyncio.wait_for(run_tasks(client, callers_by_worker), PATIENCE)
        numbers = {caller.call_plan.number for callers in callers_by_worker for caller in callers}
        await asyncio.to_thread(
            wait_for,
            lambda: numbers.isdisjoint(proxy.unfinished_streams),
            lambda: f"still sent to: {numbers.intersection(proxy.unfinished_streams)}",
        )
    await check_tasks()


def judge_streams(
    seed: int, outcomes: Mapping[int, tuple[CallPlan, Outcome]], proxy: Proxy
) -> Counter[str]:
    verdicts: Counter[str] = Counter()
    wrong, stalled = [], 0
    for number, (call_plan, outcome) in sorted(outcomes.items()):
        exchanges = proxy.exchanges[number]
        stalled += bool(exchanges) and exchanges[-1].end == "stall"
        try:
            verdicts[
                StreamJudge(Generation.of(seed, number), call_plan, exchanges, outcome).judge()
            ] += 1
        except AssertionError as error:
            wrong.append(
                f"stream {number}: {error}\n{describe_stream(call_plan, exchanges, outcome)}"
            )
    assert not wrong, "\n\n".join(
        [f"{len(wrong)} of {len(outcomes)} streams are wrong", *wrong[:10]]
    )
    # If the machine pauses, a client may time out before it has read everything. This must be rare.
    assert verdicts[BEHIND] <= stalled / 4, f"{verdicts} of {stalled} that stalled"
    assert verdicts["whole"], f"nothing comes through: {verdicts}"
    return verdicts


def describe_stream(call_plan: CallPlan, exchanges: Sequence[Exchange], outcome: Outcome) -> str:
    """Return a stream's plans, answers and outcome as text."""
    steps = [
        f"  {p.end}: {p.answer_plan}\n    after {p.request}\n    {bytes(p.sent)!r}"
        for p in exchanges
    ]
    return "\n".join([f"  {call_plan}", *steps, f"  {outcome.ending}: {outcome.error!r}"])
