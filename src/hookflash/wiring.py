"""Knows everything and decides nothing: constructs the parts from the settings and hands each what it needs."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import anyio.to_thread

from hookflash.assistant.ahead import Ahead, Search
from hookflash.assistant.answer import Means, answerer
from hookflash.assistant.builtin import Builtin
from hookflash.assistant.followup import resolve as follow_up
from hookflash.assistant.library import Library
from hookflash.assistant.model import Image
from hookflash.assistant.realtime import lookup
from hookflash.assistant.tool import Limits as ToolLimits
from hookflash.assistant.tool import Toolbox
from hookflash.assistant.tool_routes import Workbench
from hookflash.assistant.toolbox_store import StoredToolbox
from hookflash.base.breaker import Breakers
from hookflash.base.clock import Clock, SystemClock
from hookflash.base.errors import HookflashError, Misconfigured
from hookflash.base.secret import Sealer
from hookflash.channels.accept import Acceptor
from hookflash.channels.backfill import Backfill
from hookflash.channels.deliver import Deliverer
from hookflash.channels.inline import Inline
from hookflash.channels.integration import Credentials
from hookflash.channels.jobs import Desk
from hookflash.channels.media import IMAGES, Blobs, MediaKeeper, Transcriber
from hookflash.channels.outbound import Outbound
from hookflash.channels.realtime_routes import Dialogues
from hookflash.channels.redial_jobs import Redial
from hookflash.channels.routes import Webhooks
from hookflash.channels.store import Integrations
from hookflash.channels.stream_routes import Sound, Studio
from hookflash.channels.text import TwilioPost
from hookflash.channels.think import Thinker
from hookflash.channels.voice_jobs import Switchboard
from hookflash.compliance.permit import by_day_only
from hookflash.conversation.lane import LaneRunner, Unanswered
from hookflash.conversation.turn import Answerer, Turn
from hookflash.db.embedded import EmbeddedPostgres
from hookflash.db.migrate import migrate, require_current
from hookflash.db.pool import Database
from hookflash.knowledge.crawl import Fetcher
from hookflash.knowledge.crawl_jobs import Crawler
from hookflash.knowledge.curated import CuratedMatch
from hookflash.knowledge.curated_jobs import QuestionEmbedder
from hookflash.knowledge.curated_store import CuratedAnswers
from hookflash.knowledge.document import Limits
from hookflash.knowledge.external_store import Elsewhere
from hookflash.knowledge.jobs import Indexer
from hookflash.knowledge.language import detect
from hookflash.knowledge.library_store import KnowledgeBase
from hookflash.providers.files import FileBlobs
from hookflash.providers.guarded import guarded_client
from hookflash.providers.http_tool import HttpTools
from hookflash.providers.indexes import index_config, open_index
from hookflash.providers.mcp_tool import McpTools
from hookflash.providers.openai_speech import OpenAITranscriber
from hookflash.providers.python_tool import PythonTools, installed_tools
from hookflash.providers.registry import Providers, Timeouts
from hookflash.providers.s3 import BucketBlobs
from hookflash.providers.silero import Silero, package_model
from hookflash.providers.web_fetch import WebFetcher
from hookflash.settings import Settings
from hookflash.speech.failover import SteadyStt, SteadyTts
from hookflash.speech.gate import Gate
from hookflash.speech.stt import Stt
from hookflash.speech.tts import Tts
from hookflash.speech.vad import GatedScorer
from hookflash.twilio.client import TwilioClient

Point = Callable[[str], None]


def _nowhere(name: str) -> None:
    """No named point does anything in production."""


@dataclass(frozen=True, slots=True)
class Core:
    """What every role shares: the database, the clock, the vendors. `point` is told of the named points of a turn."""

    settings: Settings
    clock: Clock
    url: str
    owner_url: str
    db: Database
    integrations: Integrations
    twilio: TwilioClient
    providers: Providers
    blobs: Blobs
    knowledge: KnowledgeBase
    elsewhere: Elsewhere
    curated: CuratedAnswers
    fetcher: Fetcher
    workbench: Workbench
    answer: Answerer
    lookup: Answerer
    ahead: Ahead
    studio: Studio
    point: Point = field(default=_nowhere)

    def backfill(self) -> Backfill:
        return Backfill(self.twilio, self.clock, self._desk(), Acceptor(self._desk(), self.clock).accept)

    def indexer(self) -> Indexer:
        limits = Limits(file_bytes=self.settings.max_upload_bytes)
        return Indexer(self.db, self.clock, self.providers.embedder, limits, self.owner_url)

    def crawler(self) -> Crawler:
        return Crawler(self.db, self.clock, self.fetcher, self.settings.web_delay_seconds)

    def question_embedder(self) -> QuestionEmbedder:
        return QuestionEmbedder(self.db, self.providers.embedder, self.settings.embedder)

    def webhooks(self) -> Webhooks:
        return Webhooks(
            db=self.db,
            clock=self.clock,
            integrations=self.integrations,
            acceptor=Acceptor(self._desk(), self.clock),
            inline=Inline(self._desk().take_inline),
            public_url=self.settings.public_url,
            trusted=self.settings.trusted_proxies,
        )

    def sound(self) -> Sound:
        return Sound(make_scorer, self.studio, self.clock)

    def dialogues(self) -> Dialogues:
        return Dialogues(self.providers.sts, self.settings.realtime, self.lookup, self.clock)

    def switchboard(self) -> Switchboard:
        return Switchboard(self.db, self.clock, self.answer, look_ahead=self.ahead.look)

    def outbound(self) -> Outbound:
        return Outbound(self.twilio, self.clock, self.switchboard(), by_day_only, self.settings.public_url)

    def redial(self) -> Redial:
        return Redial(self.db, self.clock, self.integrations, self.outbound())

    def _desk(self) -> Desk:
        return desk(self, lambda: 0)


@asynccontextmanager
async def database_url(settings: Settings) -> AsyncIterator[str]:
    """The database to use: the one that is set, or our own, started for as long as it is needed."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
    else:
        async with EmbeddedPostgres(settings.data_dir / "postgres") as url:
            yield url


