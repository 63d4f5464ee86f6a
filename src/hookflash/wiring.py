"""Knows everything and decides nothing: constructs the parts from the settings and hands each what it needs."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import anyio.to_thread

from hookflash.assistant.ahead import Ahead, Search
from hookflash.assistant.answer import answerer
from hookflash.assistant.builtin import Builtin
from hookflash.assistant.builtin import own as own_tools
from hookflash.assistant.followup import resolve as follow_up
from hookflash.assistant.guard import Guard
from hookflash.assistant.library import Library
from hookflash.assistant.means import Means
from hookflash.assistant.memory import Remembers
from hookflash.assistant.memory_jobs import Rememberer
from hookflash.assistant.model import Image
from hookflash.assistant.profile_source import Profiles
from hookflash.assistant.prove import proving
from hookflash.assistant.realtime import lookup
from hookflash.assistant.recall_store import StoredMemory
from hookflash.assistant.tool import Limits as ToolLimits
from hookflash.assistant.tool import Toolbox
from hookflash.assistant.tool_routes import Workbench
from hookflash.assistant.toolbox_store import StoredToolbox
from hookflash.assistant.verification import Proof
from hookflash.base.breaker import Breakers
from hookflash.base.clock import Clock, SystemClock
from hookflash.base.errors import HookflashError, Misconfigured
from hookflash.base.secret import Sealer, Secret
from hookflash.channels.accept import Acceptor
from hookflash.channels.backfill import Backfill
from hookflash.channels.codes import CodePost, OwnCodes, VerifyCodes
from hookflash.channels.deliver import Deliverer
from hookflash.channels.errands_jobs import Errands
from hookflash.channels.inline import Inline
from hookflash.channels.integration import Credentials
from hookflash.channels.jobs import Desk
from hookflash.channels.media import IMAGES, Blobs, MediaKeeper, Transcriber
from hookflash.channels.outbound import Outbound
from hookflash.channels.proof_jobs import CodeTexts, ProofDesk
from hookflash.channels.realtime_routes import Dialogues
from hookflash.channels.redial_jobs import Redial
from hookflash.channels.routes import Webhooks
from hookflash.channels.store import Integrations
from hookflash.channels.stream_routes import Sound, Studio
from hookflash.channels.text import TwilioPost
from hookflash.channels.think import Thinker
from hookflash.channels.voice_jobs import Switchboard
from hookflash.compat.answer_jobs import Counter, Poster, Waiting
from hookflash.compat.message_routes import Counterpart, webhook_secret
from hookflash.compliance.permit import by_day_only
from hookflash.conversation.lane import LaneRunner, Unanswered
from hookflash.conversation.turn import Answerer, Turn
from hookflash.db.embedded import EmbeddedPostgres
from hookflash.db.migrate import migrate, require_current
from hookflash.db.pool import Database
from hookflash.insight.rating_store import Ratings
from hookflash.knowledge.chunk_vectors import ChunkVectors
from hookflash.knowledge.copy_jobs import Copier
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
from hookflash.knowledge.rerank import Reranking
from hookflash.providers import smart_turn
from hookflash.providers.files import FileBlobs
from hookflash.providers.guarded import guarded_client
from hookflash.providers.http_tool import HttpTools
from hookflash.providers.indexes import index_config, open_index
from hookflash.providers.mcp_tool import McpTools
from hookflash.providers.openai_speech import OpenAITranscriber
from hookflash.providers.python_tool import PythonTools, installed_tools
from hookflash.providers.registry import Providers, Timeouts
from hookflash.providers.s3 import BucketBlobs
from hookflash.providers.segment import SegmentProfiles
from hookflash.providers.silero import Silero, package_model
from hookflash.providers.smart_turn import SmartTurn
from hookflash.providers.studio import VendorStudio
from hookflash.providers.vectors import VectorsConfig, open_vectors
from hookflash.providers.web_fetch import WebFetcher
from hookflash.providers.webhook_post import WebhookPost
from hookflash.settings import Settings
from hookflash.speech.gate import Gate
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
    outside: ChunkVectors | None
    curated: CuratedAnswers
    fetcher: Fetcher
    workbench: Workbench
    answer: Answerer
    lookup: Answerer
    toolbox: Toolbox
    memory: StoredMemory
    proof: Proof
    ratings: Ratings
    errands: Errands
    guard: Guard
    ahead: Ahead
    studio: Studio
    webhook_post: WebhookPost
    point: Point = field(default=_nowhere)

    def backfill(self) -> Backfill:
        return Backfill(self.twilio, self.clock, self._desk(), Acceptor(self._desk(), self.clock).accept)

    def indexer(self) -> Indexer:
        limits = Limits(file_bytes=self.settings.max_upload_bytes)
        copied = self.outside is not None
        return Indexer(self.db, self.clock, self.providers.embedder, limits, self.owner_url, copied)

    def copier(self) -> Copier:
        return Copier(self.db, self.outside)

    def crawler(self) -> Crawler:
        return Crawler(self.db, self.clock, self.fetcher, self.settings.web_delay_seconds)

    def question_embedder(self) -> QuestionEmbedder:
        return QuestionEmbedder(self.db, self.providers.embedder, self.settings.embedder)

    def rememberer(self) -> Rememberer:
        return Rememberer(
            self.db,
            self.clock,
            self.providers.model,
            Breakers(self.clock),
            self.providers.embedder,
            self.settings.embedder,
            self.memory.profiles,
        )

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
        return Sound(make_scorer, self.studio, self.clock, lambda: SmartTurn(smart_turn.package_model()))

    def dialogues(self) -> Dialogues:
        verified, memory = self.proof.verified, self.memory.opening
        return Dialogues(
            self.providers.sts, self.settings.realtime, self.lookup, self.toolbox, verified, memory, self.clock
        )

    def switchboard(self) -> Switchboard:
        return Switchboard(self.db, self.clock, self.answer, self.guard.gates, look_ahead=self.ahead.look)

    def outbound(self) -> Outbound:
        return Outbound(self.twilio, self.clock, self.switchboard(), by_day_only, self.settings.public_url)

    def redial(self) -> Redial:
        return Redial(self.db, self.clock, self.integrations, self.outbound())

    def poster(self) -> Poster:
        return Poster(self.db, self.clock, self.webhook_post, self._webhook_secret)

    def counterpart(self) -> Counterpart:
        waiting = Waiting(self.db, self.clock)
        return Counterpart(self.integrations, waiting, self._webhook_secret, self.settings.compat_messages_per_day)

    def _webhook_secret(self, account_id: str) -> Secret:
        return webhook_secret(self.workbench.signing, account_id)

    def _desk(self) -> Desk:
        return desk(self, lambda: 0)


@asynccontextmanager
async def database_url(settings: Settings, clock: Clock | None = None) -> AsyncIterator[str]:
    """The database to use: the one that is set, or our own, started for as long as it is needed.

    With `clock` our own is also started again when it ends meanwhile.
    """
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
    else:
        postgres = EmbeddedPostgres(settings.data_dir / "postgres")
        async with postgres.lasting(clock) if clock else postgres as url:
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
        url = await stack.enter_async_context(database_url(settings, clock))
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
        outside = await make_outside(settings)
        if outside is not None:
            stack.push_async_callback(outside.aclose)
        reranking = make_reranking(settings, providers)
        knowledge = KnowledgeBase(db, clock, providers.embedder, elsewhere, outside=outside, reranking=reranking)
        integrations = Integrations(sealer, fallback)
        proof = make_proof(settings, db, clock, integrations, twilio)
        library = Library(knowledge, providers.embedder, settings.embedder, proof.verified)
        ahead = Ahead(library.search, follow_up, library.embedding_cost, clock)
        signing, mcp = tool_signing_key(settings).encode(), McpTools(web, clock)
        runs = {"http": HttpTools(web, clock, signing).call, "mcp": mcp.call, "python": PythonTools(clock).call}
        ratings = Ratings(db, clock)
        errands = Errands(db, clock, integrations, by_day_only)
        builtins: dict[str, Builtin] = {tool.name: tool for tool in (ratings.builtin(),)}
        builtins |= own_tools() | errands.builtins()
        toolbox = StoredToolbox(db, clock, sealer, runs, builtins)
        curated = CuratedAnswers(db, clock, providers.embedder, settings.embedder)
        profiles = make_profiles(settings, clock, stack)
        memory = StoredMemory(db, clock, providers.embedder, settings.embedder, profiles)
        yield Core(
            settings=settings,
            clock=clock,
            url=url,
            owner_url=url,
            db=db,
            integrations=integrations,
            twilio=twilio,
            providers=providers,
            blobs=blobs,
            knowledge=knowledge,
            elsewhere=elsewhere,
            outside=outside,
            curated=curated,
            fetcher=WebFetcher(web, settings.web_page_bytes),
            workbench=Workbench(sealer, tool_limits(settings), runs, signing, mcp.offered, installed_tools, builtins),
            answer=answer
            or make_answerer(library, ahead.search, providers, blobs, clock, toolbox, curated, memory.recall, proof),
            lookup=lookup(library.search, library.embedding_cost, clock),
            toolbox=toolbox,
            memory=memory,
            proof=proof,
            ratings=ratings,
            errands=errands,
            guard=Guard(providers.moderator, lambda texts: providers.embedder(settings.embedder).embed(texts), detect),
            ahead=ahead,
            studio=studio or VendorStudio(providers, settings.stt_names, settings.tts_names, Breakers(clock)),
            webhook_post=WebhookPost(web),
            point=point,
        )


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


def make_profiles(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Profiles | None:
    """Customers' profiles that lie elsewhere, if any do; closed with the stack."""
    if settings.segment_space is None and settings.segment_write_key is None:
        return None
    segment = SegmentProfiles(
        space=settings.segment_space,
        profile_token=settings.segment_profile_token,
        write_key=settings.segment_write_key,
        profiles_url=settings.segment_profiles_url,
        tracking_url=settings.segment_tracking_url,
    )
    stack.push_async_callback(segment.aclose)
    return Profiles(segment, clock, Breakers(clock), frozenset(settings.segment_accounts))


