from hfgen.server.engine.jobs import Generated, SubmittedJob


def test_a_callback_that_raises_cancels_its_job(job, caplog):
    def emit(event):
        raise RuntimeError("loop is closed")

    submitted = SubmittedJob(job(1), emit)
    submitted.emit(Generated)
    assert submitted.cancelled
    assert "the job is cancelled" in caplog.text
    caplog.clear()
    submitted.emit(Generated)
    assert not caplog.text
