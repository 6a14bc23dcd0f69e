"""`hfgen bulk`: from the arguments to the exit status."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from hfgen._async.client import AsyncClient
from hfgen._cli import connection_arguments as where
from hfgen._cli import parameter_arguments as parameters
from hfgen._cli.bulk.input_thread import ThreadedRows
from hfgen._cli.bulk.on_ray import ray_results
from hfgen._cli.bulk.progress import Lines, Progress, summary
from hfgen._cli.bulk.report.page import Report
from hfgen._cli.bulk.resume_command import resume_command
from hfgen._cli.bulk.run import EXIT_INTERRUPTED, INTERRUPTED, BulkRun
from hfgen._cli.bulk.tally import Tally
from hfgen._cli.terminal import ignore_closed_stderr
from hfgen._core.errors import BulkFileError, HfgenError, InvalidRequestError
from hfgen._core.url import redact_url
from hfgen._files.export import export, keeps_input_columns
from hfgen._files.prompt import Prompt
from hfgen._files.record import Records
from hfgen._files.source import source
from hfgen._files.store import Store
from hfgen._files.target import target

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from hfgen._bulk.results import BulkResult
    from hfgen._cli.connection_arguments import ClientOptions
    from hfgen._files.row import Row

# Exit statuses, beside 130 for a run that was interrupted.
_DONE, _STOPPED_BY_ERRORS, _SOME_ERRORS = 0, 1, 3
# Open files beside the connections: the run's own, the loop's, those of a name that is looked up.
_OTHER_FILES = 64


def run(options: argparse.Namespace) -> int:
    """Carry the command out.

    Returns:
        0 if every row has text, 3 if some have an error, 1 if these were too many, 130 if it was
        interrupted.

    Raises:
        HfgenError: It cannot be begun, or cannot go on.
    """
    return _Bulk(options).run()


class _Bulk:
    """One call of the command."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._began = datetime.now().astimezone()
        # Checked here, so that an error common to all rows is reported once.
        where.check_route(options)
        self._source = source(options.input, options.format)
        if options.engine == "ray" and self._source.path is None:
            raise InvalidRequestError(
                "--engine ray must know how many rows there are: give a file, not standard input"
            )
        self._target = target(options.output)
        self._report = Report(options.report, self._files()) if options.report else None
        self._parameters = parameters.given(options, details=options.details)
        self._prompt = Prompt(options.template, parameters=self._parameters)

    def run(self) -> int:
        """Do it; see `run`."""
        options = self._options
        if options.retry_errors and not self._target.state.exists():
            raise BulkFileError(f"{options.output} has not been begun: it has no errors to retry")
        with Store(
            self._target,
            settings=self._settings(),
            source=self._source.path,
            restart=options.restart,
        ) as store:
            if options.retry_errors:
                store.forget_errors()
            tally = Tally(self._source.count(), store.done, errors_before=store.errors.copy())
            running = self._running(store, tally)
            try:
                if tally.done != tally.total:
                    self._generate(running, store)
            except HfgenError:
                if tally.done:
                    self._end(running, _STOPPED_BY_ERRORS)
                raise
            status = _status(running)
            if status in {_DONE, _SOME_ERRORS}:
                if options.ordered:
                    store.sort()
                export(store, self._source, self._target)
        self._end(running, status)
        return status

    def _files(self) -> list[Path]:
        output = self._target
        given = [] if self._source.path is None else [self._source.path.resolve()]
        return [output.path, output.rows, output.state, *given]

    def _settings(self) -> dict[str, Any]:
        options = self._options
        return {
            "input": self._source.digest(),
            "format": str(self._source.encoding),
            "model": options.model,
            "local": options.local or None,
            "provider": options.provider,
            "dialect": options.dialect,
            "template": options.template,
            "parameters": self._parameters,
        }

    def _running(self, store: Store, tally: Tally) -> BulkRun:
        records = Records(
            columns=not keeps_input_columns(self._source, self._target),
            details=self._options.details,
            digests=self._source.path is None,
        )

        def commit(results: list[BulkResult[Row]]) -> None:
            store.commit([records.record(result) for result in results])

        shown = choose_progress(sys.stderr)

        def on_abandon() -> None:
            shown.abandon(f"stopped at once; to go on: {self._command()}")

        return BulkRun(
            commit=commit,
            tally=tally,
            progress=shown,
            on_abandon=on_abandon,
            recorder=self._report.recorder if self._report else None,
            max_errors=self._options.max_errors,
        )

    def _generate(self, running: BulkRun, store: Store) -> None:
        rows = store.remaining(self._source.rows())
        try:
            with where.client_options(self._options, on_retry=running.note_retry) as reached:
                asyncio.run(self._ask(reached, rows, running))
        finally:
            with ignore_closed_stderr():
                running.progress.close()

    async def _ask(self, reached: ClientOptions, rows: Iterator[Row], running: BulkRun) -> None:
        options = self._options
        if options.engine == "ray":
            count = (running.tally.total or 0) - running.tally.done
            with ray_results(options, reached, self._prompt, rows, count) as results:
                await running.run(results)
            return
        # Reading a pipe may block.
        given = ThreadedRows(rows) if self._source.path is None else rows
        async with (
            AsyncClient(**reached) as client,
            client.generate_many(
                given,
                request=self._prompt,
                model=where.model(options).get("model"),
                concurrency=_within_limits(options.concurrency),
                rate_limit=options.rate_limit,
                api_urls=options.api_url,
                ordered=options.ordered,
                stream=not options.no_stream,
            ) as results,
        ):
            await running.run(results)

    def _end(self, running: BulkRun, status: int) -> None:
        lines = [*summary(running.tally, running.seconds, running.retries)]
        if self._report is not None and running.seconds:
            try:
                self._report.write(self._title(), self._facts(running))
                lines.append(f"report: {self._report.path}")
            except BulkFileError as error:
                # A report that fails must not hide how the rows ended.
                lines.append(f"no report: {error.message}")
        if status == _SOME_ERRORS:
            lines.append(f"to run those with an error again: {self._command('--retry-errors')}")
        elif status != _DONE:
            again = "to go on, with the same input again" * (self._source.path is None)
            lines.append(
                f"{running.stopped or 'stopped'}; {again or 'to go on'}: {self._command()}"
            )
        # The results are on the disk; a closed terminal must not change the exit status.
        with ignore_closed_stderr():
            for line in lines:
                running.progress.say(line)

    def _command(self, *more: str) -> str:
        return resume_command(sys.argv[1:], *more)

    def _title(self) -> str:
        return f"hfgen bulk: {self._source.name} → {self._options.output}"

    def _facts(self, running: BulkRun) -> dict[str, str]:
        options, tally = self._options, running.tally
        total = "" if tally.total is None else f", {tally.total:,} rows"
        servers = ", ".join(redact_url(url) for url in options.api_url or ())
        facts = {
            "Input": f"{self._source.name}{total}",
            "Output": options.output,
            "Model": options.model,
            "Servers": "local" if options.local else options.provider or servers,
            "Parameters": ", ".join(f"{k} {v}" for k, v in self._parameters.items()),
            "Began": f"{self._began:%Y-%m-%d %H:%M}",
            "Earlier runs": f"{tally.before:,} rows" if tally.before else "",
            "Stopped": running.stopped,
        }
        return {name: fact for name, fact in facts.items() if fact}


