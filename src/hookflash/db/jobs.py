"""Work for later: deferred in the caller's own transaction, run by whichever worker is free, tried again when it fails."""

import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import anyio
import procrastinate
import psycopg
import structlog
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import DeleteJobCondition, Job
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from procrastinate.worker import Worker
from psycopg_pool import PoolTimeout

from hookflash.base.clock import Clock
from hookflash.base.errors import HookflashError
from hookflash.db.pool import Connection

log = structlog.get_logger()

_HEARTBEAT_SECONDS = 4.0
_DEAD_AFTER_SECONDS = 15.0
_LOOK_FOR_DEAD_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 600
_PAUSE_SECONDS = 1.0
_KEEP_FAILED_HOURS = 30 * 24

# A finished job does not wake the worker for the next one of the same lock; only the poll finds it.
_POLL_SECONDS = 1.0

# A job that was running when so many workers died is taken to be what kills them.
_MOST_DEATHS = 10

# One statement, so that of two workers that look at once only one takes a job back.
_TAKE_BACK = """
update procrastinate_jobs j
set status = (case when attempts < %(most)s then 'todo' else 'failed' end)::procrastinate_job_status,
    attempts = attempts + 1, worker_id = null, queueing_lock = null
where status = 'doing' and not abort_requested
  and not exists (select from procrastinate_workers w where w.id = j.worker_id
                  and w.last_heartbeat > now() - make_interval(secs => %(dead)s))
"""


@dataclass(frozen=True, slots=True)
class Task:
    """What a job's name means in a worker. `run` takes the keyword arguments that were given to `defer`.

    It may run more than once (a worker that is killed or stopped in the middle leaves it to another), so it must be
    harmless to repeat. It is tried again `retries` times, at growing intervals, unless it raises a HookflashError
    that is not retryable. `every` is a cron line (UTC; a sixth field means seconds): it then runs without arguments.
    """

    name: str
    run: Callable[..., Awaitable[None]]
    retries: int = 8
    every: str | None = None


async def defer(
    connection: Connection,
    name: str,
    /,
    *,
    lock: str | None = None,
    queueing_lock: str | None = None,
    schedule_in: timedelta | None = None,
    **arguments: Any,
) -> int | None:
    """Adds a job that exists once the caller's transaction commits; returns its number.

    Jobs of one `lock` run one at a time and in order. With a `queueing_lock` that a waiting job holds already nothing
    is added, and the answer is None. Arguments are JSON, and are ids rather than what a person said.
    """
    deferrer = _registry.configure_task(
        name,
        queue=name,
        lock=lock,
        queueing_lock=queueing_lock,
        schedule_in=None if schedule_in is None else {"seconds": schedule_in.total_seconds()},
        connection=connection,
    )
    try:
        if queueing_lock is None:
            return await deferrer.defer_async(**arguments)
        # A refusal is an error to PostgreSQL; the savepoint keeps it from spoiling the caller's transaction.
        async with connection.transaction():
            return await deferrer.defer_async(**arguments)
    except AlreadyEnqueued:
        return None
    except ConnectorException as error:
        if isinstance(error.__cause__, psycopg.Error):
            raise error.__cause__ from None
        raise


async def work(url: str, tasks: Sequence[Task], clock: Clock, *, concurrency: int = 4, patience: float = 10.0) -> None:
    """Runs jobs of these tasks until cancelled, and those that other workers left behind when they were killed.

    When it is cancelled, running jobs have `patience` seconds to end; then they are interrupted and run again elsewhere.
    While the database is out of reach it waits. Jobs of unknown tasks are left to workers that know them.
    """
    # Its sentences carry the arguments of jobs; what fails is reported here instead.
    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
    while True:
        try:
            await _work_until_lost(url, tasks, clock, concurrency, patience)
        except* (ConnectorException, psycopg.Error, PoolTimeout) as errors:
            log.warning("job worker lost the database", errors=sorted({type(e).__name__ for e in errors.exceptions}))
        await clock.sleep(_PAUSE_SECONDS)


