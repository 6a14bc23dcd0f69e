"""`hfgen bulk`: runs the command, from its arguments to its exit status."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, TextIO

from hfgen._async.client import AsyncClient
from hfgen._cli import connection_arguments, parameter_arguments
from hfgen._cli.bulk.input_thread import ThreadedRows
from hfgen._cli.bulk.on_ray import ray_results
from hfgen._cli.bulk.progress import Lines, Progress, summarize
from hfgen._cli.bulk.report.page import Report
from hfgen._cli.bulk.resume_command import resume_command
from hfgen._cli.bulk.run import INTERRUPTED, BulkRun
from hfgen._cli.bulk.tally import Tally
from hfgen._cli.terminal import ignore_closed_stderr
from hfgen._core.errors import BulkFileError, HfgenError, InvalidRequestError
from hfgen._core.url import redact_url
from hfgen._files.export import check_export, export, keeps_input_columns
from hfgen._files.prompt import Prompt
from hfgen._files.record import RecordMaker
from hfgen._files.source import Source
from hfgen._files.state import side_files
from hfgen._files.store import Store
from hfgen._files.target import Target
from hfgen._io.stop_signals import EXIT_INTERRUPTED

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from hfgen._bulk.results import BulkResult
    from hfgen._cli.connection_arguments import ClientOptions
    from hfgen._files.row import Row

# Exit statuses, besides `EXIT_INTERRUPTED`.
_DONE, _STOPPED_BY_ERRORS, _SOME_ERRORS = 0, 1, 3
# Open files besides the connections: those of the run, of the event loop, and of name look-ups.
_OTHER_FILES = 64


def run(options: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        0 if every row has text, 3 if some have an error, 1 if more than `--max-errors` have one,
        130 if a signal stopped the run.

    Raises:
        HfgenError: The run cannot begin, or cannot go on.
    """
    return _Command(options).run()


