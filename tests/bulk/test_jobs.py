"""The queue of the rows that wait for an attempt."""

from hfgen._bulk.jobs import Job, Jobs


def make_job(index, *, refusals=0):
    return Job(index, None, {"inputs": "x"}, stream=True, refusals=refusals)


def pop_all(jobs):
    indices = []
    while (first := jobs.first) is not None:
        assert jobs.pop() is first
        indices.append(first.index)
    return indices


def test_jobs_come_in_the_order_in_which_they_were_added():
    jobs = Jobs()
    for index in (2, 0, 1):
        jobs.add(make_job(index))
    assert jobs.ready_count == len(jobs) == 3
    assert pop_all(jobs) == [2, 0, 1]
    assert jobs.first is None


def test_refused_jobs_take_turns_with_others():
    jobs = Jobs()
    for index in range(3):
        jobs.add(make_job(index, refusals=1))
    for index in range(3, 8):
        jobs.add(make_job(index))
    assert jobs.ready_count == 5
    assert pop_all(jobs) == [3, 0, 4, 1, 5, 2, 6, 7]


def test_delayed_jobs_come_behind_those_that_wait():
    jobs = Jobs()
    jobs.delay(make_job(0), 5.0)
    jobs.delay(make_job(1), 3.0)
    assert (jobs.first, jobs.delayed_until, len(jobs)) == (None, 3.0, 2)
    jobs.add(make_job(2))
    jobs.add_delayed(3.0)
    assert pop_all(jobs) == [2, 1]
    jobs.add_delayed(4.9)
    assert (jobs.first, jobs.delayed_until) == (None, 5.0)
    jobs.add_delayed(5.0)
    assert pop_all(jobs) == [0]
    assert jobs.delayed_until is None


def test_clearing_returns_all_jobs():
    jobs = Jobs()
    jobs.add(make_job(0))
    jobs.add(make_job(1, refusals=1))
    jobs.delay(make_job(2), 5.0)
    assert {job.index for job in jobs.clear()} == {0, 1, 2}
    assert len(jobs) == 0