async def _work_until_lost(url: str, tasks: Sequence[Task], clock: Clock, concurrency: int, patience: float) -> None:
    connector = procrastinate.PsycopgConnector(
        conninfo=url,
        kwargs={"connect_timeout": 10},
        min_size=1,
        max_size=concurrency + 3,
        timeout=10.0,
        configure=_configure,
    )
    app = procrastinate.App(connector=connector)
    for task in tasks:
        _register(app, task)
    worker = Worker(
        app,
        queues=[task.name for task in tasks],
        concurrency=concurrency,
        fetch_job_polling_interval=_POLL_SECONDS,
        shutdown_graceful_timeout=patience,
        delete_jobs=DeleteJobCondition.SUCCESSFUL,
        install_signal_handlers=False,
        update_heartbeat_interval=_HEARTBEAT_SECONDS,
        stalled_worker_timeout=_DEAD_AFTER_SECONDS,
    )
    async with _opened(app):
        await app.job_manager.delete_old_jobs(
            nb_hours=_KEEP_FAILED_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
        )
        async with anyio.create_task_group() as group:
            group.start_soon(_recover, app, clock)
            await _run(worker)
            group.cancel_scope.cancel()


@asynccontextmanager
async def _opened(app: procrastinate.App) -> AsyncIterator[None]:
    """Its own context leaves tasks of the pool behind when it is cancelled, and they may hold up the program's end."""
    try:
        await app.open_async()
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await app.close_async()


async def _run(worker: Worker) -> None:
    """The worker ends by being asked: it cannot bear anyio's cancellation, which repeats itself."""
    stopping = False
    ended = anyio.Event()

    async def run() -> None:
        try:
            with anyio.CancelScope(shield=True):
                if not stopping:
                    await worker.run()  # type: ignore[no-untyped-call]
        finally:
            ended.set()

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        try:
            await ended.wait()
        finally:
            stopping = True
            worker.stop()  # type: ignore[no-untyped-call]


async def _recover(app: procrastinate.App, clock: Clock) -> None:
    while True:
        await app.connector.execute_query_async(_TAKE_BACK, dead=_DEAD_AFTER_SECONDS, most=_MOST_DEATHS)
        await clock.sleep(_LOOK_FOR_DEAD_SECONDS)


def _register(app: procrastinate.App, task: Task) -> None:
    async def run(context: procrastinate.JobContext, /, **arguments: Any) -> None:
        if context.job.queueing_lock is not None:
            # It has done its duty. Kept, it would forbid the job to wait for another try while a later one waits.
            await app.connector.execute_query_async(
                "update procrastinate_jobs set queueing_lock = null where id = %(id)s", id=context.job.id
            )
        if task.every is not None:
            arguments.pop("timestamp", None)
        try:
            await task.run(**arguments)
        except Exception as error:
            log.warning(
                "job failed",
                task=task.name,
                job=context.job.id,
                attempt=context.job.attempts + 1,
                error=type(error).__name__,
                **{"pii.traceback": traceback.format_exc()},
            )
            raise

    registered = app.task(name=task.name, queue=task.name, retry=_Retry(task.retries), pass_context=True)(run)
    if task.every is not None:
        app.periodic(cron=task.every, queueing_lock=f"periodic {task.name}")(registered)  # type: ignore[arg-type]


class _Retry(BaseRetryStrategy):
    def __init__(self, retries: int) -> None:
        self._retries = retries

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if not isinstance(exception, Exception):
            # Interrupted because the worker stops: nobody's fault, so it counts for nothing and waits for nothing.
            return RetryDecision(retry_in={"seconds": 0})
        if isinstance(exception, HookflashError) and not exception.retryable:
            return None
        if job.attempts >= self._retries:
            return None
        return RetryDecision(retry_in={"seconds": min(2**job.attempts, _LONGEST_WAIT_SECONDS)})


async def _configure(connection: psycopg.AsyncConnection) -> None:
    await connection.execute("set role hookflash_app")
    await connection.commit()


# Knows no task and is never opened: deferring needs only the caller's connection.
_registry = procrastinate.App(connector=procrastinate.PsycopgConnector())
