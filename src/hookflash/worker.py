"""The worker role: lanes, background jobs, back-fill, the journal's seals; it ends when the lanes in hand are done."""

import anyio
import structlog

from hookflash.base.tasks import bare_error
from hookflash.channels.jobs import Gap, backfill_all, keep_backfilling, keep_sealing
from hookflash.channels.media_jobs import MediaEraser
from hookflash.conversation.lane import LaneRunner, LaneWorker
from hookflash.db.jobs import Task, work
from hookflash.db.listen import Listener, Notified, Reconnected
from hookflash.db.presence import Life, Presence
from hookflash.wiring import Core, desk, lane_runner

log = structlog.get_logger()

DRAIN_SECONDS = 25.0


class WorkerRole:
    """One worker; `run` it in a task group, `stop` it to let it finish what it holds."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lanes: LaneWorker | None = None
        self._stopping = False
        self._waiting = anyio.CancelScope()

    def stop(self) -> None:
        """Take nothing more; `run` returns when the lanes in hand are done."""
        self._stopping = True
        self._waiting.cancel()
        if self._lanes is not None:
            self._lanes.stop()

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Work until `stop` or cancellation. Each loss of the database begins a new life under a new number."""
        core = self._core
        gap = Gap(anyio.Event())
        with bare_error():
            async with anyio.create_task_group() as tasks:
                presence = Presence(core.url, core.clock)
                await tasks.start(presence.run)
                tasks.start_soon(keep_sealing, core.db, core.clock)
                backfill = core.backfill()
                tasks.start_soon(
                    keep_backfilling,
                    core.db,
                    core.integrations,
                    backfill,
                    core.clock,
                    core.settings.backfill_seconds,
                    gap,
                )
                tasks.start_soon(work, core.url, self._tasks(), core.clock)
                task_status.started()
                while not self._stopping:
                    await self._live(presence, gap)
                tasks.cancel_scope.cancel()

    async def _live(self, presence: Presence, gap: Gap) -> None:
        core = self._core
        life: Life | None = None
        with anyio.CancelScope() as self._waiting:
            life = await presence.life()
        if life is None:
            return
        at = desk(core, lambda: life.number)
        runner: LaneRunner = lane_runner(core, at)
        lanes = LaneWorker(at, runner, most=core.settings.worker_concurrency)
        self._lanes = lanes
        log.info("worker ready", number=life.number)

        async def heard(event: Notified | Reconnected) -> None:
            if isinstance(event, Reconnected):
                gap.noticed()
            lanes.wake()

        async def until_lost(scope: anyio.CancelScope) -> None:
            await life.lost.wait()
            log.warning("presence lost; lanes in hand are dropped")
            scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(until_lost, tasks.cancel_scope)
            await tasks.start(Listener(core.url, ["lanes"], core.clock).run, heard)
            tasks.start_soon(at.keep_leases)
            if self._stopping:
                lanes.stop()
            await lanes.run()
            tasks.cancel_scope.cancel()

    def _tasks(self) -> list[Task]:
        core = self._core

        async def backfill_now() -> None:
            await backfill_all(core.db, core.integrations, core.backfill())

        return [
            *core.indexer().tasks(),
            *core.copier().tasks(),
            *core.crawler().tasks(),
            *core.question_embedder().tasks(),
            *core.redial().tasks(),
            *core.poster().tasks(),
            *core.ratings.tasks(),
            *core.errands.tasks(),
            *core.rememberer().tasks(),
            *MediaEraser(core.blobs).tasks(),
            Task("channels.backfill", backfill_now),
        ]
