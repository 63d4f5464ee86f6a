"""The web role as an ASGI application: Twilio's webhooks, the REST API, health and metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from hookflash import __version__
from hookflash.assistant.memory_routes import profiles
from hookflash.assistant.routes import assistants
from hookflash.assistant.tool_routes import tool_imports, tools
from hookflash.base.errors import HookflashError
from hookflash.channels.api_routes import integrations
from hookflash.channels.calls_routes import calls
from hookflash.channels.check import NONCE_HEADER
from hookflash.channels.orchestrators.jobs import Conductors
from hookflash.channels.orchestrators.routes import router as orchestrator_router
from hookflash.channels.realtime_routes import router as realtime_router
from hookflash.channels.relay_routes import router as relay_router
from hookflash.channels.routes import ROUTES as MESSAGE_ROUTES
from hookflash.channels.stream_routes import router as stream_router
from hookflash.channels.transfer_routes import router as transfer_router
from hookflash.channels.voice_routes import Voices
from hookflash.channels.voice_routes import router as voice_router
from hookflash.compat import routes as compat
from hookflash.conversation import routes as conversation
from hookflash.conversation.identity_routes import people
from hookflash.conversation.journal_store import journal
from hookflash.conversation.schedule_routes import scheduled
from hookflash.db.listen import Listener, Notified, Reconnected
from hookflash.handoff.routes import tickets
from hookflash.insight import feedback_routes
from hookflash.insight.experiment_routes import experiments
from hookflash.insight.explain_routes import explanations
from hookflash.knowledge import routes as knowledge
from hookflash.knowledge.curated_routes import curated
from hookflash.knowledge.web_routes import sites
from hookflash.rest.application import new_application
from hookflash.rest.auth import Doorkeeper, Principal
from hookflash.rest.caller import Office
from hookflash.rest.limits import Buckets
from hookflash.wiring import Core
from hookflash.workspace import routes as workspace_routes
from hookflash.workspace import store as workspace

ROUTERS = (
    workspace_routes.account,
    workspace_routes.keys,
    assistants,
    tools,
    tool_imports,
    integrations,
    calls,
    knowledge.sources,
    sites,
    knowledge.documents,
    knowledge.search,
    curated,
    conversation.contacts,
    people,
    profiles,
    conversation.sessions,
    conversation.messages,
    scheduled,
    conversation.turns,
    tickets,
    experiments,
    explanations,
    feedback_routes.feedback,
    feedback_routes.corrections,
    feedback_routes.session_ratings,
    feedback_routes.turn_corrections,
    feedback_routes.message_corrections,
    conversation.journal,
    *compat.ROUTERS,
)


def create_app(core: Core) -> FastAPI:
    """The application over an open core, which outlives it."""

    async def find_key(key_hash: bytes) -> Principal | None:
        return await workspace.find_key(core.db, key_hash)

    webhooks = core.webhooks()
    counterpart = core.counterpart()
    sound = core.sound()

    async def heard(event: Notified | Reconnected) -> None:
        if isinstance(event, Notified):
            webhooks.inline.told(event.payload)
            counterpart.waiting.told(event.payload)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            await tasks.start(Listener(core.url, ["inline"], core.clock).run, heard)
            yield
            await sound.aclose()
            tasks.cancel_scope.cancel()

    app = new_application(
        title="Hookflash",
        version=__version__,
        doorkeeper=Doorkeeper(find_key, Buckets(core.settings.requests_per_minute), core.clock),
        larger_bodies=dict.fromkeys(("/v1/sources/", compat.UPLOADS), core.settings.max_upload_bytes + 1_000_000),
        lifespan=lifespan,
    )
    settings = core.settings
    app.state.core = core
    app.state.webhooks = webhooks
    app.state.counterpart = counterpart
    app.state.sound = sound
    app.state.dialogues = core.dialogues()
    app.state.voices = voices = Voices(webhooks, core.switchboard(), core.twilio)
    app.state.conductors = Conductors(voices.switchboard)
    app.state.office = Office(core.db, core.clock, journal)
    app.state.integrations = core.integrations
    app.state.outbound = core.outbound()
    app.state.public_url = settings.public_url
    # As an assistant that a number is joined to: what needs no vendor comes last.
    app.state.models = tuple(dict.fromkeys((*settings.model_names, "extractive")))
    app.state.workbench = core.workbench
    app.state.shelves = knowledge.Shelves(
        core.knowledge,
        core.providers.embedder,
        settings.embedder,
        settings.max_upload_bytes,
        core.elsewhere,
    )
    app.router.routes.extend(MESSAGE_ROUTES)
    app.include_router(voice_router)
    app.include_router(relay_router)
    app.include_router(transfer_router)
    app.include_router(stream_router)
    app.include_router(realtime_router)
    app.include_router(orchestrator_router)
    for router in ROUTERS:
        app.include_router(router)

    @app.get("/healthz", include_in_schema=False)
    async def alive(request: Request) -> dict[str, str]:
        """With a nonce (`hookflash doctor`) also that nonce, and the scheme and host that the request seems to have."""
        nonce = request.headers.get(NONCE_HEADER)
        return {"status": "alive"} | ({"nonce": nonce[:64], "seen": webhooks.origin_of(request)} if nonce else {})

    @app.get("/readyz", include_in_schema=False)
    async def ready() -> Response:
        if voices.draining:
            return Response('{"status":"draining"}', 503, media_type="application/json")
        try:
            async with core.db.system() as conn:
                await conn.execute("select 1")
        except HookflashError:
            return Response('{"status":"no database"}', 503, media_type="application/json")
        return Response('{"status":"ready"}', media_type="application/json")

    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app
