"""`hookflash doctor`: each link between Twilio and the answer, proven in its order."""

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import Annotated

import anyio
import anyio.to_thread
import typer
from rich.table import Table
from rich.text import Text

from hookflash.assistant import store as assistants
from hookflash.assistant.code_words import LENGTH
from hookflash.assistant.model import ChatMessage, ModelRequest, nowhere
from hookflash.assistant.voice import VoiceConfig
from hookflash.base.errors import HookflashError, Misconfigured
from hookflash.channels.check import (
    Finding,
    State,
    check_account,
    check_calls,
    check_place,
    check_public,
    check_signature,
    fail,
    failed,
    ok,
    warn,
)
from hookflash.channels.integration import Integration
from hookflash.channels.setup import addresses, find_place, number_of_calls, point_at_us, point_calls_at_us
from hookflash.channels.text import account_of
from hookflash.cli import screen
from hookflash.cli.knock import Knock
from hookflash.cli.opening import read_settings, run, with_running
from hookflash.db.migrate import Ahead, Behind, Current
from hookflash.db.migrate import state as schema_state
from hookflash.db.pool import Database
from hookflash.knowledge.passage import Passage
from hookflash.settings import Settings
from hookflash.speech.sts import Opening, StsEvent
from hookflash.speech.stt import Transcript
from hookflash.twilio.account import Account
from hookflash.wiring import Core, database_url, open_core
from hookflash.workspace import store as workspace

app = typer.Typer(add_completion=False)

_MODEL_SECONDS = 30.0
_SPEECH_SECONDS = 10.0
_MARKS = {State.OK: ("✓", "good"), State.WARN: ("!", "doubtful"), State.FAIL: ("✗", "bad")}


