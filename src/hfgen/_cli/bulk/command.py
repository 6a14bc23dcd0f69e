"""`hfgen bulk`: from the arguments to the exit status."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hfgen._async.client import AsyncClient
from hfgen._cli import connection_arguments as where
from hfgen._cli import parameter_arguments as parameters
from hfgen._cli.bulk.going_on import command
from hfgen._cli.bulk.input_thread import Feed
from hfgen._cli.bulk.on_ray import ray_results
from hfgen._cli.bulk.progress import progress, summary
from hfgen._cli.bulk.report.run_report import Report
from hfgen._cli.bulk.run import INTERRUPTED, Running
from hfgen._cli.bulk.stopping import STOPPED
from hfgen._cli.bulk.tally import Tally
from hfgen._cli.terminal import heard_or_not
from hfgen._core.errors import BulkFileError, HfgenError, InvalidRequestError
from hfgen._core.url import display
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
    from hfgen._cli.connection_arguments import Where
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
        # What is wrong for each row is said once, and not a million times.
        where.check(options)
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
                    self._go(running, store)
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

    def _running(self, store: Store, tally: Tally) -> Running:
        records = Records(
            columns=not keeps_input_columns(self._source, self._target),
            details=self._options.details,
            digests=self._source.path is None,
        )

        def keep(results: list[BulkResult[Row]]) -> None:
            store.commit([records.record(result) for result in results])

        shown = progress(sys.stderr)

        def at_once() -> None:
            shown.abandon(f"stopped at once; to go on: {self._command()}")

        return Running(
            keep=keep,
            tally=tally,
            progress=shown,
            at_once=at_once,
            recorder=self._report.recorder if self._report else None,
            max_errors=self._options.max_errors,
        )

    def _go(self, running: Running, store: Store) -> None:
        rows = store.remaining(self._source.rows())
        try:
            with where.reached(self._options, on_retry=running.told) as reached:
                asyncio.run(self._ask(reached, rows, running))
        finally:
            with heard_or_not():
                running.progress.close()

    async def _ask(self, reached: Where, rows: Iterator[Row], running: Running) -> None:
        options = self._options
        if options.engine == "ray":
            count = (running.tally.total or 0) - running.tally.done
            with ray_results(options, reached, self._prompt, rows, count) as results:
                await running.go(results)
            return
        # Nobody knows when the next row comes out of a pipe.
        given = Feed(rows) if self._source.path is None else rows
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
            await running.go(results)

    def _end(self, running: Running, status: int) -> None:
        lines = [*summary(running.tally, running.seconds, running.retries)]
        if self._report is not None and running.seconds:
            try:
                self._report.write(self._title(), self._facts(running))
                lines.append(f"report: {self._report.path}")
            except BulkFileError as error:
                # The rows are what counts, and how they ended.
                lines.append(f"no report: {error.message}")
        if status == _SOME_ERRORS:
            lines.append(f"to run those with an error again: {self._command('--retry-errors')}")
        elif status != _DONE:
            again = "to go on, with the same input again" * (self._source.path is None)
            lines.append(
                f"{running.stopped or 'stopped'}; {again or 'to go on'}: {self._command()}"
            )
        # The results are on the disk, whether anybody listens or not.
        with heard_or_not():
            for line in lines:
                running.progress.say(line)

    def _command(self, *more: str) -> str:
        return command(sys.argv[1:], *more)

    def _title(self) -> str:
        return f"hfgen bulk: {self._source.name} → {self._options.output}"

    def _facts(self, running: Running) -> dict[str, str]:
        options, tally = self._options, running.tally
        total = "" if tally.total is None else f", {tally.total:,} rows"
        servers = ", ".join(display(url) for url in options.api_url or ())
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


def _status(running: Running) -> int:
    tally = running.tally
    if running.stopped and tally.done != tally.total:
        return STOPPED if running.stopped == INTERRUPTED else _STOPPED_BY_ERRORS
    return _SOME_ERRORS if tally.all_errors else _DONE