async def make_outside(settings: Settings) -> ChunkVectors | None:
    """Where the vectors of big sources are copied to, if anywhere. Raises Misconfigured."""
    if settings.vector_index_url is None:
        return None
    config = VectorsConfig(settings.vector_index_url, settings.vector_index_token, settings.vector_index_region)
    # It loads the vendor's package, which takes seconds.
    return await anyio.to_thread.run_sync(open_vectors, config)


def make_reranking(settings: Settings, providers: Providers) -> Reranking | None:
    """What orders the passages that are found, if anything does. Raises Misconfigured."""
    if settings.reranker is None:
        return None
    return Reranking(providers.reranker(settings.reranker), settings.rerank_seconds)


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
    memory: Remembers,
    proof: Proof,
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
        if not await library.curated(turn):
            return None
        find = partial(
            curated.find,
            turn.account_id,
            assistant_id=turn.session.assistant_id,
            language=language,
            # A question that nobody has sent is only a try.
            count=bool(turn.integration_id),
        )
        found = await find(question)
        if found is None and turn.words.strip() != question:
            # What looks like a follow-up may be a question of its own that the company has answered, word for word.
            found = await find(turn.words, exact=True)
        return found

    thinking = answerer(
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
            memory=memory,
            look_up=library.look_up,
            proof=proof,
            hidden=library.hidden,
            moderators=providers.moderator,
            finders=providers.finder,
        )
    )
    return proving(thinking, proof)


