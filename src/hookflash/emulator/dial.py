"""`<Dial>`: the call is joined to another phone, or to a conference."""

from collections.abc import Awaitable, Callable
from urllib.parse import urljoin

import anyio

from hookflash.base.errors import HookflashError
from hookflash.emulator.calls import Call, Callback
from hookflash.emulator.conferences import Conference, Participant
from hookflash.emulator.courier import Failure
from hookflash.emulator.leg import Ask, Leg, Program
from hookflash.emulator.person import Callee
from hookflash.emulator.sound import FRAME_SECONDS, SILENCE
from hookflash.emulator.voice_twiml import Verb

Follow = Callable[[Leg, Program | None], Awaitable[None]]
Ring = Callable[[Leg, Callee, float], Awaitable[bool]]


async def dial(leg: Leg, verb: Verb, follow: Follow, ring: Ring) -> Program | None:
    """Join and wait for the end of it. With an action nothing after the verb is reached."""
    rooms = verb.all("Conference")
    if rooms:
        result = await _confer(leg, verb, rooms[0])
    else:
        nouns = [child for child in verb.children if child.name in ("Number", "Sip", "Client")]
        result = await _dial_phones(leg, verb, nouns or [Verb("Number", {}, verb.text)], follow, ring)
    leg.note("dial", **result)
    leg.farewell = None
    if not verb.get("action"):
        return None
    return Ask(leg.address(verb.get("action")), verb.get("method", "POST").upper(), result)


def callback_of(leg: Leg, noun: Verb, default: str) -> Callback | None:
    """The status callback that a noun asks for; its address is relative to the document."""
    if not noun.get("statusCallback"):
        return None
    events = frozenset(noun.get("statusCallbackEvent", default).split())
    return Callback(leg.address(noun.get("statusCallback")), noun.get("statusCallbackMethod", "POST").upper(), events)


# --- phones -------------------------------------------------------------------------------------------------------


async def _dial_phones(leg: Leg, verb: Verb, nouns: list[Verb], follow: Follow, ring: Ring) -> dict[str, str]:
    """One phone after the other, until one answers."""
    result = {"DialCallStatus": "failed", "DialBridged": "false"}
    for noun in nouns:
        result = await _dial_phone(leg, verb, noun, follow, ring)
        if result["DialBridged"] == "true":
            break
    return result


async def _dial_phone(leg: Leg, verb: Verb, noun: Verb, follow: Follow, ring: Ring) -> dict[str, str]:
    cloud = leg.desk.cloud
    to = f"client:{noun.text}" if noun.name == "Client" else noun.text
    if not to or (noun.name == "Number" and not to.lstrip("+").replace("-", "").replace(" ", "").isdigit()):
        cloud.problem(13224, url=leg.base, sid=leg.call.sid)
        return {"DialCallStatus": "failed", "DialBridged": "false"}
    callee = cloud.handset(to).callee
    call = Call(
        cloud.new_sid("CA"),
        cloud.next_serial(),
        "outbound-dial",
        verb.get("callerId") or leg.call.sender,
        to,
        cloud.clock.now(),
        parent_sid=leg.call.sid,
        callback=callback_of(leg, noun, "completed"),
    )
    other = Leg(leg.desk, call, callee.script, fallback=None, extra={})
    answered, left = anyio.Event(), anyio.Event()

    async def bridge() -> None:
        with anyio.CancelScope() as scope:
            other.follow(scope)
            if not await ring(other, callee, verb.number("timeout", 30)):
                return
        if other.over:
            return
        if noun.get("url"):
            await follow(other, Ask(leg.address(noun.get("url")), noun.get("method", "POST").upper()))
        with anyio.CancelScope() as scope:
            other.follow(scope)
            answered.set()
            leg.mouth, other.mouth = other.play, leg.play
            other.resume()
            while True:
                await other.tick()

    async def live() -> None:
        try:
            await bridge()
            leg.mouth = other.mouth = None
            left.set()
            # Somebody may have sent it elsewhere: it lives on without the caller.
            await follow(other, None)
        except HookflashError as error:
            other.failure = error
        finally:
            other.finish()
            left.set()

    leg.desk.under_way.start(live)
    until = leg.now() + verb.number("timeLimit", 14400)
    leg.resume()
    try:
        while not left.is_set() and leg.now() < until:
            moment = await leg.tick()
            if moment.digit == "*" and verb.flag("hangupOnStar"):
                break
    finally:
        leg.mouth = None
        if not left.is_set():
            other.hang_up("completed" if call.started else "canceled")
    await left.wait()
    bridged = "true" if answered.is_set() else "false"
    # A leg that was sent elsewhere goes on, but this dialling is complete.
    status = other.final if other.over else "completed"
    result = {"DialCallSid": call.sid, "DialCallStatus": status, "DialBridged": bridged}
    if call.started:
        result["DialCallDuration"] = str(round((cloud.clock.now() - call.started).total_seconds()))
    return result


