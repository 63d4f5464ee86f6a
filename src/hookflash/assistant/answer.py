"""The answerer: from what a person said to what they read, and everything that must be known about how it came to be."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from hookflash.assistant import cost
from hookflash.assistant.act import Acting
from hookflash.assistant.answer_cache import AnswerCache, CachedAnswer, answer_key, normalised
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.compose import choices, citation, composed
from hookflash.assistant.confidence import Answer, Clarify, Unknown, asked_last, asked_lately, combine, decide
from hookflash.assistant.fallback import Chosen, NobodyAnswered, ask
from hookflash.assistant.model import ChatModel, Image, ModelReply, ModelRequest
from hookflash.assistant.prompt import limit_chars, messages, prompt_revision, system_prompt
from hookflash.assistant.resolve import rewrite
from hookflash.assistant.smalltalk import small_talk
from hookflash.assistant.templates import text as template
from hookflash.assistant.tool import NoTools, Toolbox
from hookflash.base.breaker import Breakers
from hookflash.base.clock import Clock
from hookflash.base.errors import Misconfigured, ModelFailed
from hookflash.conversation.segment import Segment
from hookflash.conversation.turn import Answerer, Ending, Exchange, Say, Source, Turn, Usage
from hookflash.knowledge.curated import CuratedMatch
from hookflash.knowledge.passage import Found, NothingFound, Passage

Search = Callable[[Turn, str], Awaitable[Found | NothingFound]]
Recall = Callable[[Turn, tuple[int, ...]], Awaitable[tuple[Passage, ...]]]
Pictures = Callable[[Turn], Awaitable[tuple[Image, ...]]]
Curated = Callable[[Turn, str, str], Awaitable[CuratedMatch | None]]
KnowledgeVersion = Callable[[Turn], Awaitable[str]]
Detect = Callable[[str, str | None], str]
FollowUp = Callable[[str, tuple[Exchange, ...]], str]
EmbeddingCost = Callable[[Turn, str], Usage]

MOST_PASSAGES = 5


async def _no_recall(_: Turn, __: tuple[int, ...]) -> tuple[Passage, ...]:
    return ()


async def _no_pictures(_: Turn) -> tuple[Image, ...]:
    return ()


async def _nothing_curated(_: Turn, __: str, ___: str) -> CuratedMatch | None:
    return None


def _free(_: Turn, __: str) -> Usage:
    return Usage()


@dataclass(frozen=True, slots=True)
class Means:
    """What an answerer works with.

    `models` gives a model by name or raises Misconfigured. `knowledge_version` changes with any change of what the
    turn's assistant may rely on. `follow_up` makes a follow-up into a question without a model. `recall` fetches passages
    of earlier turns by chunk id. `pictures` loads those that the person sent. `embedding` is what the search for a
    question consumes. `toolbox` has the tools of the turn's assistant.
    `curated` finds the exact answer that the company has written to a question.
    """

    search: Search
    models: Callable[[str], ChatModel]
    breakers: Breakers
    cache: AnswerCache
    knowledge_version: KnowledgeVersion
    detect: Detect
    follow_up: FollowUp
    clock: Clock
    recall: Recall = _no_recall
    pictures: Pictures = _no_pictures
    embedding: EmbeddingCost = _free
    toolbox: Toolbox = field(default_factory=NoTools)
    curated: Curated = _nothing_curated


def answerer(means: Means) -> Answerer:
    """An Answerer over these means.

    A text is said whole, as one last segment, when it is certain. On a spoken line the words of a generative model are
    said as they come, when the passages bear on the question well enough: nobody waits on the telephone for certainty.
    """

    async def answer(turn: Turn, say: Say) -> Ending:
        thought = _Thought(means, turn, say)
        ending = await thought.think()
        await say(Segment("" if thought.streamed else ending.text, last=True))
        return ending

    return answer


class _Thought:
    """The thinking of one turn; each step writes down what it took and what went wrong."""

    def __init__(self, means: Means, turn: Turn, say: Say) -> None:
        self.means = means
        self.turn = turn
        self.say_aloud = say
        self.streamed = False
        self.config = AssistantConfig.stored(turn.session.config)
        self.words = turn.words.strip()
        self.revision = prompt_revision(self.config)
        self.stages: dict[str, float] = {}
        self.degraded: list[str] = []
        self.usage = Usage()
        self.question = self.words
        self.language = "en"
        self.key: str | None = None
        self.acting: Acting | None = None

    async def think(self) -> Ending:
        async with self.stage("language"):
            self.language = self.choose_language()
        kind = (
            None
            if any(m.media for m in self.turn.said)
            else small_talk(self.words, asked_back=asked_last(self.turn.history))
        )
        if kind is not None:
            return self.ending("clarified" if kind == "clarify" else "answered", self.say(kind), 1.0, "template")
        models = self.chain()
        images = await self.look(models)
        if not self.words and not images:
            return self.ending("clarified", self.say("attachment"), 1.0, "template")
        async with self.stage("resolve"):
            follows = await self.resolve(models, images)
        curated = await self.means.curated(self.turn, self.question, self.language) if self.question else None
        if curated is not None:
            return self.ending("answered", curated.answer, 1.0, f"curated ({curated.id})")
        async with self.stage("cache"):
            self.key = await self.cache_key(images)
            cached = await self.cached() if self.config.cache else None
        if cached is not None:
            return self.repeat(cached)
        async with self.stage("search"):
            passages, away = await self.find(follows)
        if any(model.generative for model in models):
            tools = await self.means.toolbox.tools(self.turn)
            self.acting = Acting(self.turn, self.config, self.means.toolbox, tools) if tools else None
        if away is not None and self.acting is None:
            return await self.outage(away)
        if not passages and self.acting is None:
            return self.nothing()
        async with self.stage("model"):
            outcome = await self.ask(models, passages, images)
        if isinstance(outcome, Ending):
            return outcome
        if not isinstance(outcome, Chosen):
            return await self.outage("no model answered")
        return await self.conclude(outcome, passages)

    async def ask(
        self, models: Sequence[ChatModel], passages: tuple[Passage, ...], images: tuple[Image, ...]
    ) -> Chosen | NobodyAnswered | Ending:
        """The model's answer, after it has used what tools it wants; or what a tool says to the customer itself."""
        sure = bool(passages) and passages[0].score >= self.config.confidence_threshold
        aloud = self.turn.line.spoken and (sure or self.acting is not None)
        stream = self.speak if aloud and models and models[0].generative else None
        request = self.request(passages, images)
        if self.acting is not None:
            # One that only extracts can do nothing with tools, and nothing without passages.
            models = [model for model in models if model.generative or passages]
        while True:
            outcome = await ask(models, request, self.means.breakers, stream)
            self.degraded += outcome.degraded
            if not isinstance(outcome, Chosen) or not outcome.reply.calls or self.acting is None:
                return outcome
            self.usage = cost.total(self.usage, outcome.reply.usage)
            async with self.stage("tools"):
                done = await self.acting.do(outcome.reply, self.usage.model_micros)
            if done.final is not None:
                limit = limit_chars(self.config, self.language, self.turn.line)
                return self.ending("answered", composed(done.final, limit), 1.0, f"tool ({outcome.model.name})")
            if self.acting.stopped is not None and not request.tools:
                # It was told that there are no tools any more, and wants one all the same.
                self.degraded.append(f"{outcome.model.name}: it did not stop using tools")
                return NobodyAnswered(())
            if self.acting.stopped is not None:
                self.degraded.append(f"tools: {self.acting.stopped}")
            request = replace(request, messages=(*request.messages, *done.messages), tools=self.acting.specs)

    def choose_language(self) -> str:
        said = [m.language for m in self.turn.said if m.language]
        previous = self.turn.contact.language or (said[-1] if said else None)
        allowed = self.config.languages
        found = self.means.detect(self.words, previous) if self.words else previous or (allowed[0] if allowed else "en")
        if not allowed or found in allowed or found.partition("-")[0] in allowed:
            return found
        return allowed[0]

    def chain(self) -> list[ChatModel]:
        """The models that can be had; the others are a recorded loss, not the end."""
        models = []
        for name in self.config.models:
            try:
                models.append(self.means.models(name))
            except Misconfigured as error:
                self.degraded.append(f"{name}: {error}")
        return models

    async def look(self, models: Sequence[ChatModel]) -> tuple[Image, ...]:
        sent = any(media.content_type.startswith("image/") for m in self.turn.said for media in m.media)
        if not sent or not any(model.sees_images for model in models):
            return ()
        async with self.stage("pictures"):
            return await self.means.pictures(self.turn)

    async def resolve(self, models: Sequence[ChatModel], images: tuple[Image, ...]) -> bool:
        """Find the question that is meant; True when it follows something said before."""
        resolved = self.means.follow_up(self.words, self.turn.history) if self.words else ""
        follows = resolved != self.words
        if not follows and self.words:
            return False
        self.question = resolved
        now = self.means.clock.monotonic()
        able = [m for m in models if m.generative and (m.sees_images or self.words)]
        able = [m for m in able if self.means.breakers.of(m.name).state(now) == "closed"]
        if able:
            try:
                reply = await rewrite(able[0], self.words, self.turn.history, self.language, images)
            except ModelFailed as error:
                self.means.breakers.of(able[0].name).failed(self.means.clock.monotonic())
                self.degraded.append(f"{able[0].name}: {error} (rewriting)")
            else:
                if reply is not None:
                    self.usage = cost.total(self.usage, reply.usage)
                    self.question = reply.answer
        return follows

    async def cache_key(self, images: tuple[Image, ...]) -> str | None:
        if images or self.config.tools:
            return None
        return answer_key(
            self.question,
            assistant_id=self.turn.session.assistant_id,
            knowledge_version=await self.means.knowledge_version(self.turn),
            prompt_revision=self.revision,
            language=self.language,
            max_chars=limit_chars(self.config, self.language, self.turn.line),
        )

    async def cached(self) -> CachedAnswer | None:
        return None if self.key is None else await self.means.cache.get(self.turn.account_id, self.key)

    async def find(self, follows: bool) -> tuple[tuple[Passage, ...], str | None]:
        """The passages, and why the search is away if it is. A follow-up also gets what its forerunner rested on."""
        found = await self.means.search(self.turn, self.question) if self.question else NothingFound("no question")
        self.usage = cost.total(self.usage, self.means.embedding(self.turn, self.question))
        if found.degraded is not None:
            self.degraded.append(f"search: {found.degraded}")
        passages = found.passages if isinstance(found, Found) else ()
        if follows and self.turn.history[-1].passages:
            known = {passage.chunk_id for passage in passages}
            wanted = tuple(i for i in self.turn.history[-1].passages if i not in known)
            earlier = await self.means.recall(self.turn, wanted) if wanted else ()
            passages = (*passages, *earlier)[:MOST_PASSAGES]
        if not passages and isinstance(found, NothingFound):
            if found.degraded is not None:
                return (), f"search failed: {found.why}"
            self.degraded += ["search: empty knowledge"] if found.why == "empty knowledge" else []
        return passages, None

    async def speak(self, piece: str) -> None:
        self.streamed = True
        await self.say_aloud(Segment(piece))

    def request(self, passages: tuple[Passage, ...], images: tuple[Image, ...]) -> ModelRequest:
        config = self.config
        limit = limit_chars(config, self.language, self.turn.line)
        return ModelRequest(
            system=system_prompt(config, passages, self.language, self.turn.line, tools=self.acting is not None),
            messages=messages(self.words, self.turn.history, config.history_tokens, images),
            question=self.question,
            passages=passages,
            language=self.language,
            temperature=config.temperature,
            max_tokens=config.max_tokens,
            max_chars=limit - (len(config.required) + 1 if config.required else 0),
            tools=self.acting.specs if self.acting is not None else (),
        )

    async def conclude(self, chosen: Chosen, passages: tuple[Passage, ...]) -> Ending:
        """Say it, ask back, or admit that we do not know."""
        reply, generative = chosen.reply, chosen.model.generative
        self.usage = cost.total(self.usage, reply.usage)
        if self.acting is not None and self.acting.answered:
            # A tool's result is as good as any passage.
            confidence = reply.confidence
        else:
            confidence = combine(passages[0].score if passages else 0.0, reply, generative=generative)
        decision = decide(
            reply,
            confidence,
            self.config.confidence_threshold,
            may_clarify=self.config.clarify,
            history=self.turn.history,
        )
        sources = _sources(passages, reply)
        if self.streamed:
            # It has been said; what is left is to remember how sure we were.
            return self.ending("answered", reply.answer, confidence, reply.model, sources)
        limit = limit_chars(self.config, self.language, self.turn.line)
        match decision:
            case Answer():
                named = citation(sources, self.say("source")) if self.config.citations else ""
                text = composed(reply.answer, limit, citation=named, required=self.config.required)
                ending = self.ending("answered", text, confidence, reply.model, sources)
                await self.keep(ending)
                return ending
            case Clarify():
                text = composed(reply.answer, limit) if reply.clarifying else self.ask_back(passages)
                return self.ending("clarified", text, confidence, reply.model, sources)
            case Unknown():
                return self.unknown("the documents do not say", confidence, reply.model, sources)

    def ask_back(self, passages: Sequence[Passage]) -> str:
        two = choices(passages)
        return self.say("clarify") if two is None else self.say("which", first=two[0], second=two[1])

    def nothing(self) -> Ending:
        """No passage bears on it. A word or two may just be too little to go by."""
        if len(normalised(self.words).split()) <= 2 and self.config.clarify and not asked_lately(self.turn.history):
            return self.ending("clarified", self.say("clarify"), 0.0, "template")
        return self.unknown("the documents do not say", 0.0, "template", ())

    def unknown(self, why: str, confidence: float, model: str, sources: tuple[Source, ...]) -> Ending:
        key = "unknown_handed_over" if self.config.hand_off else "unknown"
        sources = tuple(replace(source, cited=False) for source in sources)
        ending = self.ending("unknown", self.say(key), confidence, model, sources)
        return replace(ending, hand_off=why if self.config.hand_off else None)

    async def outage(self, why: str) -> Ending:
        """Nobody can think now: what was answered to the same question on the same knowledge, else a kind word."""
        cached = await self.cached()
        if cached is not None:
            self.degraded.append(f"{why}: an earlier answer to the same question was given")
            return self.repeat(cached)
        self.degraded.append(f"{why}: a fixed text was given")
        key = "failed_handed_over" if self.config.hand_off else "failed"
        ending = self.ending("failed", self.say(key), 0.0, "template")
        return replace(ending, hand_off=why if self.config.hand_off else None)

    def repeat(self, cached: CachedAnswer) -> Ending:
        return self.ending("answered", cached.text, cached.confidence, f"cache ({cached.model})", cached.sources)

    async def keep(self, ending: Ending) -> None:
        """Keep an answer that anybody may get: thought at full strength, and without a conversation behind it."""
        if self.key is None or self.degraded or self.turn.history:
            return
        await self.means.cache.put(
            self.turn.account_id, self.key, CachedAnswer(ending.text, ending.confidence, ending.sources, ending.model)
        )

    def say(self, key: str, **values: str) -> str:
        return template(key, self.language, company=self.config.company, overrides=self.config.templates, **values)

    def ending(self, kind: str, text: str, confidence: float, model: str, sources: tuple[Source, ...] = ()) -> Ending:
        return Ending(
            kind=kind,
            text=text,
            question=self.question,
            confidence=confidence,
            sources=sources,
            model=model,
            prompt_revision=self.revision,
            language=self.language,
            usage=self.usage,
            stages=self.stages,
            degraded=tuple(self.degraded),
            tools=tuple(self.acting.used) if self.acting is not None else (),
        )

    @asynccontextmanager
    async def stage(self, name: str) -> AsyncIterator[None]:
        started = self.means.clock.monotonic()
        try:
            yield
        finally:
            self.stages[name] = round((self.means.clock.monotonic() - started) * 1000, 3)


def _sources(passages: Sequence[Passage], reply: ModelReply) -> tuple[Source, ...]:
    return tuple(
        Source(p.chunk_id, p.document_id, p.title, p.score, p.dense, p.keyword, number in reply.sources, p.url)
        for number, p in enumerate(passages, start=1)
    )