@asynccontextmanager
async def open_core(
    settings: Settings,
    *,
    clock: Clock | None = None,
    point: Point = _nowhere,
    answer: Answerer | None = None,
    studio: Studio | None = None,
) -> AsyncIterator[Core]:
    """Everything that roles share, ready for use; our own database is also migrated.

    `answer` replaces the assistant, for load tests.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(database_url(settings))
        if settings.embedded:
            await anyio.to_thread.run_sync(migrate, url)
        else:
            await anyio.to_thread.run_sync(require_current, url)
        db = await stack.enter_async_context(Database.open(url, max_size=settings.database_pool_size))
        twilio = await stack.enter_async_context(TwilioClient(settings.twilio_api_url))
        providers = Providers(
            settings.provider_options,
            clock=clock,
            data_dir=settings.data_dir,
            timeouts=Timeouts(total=settings.model_timeout_seconds),
        )
        stack.push_async_callback(providers.aclose)
        own = settings.twilio_auth_token
        fallback = Credentials(
            account_sid=settings.twilio_account_sid, auth_tokens=(own.get_secret_value(),) if own else ()
        )
        blobs = make_blobs(settings)
        sealer = Sealer(settings.sealing_key())
        allowed = frozenset(settings.allowed_hosts)
        web = await stack.enter_async_context(guarded_client(allow=allowed, timeout=20.0))
        opening = partial(open_index, index_config(allowed, settings.data_dir / "indexes"))
        elsewhere = Elsewhere(db, sealer, opening, providers.embedder)
        stack.push_async_callback(elsewhere.aclose)
        knowledge = KnowledgeBase(db, clock, providers.embedder, elsewhere)
        library = Library(knowledge, providers.embedder, settings.embedder)
        ahead = Ahead(library.search, follow_up, library.embedding_cost, clock)
        signing, mcp = tool_signing_key(settings).encode(), McpTools(web, clock)
        runs = {"http": HttpTools(web, clock, signing).call, "mcp": mcp.call, "python": PythonTools(clock).call}
        builtins: dict[str, Builtin] = {}
        toolbox = StoredToolbox(db, clock, sealer, runs, builtins)
        curated = CuratedAnswers(db, clock, providers.embedder, settings.embedder)
        yield Core(
            settings=settings,
            clock=clock,
            url=url,
            owner_url=url,
            db=db,
            integrations=Integrations(sealer, fallback),
            twilio=twilio,
            providers=providers,
            blobs=blobs,
            knowledge=knowledge,
            elsewhere=elsewhere,
            curated=curated,
            fetcher=WebFetcher(web, settings.web_page_bytes),
            workbench=Workbench(sealer, tool_limits(settings), runs, signing, mcp.offered, installed_tools, builtins),
            answer=answer or make_answerer(library, ahead.search, providers, blobs, clock, toolbox, curated),
            lookup=lookup(library.search, library.embedding_cost, clock),
            ahead=ahead,
            studio=studio or VendorStudio(providers, settings, Breakers(clock)),
            point=point,
        )


@dataclass(frozen=True, slots=True)
class VendorStudio:
    """Ears and voices of the installed vendors; where an assistant names none, those of the settings."""

    providers: Providers
    settings: Settings
    breakers: Breakers

    def ears(self, names: tuple[str, ...]) -> Stt:
        names = names or self.settings.stt_names
        if not names:
            raise Misconfigured(
                "No transcriber is configured, so calls by Media Streams cannot be heard.",
                hint="set DEEPGRAM_API_KEY or OPENAI_API_KEY, or HOOKFLASH_STT=pocketsphinx for development",
            )
        return SteadyStt([self.providers.stt(name) for name in names], self.breakers)

    def mouth(self, names: tuple[str, ...]) -> Tts:
        names = names or self.settings.tts_names
        if not names:
            raise Misconfigured(
                "No voice is configured, so calls by Media Streams cannot be answered.",
                hint="set ELEVENLABS_API_KEY, CARTESIA_API_KEY or OPENAI_API_KEY, or HOOKFLASH_TTS=espeak for development",
            )
        return SteadyTts([self.providers.tts(name) for name in names], self.breakers)


def make_scorer() -> GatedScorer:
    """Voice activity by silero, behind the gate of silence."""
    return GatedScorer(Silero(package_model()), gate=Gate())


def make_blobs(settings: Settings) -> Blobs:
    """Where attachments are kept."""
    if settings.media_bucket is None:
        return FileBlobs(settings.data_dir / "media")
    return BucketBlobs(
        settings.media_bucket,
        endpoint=settings.media_endpoint,
        region=settings.aws_region,
        access_key_id=settings.aws_access_key_id,
        secret_access_key=settings.aws_secret_access_key,
    )


def tool_signing_key(settings: Settings) -> str:
    """What each tool's signing secret follows from; it follows from the secret key."""
    key = settings.sealing_key().get_secret_value().encode()
    return hmac.new(key, b"the signature of requests to tools", hashlib.sha256).hexdigest()


