"""The answerer: from what a person said to what they read, and everything that must be known about how it came to be."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from hookflash.assistant import cost
from hookflash.assistant.act import Acting
from hookflash.assistant.answer_cache import CachedAnswer, answer_key, normalised
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.checked import Aloud, Checker, gathered
from hookflash.assistant.compose import choices, citation, composed
from hookflash.assistant.confidence import Answer, Clarify, Unknown, asked_last, asked_lately, combine, decide
from hookflash.assistant.fallback import Chosen, NobodyAnswered, ask
from hookflash.assistant.guard import cleaned
from hookflash.assistant.masked import masked
from hookflash.assistant.means import Means
from hookflash.assistant.memory import Recalled
from hookflash.assistant.model import ChatModel, Image, ModelReply, ModelRequest
from hookflash.assistant.prompt import limit_chars, messages, prompt_hash, prompt_revision, system_prompt
from hookflash.assistant.resolve import rewrite
from hookflash.assistant.smalltalk import small_talk
from hookflash.assistant.templates import text as template
from hookflash.assistant.tool import Tool
from hookflash.assistant.verification import Asked
from hookflash.base.errors import Misconfigured, ModelFailed
from hookflash.conversation.segment import Segment
from hookflash.conversation.turn import Answerer, Ending, Say, Source, Turn, Usage
from hookflash.knowledge.passage import Found, NothingFound, Passage

MOST_PASSAGES = 5


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
        self.spoken = ""
        self.config = AssistantConfig.stored(turn.session.config)
        self.words = turn.words.strip()
        self.revision = prompt_revision(self.config)
        self.stages: dict[str, float] = {}
        self.degraded: list[str] = []
        self.usage = Usage()
        self.question = self.words
        self.language = "en"
        self.key: str | None = None
        self.prompt: str | None = None
        self.acting: Acting | None = None
        self.known = Recalled()
        self.final: Passage | None = None
        self.hidden = 0
        self.passages: tuple[Passage, ...] = ()
        self.aloud: Aloud | None = None
        self.grounding: float | None = None

    async def think(self) -> Ending:
        with self.stage("language"):
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
        with self.stage("resolve"):
            follows = await self.resolve(models, images)
        curated = await self.means.curated(self.turn, self.question, self.language) if self.question else None
        if curated is not None:
            return self.ending("answered", curated.answer, 1.0, f"curated ({curated.id})")
        with self.stage("memory"):
            self.known = await self.means.memory(self.turn, self.question)
            self.degraded += self.known.degraded
        with self.stage("cache"):
            self.key = await self.cache_key(images)
            cached = await self.cached() if self.config.cache and not self.known.bears else None
        if cached is not None:
            return self.repeat(cached)
        with self.stage("search"):
            passages, away = await self.find(follows, models)
            self.hidden = await self.means.hidden(self.turn)
        if self.final is not None:
            return self.word_for_word(self.final)
        if any(model.generative for model in models):
            tools = await self.means.toolbox.tools(self.turn)
            self.acting = await self.act(tools) if tools else None
        if away is not None and self.acting is None:
            return await self.outage(away)
        if not passages and self.acting is None and not (self.known.bears and any(m.generative for m in models)):
            return self.nothing()
        with self.stage("model"):
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
        self.prompt = prompt_hash(request.system)
        if self.acting is not None or self.known.bears:
            # One that only extracts can do nothing with tools or memory, and nothing without passages.
            models = [model for model in models if model.generative or passages]
        while True:
            outcome = await ask(models, request, self.means.breakers, stream)
            await self.hush(said=isinstance(outcome, Chosen))
            self.degraded += outcome.degraded
            if not isinstance(outcome, Chosen) or not outcome.reply.calls or self.acting is None:
                return outcome
            self.usage = cost.total(self.usage, outcome.reply.usage)
            with self.stage("tools"):
                done = await self.acting.do(outcome.reply, self.usage.model_micros)
            self.degraded += done.notes
            if done.asked is not None:
                return await self.ask_code(done.asked)
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

    async def act(self, tools: tuple[Tool, ...]) -> Acting:
        means = self.means
        verified = any(tool.policy.verified for tool in tools) and await means.proof.verified(self.turn)
        return Acting(self.turn, self.config, means.toolbox, tools, verified, means.proof, self.language)

    async def ask_code(self, asked: Asked) -> Ending:
        """What is wanted waits until the customer has told the code."""
        text = self.say("code_sent", end=asked.end)
        if self.streamed:
            await self.say_aloud(Segment(f" {text}"))
        return replace(self.ending("clarified", text, 1.0, "template"), awaits_code=True)

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
                models.append(
                    masked(self.means.models(name), self.config.safety.pii, self.turn.contact, self.means.finders)
                )
            except Misconfigured as error:
                self.degraded.append(f"{name}: {error}")
        return models

    async def look(self, models: Sequence[ChatModel]) -> tuple[Image, ...]:
        sent = any(media.content_type.startswith("image/") for m in self.turn.said for media in m.media)
        if not sent or not any(model.sees_images for model in models):
            return ()
        with self.stage("pictures"):
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

    async def find(self, follows: bool, models: Sequence[ChatModel]) -> tuple[tuple[Passage, ...], str | None]:
        """The passages, and why the search is away if it is. A follow-up also gets what its forerunner rested on."""
        found = await self.means.search(self.turn, self.question) if self.question else NothingFound("no question")
        self.usage = cost.total(self.usage, self.means.embedding(self.turn, self.question))
        if self.question:
            looked = await self.means.look_up(
                self.turn, self.question, self.chooser(models, found), self.language, found
            )
            found, self.final = looked.found, looked.final
            self.usage = cost.total(self.usage, looked.choice.usage)
            self.degraded += looked.degraded
        if found.degraded is not None:
            self.degraded.append(f"search: {found.degraded}")
        passages = found.passages if isinstance(found, Found) else ()
        if follows and self.turn.history[-1].passages:
            known = {passage.chunk_id for passage in passages}
            wanted = tuple(i for i in self.turn.history[-1].passages if i not in known)
            earlier = await self.means.recall(self.turn, wanted) if wanted else ()
            passages = (*passages, *earlier)[:MOST_PASSAGES]
        if self.config.safety.injection.clean:
            passages, notes = cleaned(passages)
            self.degraded += notes
        if not passages and isinstance(found, NothingFound):
            if found.degraded is not None:
                return (), f"search failed: {found.why}"
            self.degraded += ["search: empty knowledge"] if found.why == "empty knowledge" else []
        return passages, None

    def chooser(self, models: Sequence[ChatModel], found: Found | NothingFound) -> ChatModel | None:
        """Who may be asked which entries a question is for. On the telephone nobody waits for it if something was found."""
        threshold = self.config.confidence_threshold
        if self.turn.line.spoken and isinstance(found, Found) and found.passages[0].score >= threshold:
            return None
        now = self.means.clock.monotonic()
        able = (m for m in models if m.generative and self.means.breakers.of(m.name).state(now) == "closed")
        return next(able, None)

    async def speak(self, piece: str, *, last: bool = False) -> None:
        self.aloud = self.aloud or Aloud(self.checker())
        words = self.aloud.push(piece, last=last)
        if words:
            self.streamed = True
            await self.say_aloud(Segment(words))

    async def hush(self, *, said: bool) -> None:
        """A model has come to its end: the rest of its words is said, unless it failed in the middle of them."""
        if self.aloud is not None:
            if said:
                await self.speak("", last=True)
            self.degraded += self.aloud.notes
            self.spoken, self.aloud = self.aloud.said.strip(), None

    def checker(self) -> Checker:
        """What this answer may rest on, as far as is known by now."""
        acted = self.acting.used if self.acting is not None else ()
        evidence = gathered(
            self.turn,
            self.config,
            self.passages,
            acted,
            self.known.lines,
            self.question,
            self.language,
            self.means.detect,
        )
        return Checker(self.config.safety, evidence, self.means.moderators)

    def request(self, passages: tuple[Passage, ...], images: tuple[Image, ...]) -> ModelRequest:
        config, self.passages = self.config, passages
        limit = limit_chars(config, self.language, self.turn.line)
        return ModelRequest(
            system=system_prompt(
                config,
                passages,
                self.language,
                self.turn.line,
                tools=self.acting is not None,
                hidden=self.hidden,
                about=self.known.lines,
            ),
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
        if generative and not self.streamed:
            checked = await self.checker().check(reply.answer)
            self.degraded += checked.notes
            self.grounding, reply = checked.score, replace(reply, answer=checked.text)
        elif reply.answer:
            self.grounding = self.checker().score(reply.answer)
        if self.acting is not None and self.acting.answered:
            # A tool's result is as good as any passage.
            confidence = reply.confidence
        elif self.known.bears and generative and not reply.sources:
            # What is known of the customer has no number to name.
            confidence = reply.confidence
        else:
            best = passages[0].score if passages else 0.0
            borne_out = None if self.config.safety.grounding.outcome == "record" else self.grounding
            confidence = combine(best, reply, generative=generative, grounding=borne_out)
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
            return self.ending("answered", self.spoken, confidence, reply.model, sources)
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

    def word_for_word(self, passage: Passage) -> Ending:
        """The best passage of an entry that is the answer itself."""
        limit = limit_chars(self.config, self.language, self.turn.line)
        named = citation((_source(passage, cited=True),), self.say("source")) if self.config.citations else ""
        text = composed(passage.text, limit, citation=named, required=self.config.required)
        return self.ending("answered", text, passage.score, "entry", (_source(passage, cited=True),))

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
        return replace(ending, hand_off=ending.hand_off or (why if self.config.hand_off else None))

    async def outage(self, why: str) -> Ending:
        """Nobody can think now: what was answered to the same question on the same knowledge, else a kind word."""
        cached = await self.cached()
        if cached is not None:
            self.degraded.append(f"{why}: an earlier answer to the same question was given")
            return self.repeat(cached)
        self.degraded.append(f"{why}: a fixed text was given")
        key = "failed_handed_over" if self.config.hand_off else "failed"
        ending = self.ending("failed", self.say(key), 0.0, "template")
        return replace(ending, hand_off=ending.hand_off or (why if self.config.hand_off else None))

    def repeat(self, cached: CachedAnswer) -> Ending:
        return self.ending("answered", cached.text, cached.confidence, f"cache ({cached.model})", cached.sources)

    async def keep(self, ending: Ending) -> None:
        """Keep an answer that anybody may get: thought at full strength, and without a conversation behind it."""
        if self.key is None or self.degraded or self.turn.history or self.known.lines:
            return
        await self.means.cache.put(
            self.turn.account_id, self.key, CachedAnswer(ending.text, ending.confidence, ending.sources, ending.model)
        )

    def say(self, key: str, **values: str) -> str:
        return template(key, self.language, company=self.config.company, overrides=self.config.templates, **values)

    def ending(self, kind: str, text: str, confidence: float, model: str, sources: tuple[Source, ...] = ()) -> Ending:
        hidden = (f"knowledge: {self.hidden} sources not for this customer",) if self.hidden else ()
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
            degraded=(*self.degraded, *hidden),
            tools=tuple(self.acting.used) if self.acting is not None else (),
            hand_off=self.acting.hand_off if self.acting is not None else None,
            prompt=self.prompt,
            grounding=self.grounding,
            known=self.known.lines if self.prompt else (),
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = self.means.clock.monotonic()
        try:
            yield
        finally:
            self.stages[name] = round((self.means.clock.monotonic() - started) * 1000, 3)


def _sources(passages: Sequence[Passage], reply: ModelReply) -> tuple[Source, ...]:
    return tuple(_source(p, cited=number in reply.sources) for number, p in enumerate(passages, start=1))


def _source(p: Passage, *, cited: bool) -> Source:
    return Source(p.chunk_id, p.document_id, p.title, p.score, p.dense, p.keyword, cited, p.url)