def make_proof(
    settings: Settings, db: Database, clock: Clock, integrations: Integrations, twilio: TwilioClient
) -> ProofDesk:
    """Who has proven to hold their phone: by Twilio Verify where a service is set, else by texts of ours."""
    key = code_key(settings)
    texts = CodeTexts(db, clock, integrations)
    service = settings.twilio_verify_service_sid
    codes = VerifyCodes(twilio, service, texts.keep) if service else OwnCodes(key, texts.write)
    return ProofDesk(db, clock, integrations, codes, key)


def code_key(settings: Settings) -> bytes:
    """What codes follow from, and by what those that were given are known again."""
    return hmac.new(settings.sealing_key().get_secret_value().encode(), b"codes that verify", hashlib.sha256).digest()


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
    gates = (("rating", core.ratings.gate), *core.guard.gates)
    thinker = Thinker(at, core.clock, core.answer, media.fetch, gates, point=core.point)
    post = CodePost(TwilioPost(core.twilio, core.clock), code_key(core.settings))
    deliverer = Deliverer(at, post, core.clock, core.settings.public_url, core.point)
    counter = Counter(core.db, core.clock, deliverer.deliver)
    return LaneRunner(at, thinker.think, counter.deliver, core.clock, burst)


def burst(unanswered: Unanswered) -> float:
    """How long to wait for more, in seconds, as the session's integration had it."""
    return float(unanswered.settings.get("burst_ms", 0)) / 1000
