"""`hookflash call`: ring somebody, or hear how a call goes with nothing but this machine."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import anyio
import typer

from hookflash.assistant import store as assistants
from hookflash.assistant.voice import VoiceConfig
from hookflash.base.clock import Clock, SystemClock
from hookflash.base.errors import Conflict, Invalid, NotFound
from hookflash.base.phone import Address, Kind
from hookflash.channels.integration import Integration
from hookflash.channels.redial import MOST_RETRIES
from hookflash.channels.voice import Phrases, opening
from hookflash.cli import screen
from hookflash.cli.call_view import shown, strip, summed_up, timeline
from hookflash.cli.logs import configure_logs
from hookflash.cli.meant import account_meant
from hookflash.cli.numbers import CUSTOMER, NUMBER
from hookflash.cli.opening import read_settings, run, with_running
from hookflash.cli.roles import ended_by_signal
from hookflash.cli.stage import Stage, for_now, stage
from hookflash.cli.turns_store import Taken, turns_of_call
from hookflash.conversation.call import CallRow
from hookflash.conversation.call_store import get_call, list_calls
from hookflash.emulator.call_record import CallRecord
from hookflash.emulator.person import Act, AfterBot, HangUp, OverBot, Say, Script, Sound
from hookflash.emulator.sound import read_wav
from hookflash.settings import Settings
from hookflash.wiring import Core, open_core

app = typer.Typer(add_completion=False)

QUESTIONS = ("How long do I have to return a jacket?", "And for shoes?", "Do you ship to Canada?")
_LOOK_EVERY = 0.5
_LONGEST = 600.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller of a demonstration does: WAV files with their words where these were given, or words alone."""

    sounds: tuple[bytes, ...]
    words: tuple[str, ...]

    @property
    def own(self) -> bool:
        return bool(self.sounds or self.words)

    def acts(self) -> tuple[Act, ...]:
        """The last of our own questions interrupts the answer before it."""
        acts: list[Act] = []
        if self.sounds:
            for number, sound in enumerate(self.sounds):
                acts.append(Sound(sound, self.words[number] if number < len(self.words) else ""))
        else:
            acts += [Say(words) for words in self.words or QUESTIONS]
        if not self.own:
            acts[-1] = Say(QUESTIONS[-1], OverBot(1.0))
        return (*acts, HangUp(AfterBot(1.2)))


@app.command(epilog="Example: hookflash call --demo")
def call(
    to: Annotated[str | None, typer.Argument(help="Whom to ring, E.164.")] = None,
    integration: Annotated[
        str | None, typer.Option(help="Whose number rings, where there are several (its id).")
    ] = None,
    purpose: Annotated[str, typer.Option(help="Why, for the record and the rules on calling.")] = "service",
    account: Annotated[str | None, typer.Option(help="The account, where there are several.")] = None,
    retries: Annotated[
        int,
        typer.Option(min=0, max=MOST_RETRIES, help="How often a worker tries again when the person is not reached."),
    ] = 0,
    demo: Annotated[
        bool, typer.Option("--demo", help="Try a call with a sample shop: no account, no key, no network.")
    ] = False,
    say: Annotated[list[str] | None, typer.Option("--say", help="With --demo: what the caller says, in order.")] = None,
    wav: Annotated[
        list[Path] | None,
        typer.Option(
            "--wav", exists=True, dir_okay=False, help="With --demo: the caller's speech; --say then tells its words."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="With --demo: where the sound of both sides goes.")] = Path("call.wav"),
) -> None:
    """Ring somebody from one of your numbers, or try a call on this machine.

    A call goes out only if the person may be called now: not who opted out, not at night where they live. The command waits
    for its end and prints the outcome; with Ctrl-C only the waiting ends. Further tries are made by a worker.

    With --demo the emulator calls the sample shop. With espeak-ng and pocketsphinx installed its voice goes through the real
    socket of Media Streams; without them its words go through that of ConversationRelay.
    """
    if demo:
        if not out.resolve().parent.is_dir():
            raise Invalid(f"There is no directory {out.resolve().parent} for the sound.", hint="--out call.wav")
        configure_logs("error", "console")
        wanted = Wanted(tuple(read_wav(each.read_bytes()) for each in wav or ()), tuple(say or ()))
        if not run(_demo, wanted, out):
            screen.fail("Not every question was answered.", "run it again; a slow machine makes a slow call")
            raise typer.Exit(1)
        return
    if to is None:
        raise Invalid("Whom to ring?", hint="hookflash call +15551234567, or try one: hookflash call --demo")
    row, turns = run(_ring, with_running(read_settings()), to, integration, purpose, account, retries)
    _outcome(row, turns)
    if row.state == "waiting":
        # It is stored: whether they are reached shows later, in GET /v1/calls.
        return
    if row.state != "ended" or row.measures.get("status") != "completed":
        raise typer.Exit(1)


# --- a real call


async def _ring(
    settings: Settings,
    to: str,
    integration: str | None,
    purpose: str,
    account: str | None,
    retries: int = 0,
    clock: Clock | None = None,
) -> tuple[CallRow, list[Taken]]:
    number = Address.parse(to, Kind.VOICE)
    if not number.is_number:
        raise Invalid(f"{to} is not a telephone number.", hint="E.164: + and 7 to 15 digits, +15551234567")
    async with open_core(settings, clock=clock) as core:
        account_id = await account_meant(core, account)
        ours = await _integration_meant(core, account_id, integration)
        call_id = await core.outbound().call(ours, number, purpose, retries)
        screen.out().print(f"Ringing [them]{number}[/] from [us]{ours.sender}[/] [faint]({call_id})[/]")
        return await _until_over(core, account_id, call_id)