def choose_progress(file: TextIO | None) -> Progress:
    """Return what fits the stream: a live display on a terminal, if rich is installed."""
    if file is not None and file.isatty() and os.environ.get("TERM") != "dumb":
        with contextlib.suppress(ModuleNotFoundError):
            from hfgen._cli.bulk.display import Display  # noqa: PLC0415 - needs rich

            return Display(file)
    return Lines(file)


def _within_limits(concurrency: int | tuple[int, int]) -> int | tuple[int, int]:
    """Raise the limit of open files, which shells set low; return what it has room for."""
    if sys.platform == "win32":
        return concurrency
    import resource  # noqa: PLC0415 - not on Windows

    least, most = concurrency if isinstance(concurrency, tuple) else (concurrency, concurrency)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited, wanted = resource.RLIM_INFINITY, most + _OTHER_FILES
    if soft != unlimited and soft < wanted:
        more = wanted if hard == unlimited else min(wanted, hard)
        # Some systems have a limit beyond the limit.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
        most = min(most, max(soft - _OTHER_FILES, 1))
    return (min(least, most), most) if isinstance(concurrency, tuple) else most


def _status(running: BulkRun) -> int:
    tally = running.tally
    if running.stopped and tally.done != tally.total:
        return EXIT_INTERRUPTED if running.stopped == INTERRUPTED else _STOPPED_BY_ERRORS
    return _SOME_ERRORS if tally.all_errors else _DONE
