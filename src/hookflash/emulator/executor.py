"""The life of a call: it rings, it is answered, its TwiML is followed verb by verb, it ends."""

from collections.abc import Sequence

import anyio
from anyio.lowlevel import checkpoint

from hookflash.base.errors import HookflashError
from hookflash.emulator.calls import Detection
from hookflash.emulator.courier import Failure
from hookflash.emulator.dial import dial
from hookflash.emulator.enqueue import enqueue
from hookflash.emulator.gather import gather, play_prompt
from hookflash.emulator.leg import Ask, Leg, Program
from hookflash.emulator.person import Callee
from hookflash.emulator.relay_caller import relay
from hookflash.emulator.stream_caller import stream
from hookflash.emulator.voice_twiml import Verb

_MAX_REDIRECTS = 20
_APOLOGY = "We are sorry, an application error has occurred. Goodbye."


async def take_call(leg: Leg, program: Program) -> None:
    """An inbound call, from its first webhook to its end."""
    leg.advance("ringing")
    await _live(leg, program, None, 0, None)


async def place_call(leg: Leg, program: Program, callee: Callee, timeout: float, detection: Detection | None) -> None:
    """An outbound call; `timeout` is how many seconds it may ring."""
    await _live(leg, program, callee, timeout, detection)


async def _live(
    leg: Leg, program: Program | None, callee: Callee | None, timeout: float, detection: Detection | None
) -> None:
    try:
        if leg.desk.voice.sounds:
            await leg.person.take_voice(leg.desk.voice)
        ready = True
        with anyio.CancelScope() as scope:
            leg.follow(scope)
            if callee is not None:
                ready = await ring(leg, callee, timeout)
                if ready and detection:
                    await _detect(leg, callee, detection)
        if ready or leg.next:
            await follow(leg, program)
    except HookflashError as error:
        leg.failure = error
    finally:
        leg.finish()
    ask = leg.farewell() if leg.farewell else None
    if ask:
        # The action is told how it ended; there is nobody left for its answer.
        await leg.fetch(ask)


async def ring(leg: Leg, callee: Callee, timeout: float) -> bool:
    """Let a phone ring; whether it was answered."""
    clock = leg.desk.cloud.clock
    await clock.sleep(leg.desk.pace)
    leg.report("initiated")
    if callee.outcome == "failed":
        leg.hang_up("failed")
        return False
    leg.advance("ringing")
    await clock.sleep(min(callee.rings, timeout))
    if callee.outcome == "answer" and callee.rings <= timeout:
        leg.answer()
        return True
    leg.hang_up("busy" if callee.outcome == "busy" and callee.rings <= timeout else "no-answer")
    return False


async def _detect(leg: Leg, callee: Callee, detection: Detection) -> None:
    if detection.asynchronous:
        leg.desk.under_way.start(_tell_verdict, leg, callee, detection)
        return
    await _wait_for_verdict(leg, callee, detection)


async def _tell_verdict(leg: Leg, callee: Callee, detection: Detection) -> None:
    """Asynchronous detection: the callback names the call and nobody's number."""
    await _wait_for_verdict(leg, callee, detection)
    if detection.callback and leg.call.answered_by and not leg.over:
        took = min(callee.detection, detection.timeout)
        leg.post(
            detection.callback,
            {
                "AccountSid": leg.desk.cloud.account_sid,
                "CallSid": leg.call.sid,
                "AnsweredBy": leg.call.answered_by,
                "MachineDetectionDuration": str(round(took * 1000)),
            },
        )


async def _wait_for_verdict(leg: Leg, callee: Callee, detection: Detection) -> None:
    await leg.desk.cloud.clock.sleep(min(callee.detection, detection.timeout))
    verdict = callee.answered_by if callee.detection <= detection.timeout else "unknown"
    if verdict.startswith("machine"):
        if detection.mode == "Enable":
            verdict = "machine_start"
        elif verdict == "machine_start":
            verdict = "machine_end_beep"
    leg.call.answered_by = verdict


async def follow(leg: Leg, program: Program | None) -> None:
    """Follow a program and all that it leads to, until nothing is left to do, somebody hangs up, or all fails."""
    while not leg.over:
        if leg.next is not None:
            program, leg.next = leg.next, None
            leg.farewell = None
            leg.ear.clear(leg.now())
        if program is None:
            break
        with anyio.CancelScope() as scope:
            leg.follow(scope)
            await _follow_one(leg, program)
        program = None


async def _follow_one(leg: Leg, program: Program | None) -> None:
    hops = 0
    fallback = leg.fallback
    while program is not None:
        found = await leg.fetch(program) if isinstance(program, Ask) else program.document
        if isinstance(found, Failure):
            if fallback is None:
                await _apologise(leg)
                return
            told = {"ErrorCode": str(found.code), "ErrorUrl": found.url}
            program, fallback = Ask(fallback.url, fallback.method, told), None
            continue
        for warning in found.warnings:
            leg.desk.cloud.problem(12200, url=found.base, sid=leg.call.sid, detail=warning)
        hops = hops + 1 if all(verb.name == "Redirect" for verb in found.verbs) else 0
        if hops > _MAX_REDIRECTS:
            leg.desk.cloud.problem(11215, url=found.base, sid=leg.call.sid)
            await _apologise(leg)
            return
        leg.base = found.base.partition("#")[0]
        program = await _perform(leg, found.verbs)
        leg.farewell = None
        fallback = leg.fallback


async def _apologise(leg: Leg) -> None:
    leg.answer()
    await leg.listen(await leg.speech(_APOLOGY, "en-US"))


async def _perform(leg: Leg, verbs: Sequence[Verb]) -> Program | None:
    """Perform verbs in order; what they lead to, None when they have come to their end."""
    for verb in verbs:
        leg.note("verb", name=verb.name)
        if verb.name == "Pause" and verb is verbs[0] and leg.call.started is None:
            # A pause that comes first lets it ring.
            await leg.desk.cloud.clock.sleep(verb.number("length", 1))
            continue
        if verb.name not in ("Reject", "Redirect"):
            leg.answer()
        leg.resume()
        program = await _perform_one(leg, verb)
        if program is not None:
            return program
    # Twilio answers a call whose TwiML says nothing, and hangs up.
    leg.answer()
    return None


async def _perform_one(leg: Leg, verb: Verb) -> Program | None:
    match verb.name:
        case "Say" | "Play" | "Pause":
            await play_prompt(leg, verb)
        case "Gather":
            return await gather(leg, verb)
        case "Connect":
            return await _connect(leg, verb)
        case "Dial":
            return await dial(leg, verb, follow, ring)
        case "Enqueue":
            return await enqueue(leg, verb)
        case "Redirect":
            return Ask(leg.address(verb.text), verb.get("method", "POST").upper())
        case "Hangup":
            leg.hang_up()
            await checkpoint()
        case "Reject":
            leg.hang_up("busy" if verb.get("reason") == "busy" else "no-answer")
            await checkpoint()
        case other:
            leg.note("skipped", name=other)
    return None


async def _connect(leg: Leg, verb: Verb) -> Program | None:
    action = Ask(leg.address(verb.get("action")), verb.get("method", "POST").upper()) if verb.get("action") else None
    if streams := verb.all("Stream"):
        leg.farewell = lambda: action
        return await stream(leg, streams[0], action)
    if relays := verb.all("ConversationRelay"):
        return await relay(leg, relays[0], action)
    return None