async def _integration_meant(core: Core, account_id: str, wanted: str | None) -> Integration:
    """The integration that was named, or the only telephone number. Raises NotFound and Invalid."""
    async with core.db.tenant(account_id) as conn:
        if wanted is not None:
            return await core.integrations.get(conn, wanted)
        page = await core.integrations.page(conn, 100, None)
    able = [each for each in page.items if each.sender.startswith("+") and not each.disabled]
    if not able:
        raise NotFound("There is no number to call from.", hint="hookflash integrations create --sender +1...")
    if len(able) > 1:
        raise Invalid(
            "There are several numbers: say which one.", hint="add --integration; hookflash integrations list"
        )
    return able[0]


async def _until_over(core: Core, account_id: str, call_id: str) -> tuple[CallRow, list[Taken]]:
    """Wait for the end of a call and what Twilio says of it."""
    began = core.clock.monotonic()
    while True:
        async with core.db.tenant(account_id) as conn:
            row = await get_call(conn, call_id)
            over = row.state == "waiting" or (row.state == "ended" and "status" in row.measures)
            if over or core.clock.monotonic() - began > _LONGEST:
                return row, await turns_of_call(conn, call_id)
        await core.clock.sleep(_LOOK_EVERY)


def _outcome(row: CallRow, turns: Sequence[Taken]) -> None:
    for turn in turns:
        screen.out().print(f"  [them]them[/]  {turn.said}\n    [us]us[/]  {turn.answered}")
    grid = screen.pairs()
    grid.add_row("State", str(row.measures.get("status", row.state)) + (f"  [faint]({row.why})[/]" if row.why else ""))
    if row.next_try_at:
        grid.add_row("Tried again", f"{row.next_try_at:%Y-%m-%d %H:%M} UTC, by a worker")
    if row.answered_by:
        grid.add_row("Answered by", row.answered_by)
    grid.add_row("Duration", f"{row.measures.get('seconds', 0)} s")
    grid.add_row("Cost", screen.money(sum(row.parts.values())))
    screen.indented(grid)


# --- a call that anybody can try


def hears_and_speaks() -> bool:
    """Whether this machine has a voice and a recogniser of its own."""
    return shutil.which("espeak-ng") is not None and find_spec("pocketsphinx") is not None


async def _demo(wanted: Wanted, out: Path) -> bool:
    clock = SystemClock()
    began = clock.monotonic()
    console = screen.out()
    stream = hears_and_speaks()
    if not stream and len(wanted.words) < len(wanted.sounds):
        raise Conflict(
            "Nothing on this machine can tell what is said in the WAV file.",
            hint="apt-get install espeak-ng and pip install 'hookflash[pocketsphinx]'; or add --say with its words",
        )
    console.print("\n[bold]Hookflash[/] [faint]· a call in, a spoken answer out[/]\n")
    with for_now() as directory:
        async with ended_by_signal(), stage(directory) as found:
            console.print(f"[good]✓[/] [faint]Ready after {clock.monotonic() - began:.1f} s: {found.ready}[/]")
            console.print(f"[faint]  {_way(stream)}[/]\n")
            voice = _voice(stream, wanted)
            greeting = await _let_speak(found, voice)
            record, turns = await _held(found, Script(wanted.acts()))
    lines = timeline(record, turns, greeting)
    console.print(shown(lines))
    console.print()
    console.print(strip(lines))
    console.print()
    screen.done(f"{summed_up(lines)}. Everything is stopped and removed.")
    if stream:
        await anyio.Path(out).write_bytes(record.wav())
        screen.next_step(f"listen to it, the caller on the left: {out}")
    asked = len(wanted.sounds) or len(wanted.words) or len(QUESTIONS)
    return len(turns) >= asked and all(turn.kind != "failed" for turn in turns)


def _way(stream: bool) -> str:
    if stream:
        return "Media Streams: sound both ways, silero hears the voice, pocketsphinx the words, espeak-ng speaks."
    return (
        "ConversationRelay: words both ways. To hear it speak: apt-get install espeak-ng (or brew install espeak-ng),"
        " pip install 'hookflash[pocketsphinx]'."
    )


def _voice(stream: bool, wanted: Wanted) -> VoiceConfig:
    """The small recogniser is told what it may hear, where that is known: it is bad at free speech."""
    if not stream:
        return VoiceConfig(way="relay")
    known = not wanted.sounds or len(wanted.words) >= len(wanted.sounds)
    hints = (wanted.words or QUESTIONS) if known else ()
    return VoiceConfig(way="stream", stt=("pocketsphinx",), tts=("espeak",), hints=tuple(h[:60] for h in hints))


async def _let_speak(found: Stage, voice: VoiceConfig) -> str:
    """Give the shop's assistant this voice; its first words."""
    core, integration = found.core, found.shop.integration
    async with core.db.tenant(found.shop.account_id) as conn:
        config = integration.assistant.model_copy(update={"voice": voice})
        await assistants.update(conn, found.shop.account_id, integration.assistant_id, config, core.clock.now())
    return opening(voice, Phrases(integration, "en"))


async def _held(found: Stage, script: Script) -> tuple[CallRecord, list[Taken]]:
    """The call from the first ring to what is kept of it."""
    with screen.progress(of="seconds") as bar:
        bar.add_task("On the telephone", total=None, note="")
        call = found.emulator.handset(CUSTOMER).call(NUMBER, script)
        await call.ended(_LONGEST)
    core, account_id = found.core, found.shop.account_id
    async with core.db.tenant(account_id) as conn:
        (row,) = await list_calls(conn, "", 1, None)
    _, turns = await _until_over(core, account_id, row.id)
    return call.record, turns