@app.command(epilog="Example: hookflash doctor --fix")
def doctor(
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Set at Twilio what can be set: webhooks of texts and calls, fallbacks, status."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Prove each link between Twilio and the answer, and say how to mend a broken one.

    Run it beside the running server, with the same settings. It asks the model one small question, which may cost a
    fraction of a cent, and sends no text. Ends with 1 when a link is broken.
    """
    try:
        settings = with_running(read_settings())
    except Misconfigured as error:
        found = [failed("settings", error, "hookflash init writes a file with every setting explained")]
        if not as_json:
            _show(found[0])
    else:
        found = run(_examine, settings, fix, not as_json)
    if as_json:
        screen.as_json([{"link": f.link, "state": f.state.value, "found": f.found, "mend": f.mend} for f in found])
    else:
        _sum_up(found)
    if any(finding.state is State.FAIL for finding in found):
        raise typer.Exit(1)


async def _examine(settings: Settings, fix: bool, show: bool) -> list[Finding]:
    found: list[Finding] = []
    async with aclosing(findings(settings, fix)) as stream:
        async for finding in stream:
            found.append(finding)
            if show:
                _show(finding)
    return found


def _show(finding: Finding) -> None:
    mark, style = _MARKS[finding.state]
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=1, style=style)
    grid.add_column(width=26, overflow="fold", style="" if finding.state is State.OK else style)
    grid.add_column(overflow="fold", ratio=1)
    told = Text(finding.found, "faint" if finding.state is State.OK else "")
    if finding.mend:
        told.append(f"\n→ {finding.mend}", "command")
    grid.add_row(mark, finding.link, told)
    screen.out().print(grid)


def _sum_up(found: list[Finding]) -> None:
    broken = [finding for finding in found if finding.state is State.FAIL]
    doubtful = [finding for finding in found if finding.state is State.WARN]
    screen.out().print()
    if broken:
        screen.fail(f"{len(broken)} of {len(found)} links are broken.")
        if any(finding.fixable for finding in broken):
            screen.next_step("what is set at Twilio can be mended from here:", "hookflash doctor --fix")
        else:
            screen.next_step(f"mend the first, which may mend others: {broken[0].link}")
    else:
        screen.done(f"All {len(found)} links hold{f', {len(doubtful)} with a remark' if doubtful else ''}.")
        screen.next_step("text your number, or look into the journal:", "hookflash audit verify")


async def findings(settings: Settings, fix: bool) -> AsyncGenerator[Finding, None]:
    """Every link in its order; those that rest on a broken one are left out. With `fix` mend what can be mended."""
    yield ok("settings", "they can be read")
    yield await _data_dir(settings)
    async with AsyncExitStack() as stack:
        try:
            url = await stack.enter_async_context(database_url(settings))
            schema = await anyio.to_thread.run_sync(schema_state, url)
        except HookflashError as error:
            yield failed("database", error, "check HOOKFLASH_DATABASE_URL")
            return
        yield ok("database", "our own, in the data directory" if settings.embedded else "it answers")
        match schema:
            case Behind(have, want) if not settings.embedded:
                yield fail("schema", f"It is at revision {have or 'none'}; {want} is needed.", "run: hookflash migrate")
                return
            case Ahead(have):
                yield warn("schema", f"Revision {have} is of a newer release.", "bring this program up to date too")
            case Current() | Behind():
                yield ok("schema", "it is the one that this release needs")
        try:
            async with Database.open(url, max_size=1):
                yield ok("database role", "hookflash_app obeys row-level security")
        except HookflashError as error:
            yield failed("database role", error, "run: hookflash migrate")
            return
        try:
            core = await stack.enter_async_context(open_core(settings))
        except HookflashError as error:
            yield failed("settings", error, "hookflash init writes a file with every setting explained")
            return
        async for finding in _answers(core):
            yield finding
        integrations, sealed = await _integrations(core)
        yield sealed
        async for finding in twilio_links(core, integrations, fix):
            yield finding


async def _data_dir(settings: Settings) -> Finding:
    probe = settings.data_dir / f".doctor-{secrets.token_hex(4)}"
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
    except OSError as error:
        return fail(
            "data directory", f"{settings.data_dir} cannot be written: {error.strerror}.", "set HOOKFLASH_DATA_DIR"
        )
    return ok("data directory", str(settings.data_dir))


async def _answers(core: Core) -> AsyncIterator[Finding]:
    """The embedder, the models that assistants use, and the knowledge they rest on."""
    name = core.settings.embedder
    try:
        embedder = core.providers.embedder(name)
        vectors = await embedder.embed(["Does it work?"])
    except HookflashError as error:
        yield failed("embedder", error, "check HOOKFLASH_EMBEDDER and its key")
    else:
        yield ok("embedder", f"{embedder.name} gives {vectors.shape[1]} numbers")
    if core.outside is not None:
        mend = "check HOOKFLASH_VECTOR_INDEX_URL and HOOKFLASH_VECTOR_INDEX_TOKEN"
        yield await _proven("vector index", "Milvus", partial(core.outside.count, "doctor", "doctor", name), mend)
    if core.settings.reranker is not None:
        yield await _reranker(core, core.settings.reranker)
    used: set[str] = set()
    passages = 0
    spoken: dict[str, tuple[VoiceConfig, str]] = {}
    for account_id in await workspace.accounts(core.db):
        async with core.db.tenant(account_id) as conn:
            for assistant in (await assistants.page(conn, 100, None)).items:
                used |= set(assistant.config.models)
                if assistant.config.voice.way in ("stream", "realtime"):
                    voice = assistant.config.voice
                    spoken.setdefault(voice.model_dump_json(), (voice, assistant.name))
            scope = await core.knowledge.scope(account_id, ())
            passages += sum(chunks for *_, chunks in scope.sources)
    for model in sorted(used.union(core.settings.model_names)):
        found = await _model(core, model)
        if found.state is State.OK and used and model not in used | {"extractive"}:
            mend = "name it in an assistant's `models` (PATCH /v1/assistants/ID), then: hookflash assistants publish"
            found = warn(found.link, "it answers, but no assistant asks it", mend)
        yield found
    for voice, name in spoken.values():
        if voice.way == "realtime":
            vendor = voice.realtime or core.settings.realtime
            yield await _proven(f"speech to speech of {name}", vendor, partial(_talks, core, voice, vendor))
            continue
        for stt in voice.stt or core.settings.stt_names or ("",):
            yield await _proven(f"transcriber of {name}", stt, partial(_hears, core, voice, stt))
        for tts in voice.tts or core.settings.tts_names or ("",):
            yield await _proven(f"voice of {name}", tts, partial(_speaks, core, voice, tts))
    if passages:
        yield ok("knowledge", f"{passages} passages")
    else:
        yield warn("knowledge", "There is nothing to answer from.", "hookflash ingest PATH")


async def _model(core: Core, name: str) -> Finding:
    link = f"model {name}"
    text = "Our shop opens at ten in the morning, from Monday to Saturday."
    passage = Passage(0, "", "", "Opening hours", (), text, None, 1.0, 1.0, 1.0)
    question = "When does the shop open?"
    request = ModelRequest(
        system='Answer as JSON: {"answer": "...", "confidence": 0.9, "sources": [1]}. Passages: [1] ' + text,
        messages=(ChatMessage("user", question),),
        question=question,
        passages=(passage,),
        language="en",
        max_tokens=60,
    )
    try:
        with anyio.fail_after(_MODEL_SECONDS):
            await core.providers.model(name).reply(request, nowhere)
    except TimeoutError:
        return fail(link, f"It has not answered within {_MODEL_SECONDS:.0f} s.", "check its address and the network")
    except HookflashError as error:
        vendor = name.partition(":")[0].upper()
        return failed(link, error, f"check {vendor}_API_KEY and the model's name")
    return ok(link, "it answers")


async def _reranker(core: Core, name: str) -> Finding:
    """Whether it judges, and in time: a search goes on without one that is late."""
    took: list[float] = []

    async def judge() -> None:
        reranker = core.providers.reranker(name)
        # The first time it may be loaded.
        for _ in range(2):
            began = core.clock.monotonic()
            await reranker.scores("When does the shop open?", ["Our shop opens at ten.", "The boots are brown."])
            took.append(core.clock.monotonic() - began)

    found = await _proven("re-ranker", name, judge, "check HOOKFLASH_RERANKER and what belongs to it")
    if found.state is State.OK and took[-1] > core.settings.rerank_seconds:
        waits = f"{took[-1]:.1f} s for two short texts, and a search waits {core.settings.rerank_seconds:g} s for it."
        return warn("re-ranker", f"{name} took {waits}", "raise HOOKFLASH_RERANK_SECONDS, or name a smaller model")
    return found


async def _proven(link: str, vendor: str, prove: Callable[[], Awaitable[object]], mend: str | None = None) -> Finding:
    """Whether a way to a vendor opens; without a `mend` to one of speech."""
    try:
        with anyio.fail_after(_SPEECH_SECONDS):
            await prove()
    except TimeoutError:
        return fail(link, f"{vendor} has not answered within {_SPEECH_SECONDS:.0f} s.", "check the network")
    except HookflashError as error:
        speech = f"check the key of {vendor.partition(':')[0]}, and its name in the assistant's voice"
        return failed(link, error, mend or speech)
    return ok(link, f"{vendor} answers")


async def _hears(core: Core, voice: VoiceConfig, name: str) -> None:
    async def heard(words: Transcript) -> None:
        """Nothing is said."""

    ears = core.studio.ears((name,) if name else ())
    async with ears.stream(heard, encoding="mulaw", sample_rate=8000, language=voice.language, hints=voice.hints):
        pass


async def _speaks(core: Core, voice: VoiceConfig, name: str) -> None:
    mouth = core.studio.mouth((name,) if name else ())
    async with mouth.voice(voice=voice.voice or None, encoding="mulaw", sample_rate=8000, language=voice.language):
        pass


async def _talks(core: Core, voice: VoiceConfig, name: str) -> None:
    def happened(event: StsEvent) -> None:
        """Nothing is said."""

    opening = Opening("Say nothing.", voice=voice.voice or None, language=voice.language, hints=voice.hints)
    async with core.providers.sts(name).talk(opening, happened):
        pass


async def _integrations(core: Core) -> tuple[list[Integration], Finding]:
    found: list[Integration] = []
    for integration_id, _ in await core.integrations.active(core.db):
        try:
            integration = await core.integrations.find(core.db, integration_id)
        except HookflashError as error:
            return found, failed("secret key", error, "restore the HOOKFLASH_SECRET_KEY that was in use")
        if integration is not None:
            found.append(integration)
    return found, ok(
        "secret key", f"it opens the credentials of {len(found)} integration{'' if len(found) == 1 else 's'}"
    )


async def twilio_links(core: Core, integrations: list[Integration], fix: bool) -> AsyncGenerator[Finding, None]:
    """From Twilio to us: the public address, signatures, credentials, and where Twilio looks."""
    public_url = core.settings.public_url
    if public_url is None:
        yield fail("public address", "HOOKFLASH_PUBLIC_URL is not set.", "set it to the https address of this server")
        return
    async with Knock.open() as knock:
        reached = True
        for finding in await check_public(knock, public_url, secrets.token_hex(12)):
            reached = reached and finding.state is not State.FAIL
            yield finding
        if not integrations:
            mend = "hookflash integrations create --sender +1..."
            yield warn("integrations", "No number is joined to an assistant.", mend)
        if reached:
            for integration in integrations:
                yield await check_signature(knock, public_url, integration)
    proven: set[str | None] = set()
    for integration in integrations:
        async for finding in _at_twilio(core, integration, public_url, proven, fix):
            yield finding


async def _verify(account: Account, service_sid: str) -> Finding:
    """Whether the service that verifies customers is there, and its codes are such as we understand."""
    link, mend = (
        "Verify service",
        "check HOOKFLASH_TWILIO_VERIFY_SERVICE_SID, or leave it unset: then texts of ours verify",
    )
    try:
        length = await account.verify_code_length(service_sid)
    except HookflashError as error:
        return failed(link, error, mend)
    if length != LENGTH:
        told = f"Its codes have {length} digits; only those of {LENGTH} are understood."
        return fail(link, told, f"set its code length to {LENGTH} in Twilio's console")
    return ok(link, f"its codes have {length} digits")


async def _at_twilio(
    core: Core, integration: Integration, public_url: str, proven: set[str | None], fix: bool
) -> AsyncIterator[Finding]:
    ours = addresses(public_url, integration.id)
    try:
        account = account_of(core.twilio, integration)
        if integration.credentials.account_sid not in proven:
            yield check_account(await account.info())
            proven.add(integration.credentials.account_sid)
            if core.settings.twilio_verify_service_sid is not None:
                yield await _verify(account, core.settings.twilio_verify_service_sid)
        places = await find_place(account, integration)
        number = await number_of_calls(account, integration)
    except HookflashError as error:
        yield failed("Twilio account", error, "check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN")
        return
    for place in places:
        for finding in check_place(integration, place, ours):
            if not (fix and finding.fixable):
                yield finding
                continue
            try:
                where = await point_at_us(account, place, ours)
            except HookflashError as error:
                yield failed(finding.link, error, "set it in Twilio's console")
            else:
                yield ok(finding.link, f"mended: set at the {where}")
    if number is not None:
        for finding in check_calls(integration, number, ours):
            if not (fix and finding.fixable):
                yield finding
                continue
            try:
                await point_calls_at_us(account, number, ours)
            except HookflashError as error:
                yield failed(finding.link, error, "set it in Twilio's console")
            else:
                yield ok(finding.link, f"mended: set at the number {number.phone_number}")
    if integration.stopped_code is not None:
        yield fail(
            f"sender of {integration.name}",
            f"Twilio refused it ({integration.stopped_code}): {integration.stopped_why}.",
            "mend it at Twilio, then: hookflash integrations enable",
        )