# --- conferences --------------------------------------------------------------------------------------------------


async def _confer(leg: Leg, verb: Verb, room: Verb) -> dict[str, str]:
    cloud = leg.desk.cloud
    conference = next((c for c in cloud.conferences.values() if c.name == room.text and c.status != "completed"), None)
    if conference is None:
        conference = Conference(cloud.new_sid("CF"), cloud.next_serial(), room.text, cloud.clock.now())
        conference.callback = callback_of(leg, room, "start end")
        cloud.conferences[conference.sid] = conference
    participant = Participant(
        cloud.next_serial(),
        leg.call,
        cloud.clock.now(),
        label=room.get("participantLabel") or None,
        begins=room.flag("startConferenceOnEnter", True),
        ends=room.flag("endConferenceOnExit"),
        muted=room.flag("muted"),
        coaching=bool(room.get("coach")),
        coached=room.get("coach") or None,
    )
    started = leg.now()
    if conference.enter(participant):
        tell_conference(leg, conference, "conference-start")
    tell_conference(leg, conference, "participant-join", participant)
    leg.note("conference", name=conference.name, sid=conference.sid)
    leg.mouth = lambda frame: _to_others(leg, conference, participant, frame)
    if room.get("waitUrl"):
        hold = Ask(leg.address(room.get("waitUrl")), room.get("waitMethod", "POST").upper())
        leg.desk.under_way.start(_hold, leg, conference, participant, hold)
    try:
        while not participant.gone.is_set():
            moment = await leg.tick()
            if moment.digit == "*" and verb.flag("hangupOnStar"):
                break
    finally:
        leg.mouth = None
        ended = conference.leave(participant)
        tell_conference(leg, conference, "participant-leave", participant)
        if ended:
            tell_conference(leg, conference, "conference-end")
    took = str(round(leg.now() - started))
    return {"DialCallStatus": "completed", "DialBridged": "true", "DialCallDuration": took}


async def _hold(leg: Leg, conference: Conference, participant: Participant, ask: Ask) -> None:
    """What somebody hears for whom the conference has not begun: the words, the music and the pauses of `waitUrl`."""

    def waits() -> bool:
        return conference.status == "init" and participant.call.sid in conference.participants

    following: Ask | None = ask
    while following is not None and waits():
        document = await leg.fetch(following)
        following = None
        if isinstance(document, Failure):
            return
        for verb in document.verbs:
            if verb.name == "Say":
                leg.play(await leg.speech(verb.text, verb.get("language") or None))
            elif verb.name == "Play" and verb.text:
                leg.play(await leg.sound_at(urljoin(document.base, verb.text)))
            elif verb.name == "Pause":
                leg.play(SILENCE * round(verb.number("length", 1) / FRAME_SECONDS))
            elif verb.name == "Redirect":
                following = Ask(urljoin(document.base, verb.text), verb.get("method", "POST").upper())
            while waits() and leg.ear.queued(leg.at) > 0:
                await leg.desk.cloud.clock.sleep(FRAME_SECONDS)
    if conference.status == "in-progress":
        leg.ear.clear(leg.now())


def _to_others(leg: Leg, conference: Conference, speaker: Participant, frame: bytes) -> None:
    if speaker.muted or speaker.hold:
        return
    for sid, other in conference.participants.items():
        # Who coaches is heard only by the one that is coached.
        heard = sid == speaker.coached if speaker.coaching else sid != speaker.call.sid
        if heard and not other.hold and sid in leg.desk.legs:
            leg.desk.legs[sid].play(frame)


def tell_conference(leg: Leg, conference: Conference, event: str, participant: Participant | None = None) -> None:
    """Post a conference's status callback, if this event is wanted."""
    callback = conference.callback
    if callback is None or event.rpartition("-")[2] not in callback.events:
        return
    params = {
        "AccountSid": leg.desk.cloud.account_sid,
        "ConferenceSid": conference.sid,
        "FriendlyName": conference.name,
        "SequenceNumber": str(conference.sequence),
        "StatusCallbackEvent": event,
        "Timestamp": leg.desk.cloud.clock.now().strftime("%a, %d %b %Y %H:%M:%S +0000"),
    }
    conference.sequence += 1
    if participant:
        params |= {
            "CallSid": participant.call.sid,
            "Muted": str(participant.muted).lower(),
            "Hold": str(participant.hold).lower(),
            "Coaching": str(participant.coaching).lower(),
            "StartConferenceOnEnter": str(participant.begins).lower(),
            "EndConferenceOnExit": str(participant.ends).lower(),
        }
        if participant.label:
            params["ParticipantLabel"] = participant.label
    leg.post(callback, params)