class _Command:
    """One execution of the command."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._began = datetime.now().astimezone()
        # Checked before the run, so that an error of all rows is reported once.
        connection_arguments.check_route(options)
        self._model = connection_arguments.model_field(options).get("model")
        self._source = Source.from_name(options.input, options.format)
        if options.engine == "ray" and self._source.path is None:
            raise InvalidRequestError(
                "--engine ray needs the number of rows: give a file, not standard input"
            )
        self._target = Target.from_name(options.output)
        self._report = Report(options.report, self._list_files()) if options.report else None
        self._parameters = parameter_arguments.request_parameters(options, details=options.details)
        self._prompt = Prompt(options.template, parameters=self._parameters)

    def run(self) -> int:
        """Run the command; see `run`."""
        options = self._options
        if options.retry_errors and not self._target.state.exists():
            raise BulkFileError(f"{options.output} has no errors to retry: no run has written it")
        self._prompt.check_columns(self._source.rows_with_all_columns())
        check_export(self._source, self._target)
        with Store(
            self._target,
            settings=self._collect_settings(),
            source=self._source.path,
            restart=options.restart,
        ) as store:
            if options.retry_errors:
                store.forget_errors()
            tally = Tally(self._count_rows(), store.done, errors_before=store.errors.copy())
            bulk_run = self._make_run(store, tally)
            try:
                if tally.done != tally.total:
                    self._generate(bulk_run, store)
                    store.check_in_place()
            except HfgenError:
                if tally.done:
                    self._print_summary(bulk_run, _STOPPED_BY_ERRORS)
                raise
            status = _exit_status(bulk_run)
            if status in {_DONE, _SOME_ERRORS}:
                if options.ordered:
                    store.sort()
                export(store, self._source, self._target)
        self._print_summary(bulk_run, status)
        return status

    def _list_files(self) -> list[Path]:
        output = self._target
        inputs = [] if self._source.path is None else [self._source.path.resolve()]
        return [output.path, output.rows, output.state, *side_files(output.state), *inputs]

    def _collect_settings(self) -> dict[str, Any]:
        options = self._options
        return {
            "input": self._source.digest(),
            "format": str(self._source.encoding),
            "model": options.model if options.local else self._model,
            "local": options.local or None,
            "provider": options.provider,
            "dialect": options.dialect,
            "template": options.template,
            "parameters": self._parameters,
        }

    def _count_rows(self) -> int | None:
        count, limit = self._source.count(), self._options.limit
        return count if count is None or limit is None else min(count, limit)

    def _make_run(self, store: Store, tally: Tally) -> BulkRun:
        record_maker = RecordMaker(
            columns=not keeps_input_columns(self._source, self._target),
            details=self._options.details,
            digests=self._source.path is None,
        )

        def commit(results: list[BulkResult[Row]]) -> None:
            store.commit([record_maker.make_record(result) for result in results])

        progress = choose_progress(sys.stderr)

        def on_second_signal() -> None:
            progress.print_in_signal_handler(f"stopped at once; to go on: {self._resume_command()}")

        return BulkRun(
            commit=commit,
            tally=tally,
            progress=progress,
            on_second_signal=on_second_signal,
            recorder=self._report.recorder if self._report else None,
            max_errors=self._options.max_errors,
        )

    def _generate(self, bulk_run: BulkRun, store: Store) -> None:
        rows = store.skip_finished(islice(self._source.rows(), self._options.limit))
        try:
            with connection_arguments.client_options(
                self._options, on_retry=bulk_run.note_retry
            ) as client_options:
                asyncio.run(self._run_rows(client_options, rows, bulk_run))
        finally:
            with ignore_closed_stderr():
                bulk_run.progress.close()

    async def _run_rows(
        self, client_options: ClientOptions, rows: Iterator[Row], bulk_run: BulkRun
    ) -> None:
        options = self._options
        if options.engine == "ray":
            count = (bulk_run.tally.total or 0) - bulk_run.tally.done
            with ray_results(options, client_options, self._prompt, rows, count) as results:
                await bulk_run.run(results)
            return
        # Reading standard input may block.
        input_rows = ThreadedRows(rows) if self._source.path is None else rows
        async with (
            AsyncClient(**client_options) as client,
            client.generate_many(
                input_rows,
                request=self._prompt,
                model=self._model,
                concurrency=self._fit_concurrency(bulk_run.progress),
                rate_limit=options.rate_limit,
                api_urls=options.api_url,
                ordered=options.ordered,
                stream=not options.no_stream,
                patience=options.patience,
            ) as results,
        ):
            await bulk_run.run(results)

    def _fit_concurrency(self, progress: Progress) -> int | tuple[int, int]:
        wanted = self._options.concurrency
        if (fitting := _fit_to_open_files(wanted)) != wanted:
            most = fitting[1] if isinstance(fitting, tuple) else fitting
            with ignore_closed_stderr():
                progress.print_line(
                    f"concurrency at most {most}, because of the limit of open files; "
                    "`ulimit -n` raises it"
                )
        return fitting

    def _print_summary(self, bulk_run: BulkRun, status: int) -> None:
        lines = [*summarize(bulk_run.tally, bulk_run.seconds, bulk_run.retries)]
        if self._report is not None and bulk_run.seconds:
            try:
                self._report.write(self._make_title(), self._collect_facts(bulk_run))
                lines.append(f"report: {self._report.path}")
            except BulkFileError as error:
                # An error of the report must not hide the summary.
                lines.append(f"no report: {error.message}")
        if status == _SOME_ERRORS:
            lines.append(
                f"to run those with an error again: {self._resume_command('--retry-errors')}"
            )
        elif status != _DONE:
            hint = "to go on" if self._source.path else "to go on, with the same input again"
            reason = bulk_run.stop_reason or "stopped"
            lines.append(f"{reason}; {hint}: {self._resume_command()}")
        # A closed terminal must not change the exit status: the results are on the disk.
        with ignore_closed_stderr():
            for line in lines:
                bulk_run.progress.print_line(line)

    def _resume_command(self, *more: str) -> str:
        return resume_command(sys.argv[1:], *more)

    def _make_title(self) -> str:
        return f"hfgen bulk: {self._source.name} → {self._options.output}"

    def _collect_facts(self, bulk_run: BulkRun) -> dict[str, str]:
        options, tally = self._options, bulk_run.tally
        total = "" if tally.total is None else f", {tally.total:,} rows"
        servers = ", ".join(redact_url(url) for url in options.api_url or ())
        facts = {
            "Input": f"{self._source.name}{total}",
            "Output": options.output,
            "Model": options.model,
            "Servers": "local" if options.local else options.provider or servers,
            "Parameters": ", ".join(f"{k} {v}" for k, v in self._parameters.items()),
            "Began": f"{self._began:%Y-%m-%d %H:%M}",
            "Earlier runs": f"{tally.done_before:,} rows" if tally.done_before else "",
            "Stopped": bulk_run.stop_reason,
        }
        return {name: fact for name, fact in facts.items() if fact}


def choose_progress(file: TextIO | None) -> Progress:
    """Return a live display for a terminal if rich is installed, else `Lines`."""
    if file is not None and file.isatty() and os.environ.get("TERM") != "dumb":
        with contextlib.suppress(ModuleNotFoundError):
            from hfgen._cli.bulk.display import Display  # noqa: PLC0415 - needs rich

            return Display(file)
    return Lines(file)


def _fit_to_open_files(concurrency: int | tuple[int, int]) -> int | tuple[int, int]:
    """Raise the limit of open files for this concurrency; lower the concurrency if that fails.

    Shells set the limit low, often to 256 or 1024.
    """
    if sys.platform == "win32":
        return concurrency
    import resource  # noqa: PLC0415 - not on Windows

    least, most = concurrency if isinstance(concurrency, tuple) else (concurrency, concurrency)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited, wanted = resource.RLIM_INFINITY, most + _OTHER_FILES
    if soft != unlimited and soft < wanted:
        raised = wanted if hard == unlimited else min(wanted, hard)
        # Some systems refuse a value below the hard limit, too.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        most = min(most, max(soft - _OTHER_FILES, 1))
    return (min(least, most), most) if isinstance(concurrency, tuple) else most


def _exit_status(bulk_run: BulkRun) -> int:
    tally = bulk_run.tally
    if tally.done != tally.total and (bulk_run.stop_reason or tally.total is not None):
        return EXIT_INTERRUPTED if bulk_run.stop_reason == INTERRUPTED else _STOPPED_BY_ERRORS
    return _SOME_ERRORS if tally.all_errors else _DONE
