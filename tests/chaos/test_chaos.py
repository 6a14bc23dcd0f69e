"""Hundreds of streams at once through a proxy that does its worst, as a seed has it.

Every stream ends: whole, resumed, or with a typed error that has exactly the text that was sent.
Nothing is left of it. `make test` plays one round, always the same; `make chaos` plays new ones.
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
# By then every stream has met a limit of its own, also on a machine that hardly gets on.
PATIENCE = 60.0


def test_chaos() -> None:
    """`HFGEN_CHAOS_SECONDS` is how long to go on, `HFGEN_CHAOS_SEED` where to begin."""
    seconds = float(os.environ.get("HFGEN_CHAOS_SECONDS", "0"))
    first = random.SystemRandom().randrange(10**9) if seconds else SEED
    seed = int(os.environ.get("HFGEN_CHAOS_SEED") or first)
    ends = time.monotonic() + seconds
    while True:
        started = time.monotonic()
        with name_seed(seed), fail_on_unraised():
            verdicts = play(seed)
        told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        print(f"seed {seed}: {told} ({time.monotonic() - started:.1f} s)")  # noqa: T201 - for -s
        if time.monotonic() >= ends:
            return
        seed += 1


@contextlib.contextmanager
def name_seed(seed: int) -> Iterator[None]:
    """Say the seed with whatever fails."""
    try:
        yield
    except Exception as error:
        error.add_note(f"to repeat it: HFGEN_CHAOS_SEED={seed}")
        raise


def play(seed: int) -> Counter[str]:
    """Play a round, and return how often it ended how."""
    leftovers, ends = Leftovers(), time.monotonic() + PATIENCE
    sync_plans = shifts(seed, "sync", THREADS, first=0)
    async_plans = shifts(seed, "async", TASKS, first=1000)
    call_plans = {e.number: e for shift in (*sync_plans, *async_plans) for e in shift}
    with Proxy(seed, call_plans) as proxy:

        def callers(shifts: list[list[CallPlan]]) -> list[list[Caller]]:
            return [[Caller(e, seed, proxy.urls[e.endpoint]) for e in shift] for shift in shifts]

        on_threads, in_tasks = callers(sync_plans), callers(async_plans)
        with hfgen.Client() as client:
            threads = start_threads(client, on_threads)
            asyncio.run(call_all(in_tasks, proxy))
            for thread in threads:
                thread.join(max(0.0, ends - time.monotonic()))
            ended = outcomes_by_number([*on_threads, *in_tasks])
            late = [number for number, (_, outcome) in ended.items() if outcome.ending is None]
            assert not late, f"streams {late} do not end"
            # Nobody listens any more, so nobody may be spoken to.
            wait_for(lambda: not proxy.under_way, lambda: f"still sent to: {proxy.under_way}")
        assert not proxy.complaints, proxy.complaints
        wait_for(lambda: not proxy.connections, lambda: f"{proxy.connections} connections stay")
        verdicts = judge_streams(seed, ended, proxy)
    del on_threads, in_tasks, callers, threads, client, ended
    leftovers.check()
    return verdicts


def shifts(
    seed: int, side: Literal["sync", "async"], count: int, *, first: int
) -> list[list[CallPlan]]:
    """Return the calls of this many workers; every fourth worker makes two."""
    numbers = [[n, n + 500] if n % 4 == 0 else [n] for n in range(first, first + count)]
    return [[CallPlan.of(seed, number, side) for number in shift] for shift in numbers]


async def call_all(shifts: list[list[Caller]], proxy: Proxy) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, what: proxy.complaints.append(str(what)))
    async with hfgen.AsyncClient() as client:
        await asyncio.wait_for(run_tasks(client, shifts), PATIENCE)
        numbers = {caller.call_plan.number for shift in shifts for caller in shift}
        await asyncio.to_thread(
            wait_for,
            lambda: numbers.isdisjoint(proxy.under_way),
            lambda: f"still sent to: {numbers.intersection(proxy.under_way)}",
        )
    await check_tasks()


def judge_streams(
    seed: int, ended: Mapping[int, tuple[CallPlan, Outcome]], proxy: Proxy
) -> Counter[str]:
    verdicts: Counter[str] = Counter()
    wrong, stalled = [], 0
    for number, (call_plan, outcome) in sorted(ended.items()):
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
    assert not wrong, "\n\n".join([f"{len(wrong)} of {len(ended)} streams are wrong", *wrong[:10]])
    # Where the machine stands still a while, a limit is met before all is read: not so often.
    assert verdicts[BEHIND] <= stalled / 4, f"{verdicts} of {stalled} that stalled"
    assert verdicts["whole"], f"nothing comes through: {verdicts}"
    return verdicts


def describe_stream(call_plan: CallPlan, exchanges: Sequence[Exchange], outcome: Outcome) -> str:
    """Return all that is known of a stream."""
    steps = [
        f"  {p.end}: {p.answer_plan}\n    after {p.request}\n    {bytes(p.sent)!r}"
        for p in exchanges
    ]
    return "\n".join([f"  {call_plan}", *steps, f"  {outcome.ending}: {outcome.error!r}"])