def tool_limits(settings: Settings) -> ToolLimits:
    """How big tools may be, and how many an assistant may have."""
    return ToolLimits(
        settings.tool_name_chars,
        settings.tool_description_chars,
        settings.tool_properties,
        settings.tools_per_assistant,
    )


def make_answerer(
    library: Library,
    search: Search,
    providers: Providers,
    blobs: Blobs,
    clock: Clock,
    toolbox: Toolbox,
    curated: CuratedAnswers,
) -> Answerer:
    """The assistant over this knowledge and these vendors."""

    async def pictures(turn: Turn) -> tuple[Image, ...]:
        found = []
        for media in (m for message in turn.said for m in message.media):
            if media.key and media.content_type in IMAGES:
                try:
                    found.append(Image(media.content_type, await blobs.get(media.key)))
                except HookflashError:
                    continue
        return tuple(found)

    async def curated_answer(turn: Turn, question: str, language: str) -> CuratedMatch | None:
        return await curated.find(turn.account_id, question, assistant_id=turn.session.assistant_id, language=language)

    return answerer(
        Means(
            search=search,
            models=providers.model,
            breakers=Breakers(clock),
            cache=library,
            knowledge_version=library.version,
            detect=detect,
            follow_up=follow_up,
            clock=clock,
            recall=library.recall,
            pictures=pictures,
            embedding=library.embedding_cost,
            toolbox=toolbox,
            curated=curated_answer,
        )
    )


def make_transcriber(settings: Settings) -> Transcriber | None:
    """What puts voice notes into words, if anything does."""
    if settings.openai_api_key is None:
        return None
    if settings.openai_base_url is None:
        return OpenAITranscriber(settings.openai_api_key)
    return OpenAITranscriber(settings.openai_api_key, settings.openai_base_url)


def desk(core: Core, worker: Callable[[], int]) -> Desk:
    """Lanes in the name of one worker."""
    return Desk(core.db, core.clock, core.integrations, worker, core.point)


def lane_runner(core: Core, at: Desk) -> LaneRunner:
    """What walks a lane: the thinker and the deliverer on this desk. Raises Misconfigured without a public address."""
    if core.settings.public_url is None:
        raise Misconfigured(
            "HOOKFLASH_PUBLIC_URL is not set, so Twilio could not tell us how our messages fare.",
            hint="set it to the https address at which Twilio reaches this server",
        )
    media = MediaKeeper(core.twilio, core.blobs, at, make_transcriber(core.settings))
    thinker = Thinker(at, core.clock, core.answer, media.fetch, point=core.point)
    deliverer = Deliverer(at, TwilioPost(core.twilio, core.clock), core.clock, core.settings.public_url, core.point)
    return LaneRunner(at, thinker.think, deliverer.deliver, core.clock, burst)


def burst(unanswered: Unanswered) -> float:
    """How long to wait for more, in seconds, as the session's integration had it."""
    return float(unanswered.settings.get("burst_ms", 0)) / 1000
