"""A call at our door: may it come in, and by which way."""

from dataclasses import dataclass, replace
from datetime import datetime

from hookflash.assistant.templates import text as template
from hookflash.assistant.voice import VoiceConfig
from hookflash.channels.integration import Integration
from hookflash.conversation.call import CallArrival, CallStanding
from hookflash.conversation.turn import Pass, Silence, Verdict
from hookflash.speech.call import CallRules
from hookflash.twilio import voice_twiml as twiml

_ATTESTATION = {"A": 3, "B": 2, "C": 1, "": 0}


@dataclass(frozen=True, slots=True)
class Door:
    """What the gates of a call look at."""

    arrival: CallArrival
    standing: CallStanding
    integration: Integration
    voice: VoiceConfig
    now: datetime


def enabled(door: Door) -> Verdict:
    return Silence("the integration is disabled") if door.integration.disabled else Pass()


def allowed(door: Door) -> Verdict:
    listed = door.integration.settings.allow_from
    if "*" in listed or door.arrival.address in listed or door.arrival.direction == "out":
        return Pass()
    return Silence("the caller is not on the allow-list")


def attested(door: Door) -> Verdict:
    """STIR/SHAKEN, if it is asked for: `TN-Validation-Passed-A` and the like."""
    wanted = door.voice.require_attestation
    given = (door.arrival.attestation or "").removeprefix("TN-Validation-Passed-")[:1]
    if _ATTESTATION.get(given, 0) < _ATTESTATION[wanted] and door.arrival.direction == "in":
        return Silence("the caller's number is not attested as is asked for")
    return Pass()


def wanted(door: Door) -> Verdict:
    """Whoever rings us wants to talk to us, also after a STOP by text; nobody who opted out is rung."""
    if door.standing.opted_out and door.arrival.direction == "out":
        return Silence("they have opted out")
    return Pass()


def few_at_once(door: Door) -> Verdict:
    if door.standing.live_calls >= door.voice.concurrent_per_number:
        return Silence(f"{door.standing.live_calls} calls of this number at once")
    return Pass()


def few_an_hour(door: Door) -> Verdict:
    if door.standing.calls_last_hour >= door.voice.calls_per_hour:
        return Silence(f"over {door.voice.calls_per_hour} calls of this number in an hour")
    return Pass()


def within_spend(door: Door) -> Verdict:
    settings = door.integration.settings
    if door.standing.spent_contact >= settings.contact_day_usd * 1e6:
        return Silence("over the spend limit of this number for today")
    if door.standing.spent_account >= settings.account_day_usd * 1e6:
        return Silence("over the spend limit of the account for today")
    spend = door.integration.assistant.safety.spend
    if door.standing.spent_assistant >= spend.day_usd * 1e6:
        return Silence("over the spend limit of the assistant for today")
    if door.standing.spent_session >= spend.session_usd * 1e6:
        return Silence("over the spend limit of the session")
    return Pass()


VOICE_GATES = (
    ("enabled", enabled),
    ("allow-list", allowed),
    ("attestation", attested),
    ("opt-out", wanted),
    ("concurrency", few_at_once),
    ("rate", few_an_hour),
    ("spend", within_spend),
)


def judge(door: Door) -> list[tuple[str, Verdict]]:
    """The verdicts in order, up to the first that does not pass."""
    asked = []
    for name, gate in VOICE_GATES:
        verdict = gate(door)
        asked.append((name, verdict))
        if not isinstance(verdict, Pass):
            break
    return asked


@dataclass(frozen=True, slots=True)
class Phrases:
    """The fixed phrases of a call in its language, the company's own first."""

    integration: Integration
    language: str

    def __getitem__(self, key: str) -> str:
        assistant = self.integration.assistant
        return template(key, self.language, company=assistant.company, overrides=assistant.templates)

    def filled(self, key: str, **values: str) -> str:
        """A phrase with something in it."""
        assistant = self.integration.assistant
        return template(key, self.language, company=assistant.company, overrides=assistant.templates, **values)


def rules(voice: VoiceConfig, phrases: Phrases) -> CallRules:
    """How a call of ours goes."""
    return CallRules(
        greeting=opening(voice, phrases),
        patience=voice.patience,
        interruptible=voice.interruptible,
        filler=phrases["acknowledge"] if voice.filler_after_ms else "",
        filler_after=voice.filler_after_ms / 1000,
        reprompt=phrases["still_there"],
        reprompt_after=voice.reprompt_after_ms / 1000,
        reprompts=voice.reprompts,
        goodbye=phrases["goodbye_call"],
        failed=phrases["failed"],
        max_seconds=voice.max_minutes * 60.0,
    )


def opening(voice: VoiceConfig, phrases: Phrases) -> str:
    """The first words: the greeting, after the notice of a recording."""
    notice = (voice.record_notice or phrases["recorded"]) if voice.record else ""
    return " ".join(filter(None, (notice, voice.greeting or phrases["greeting"])))


def realtime_rules(voice: VoiceConfig, phrases: Phrases, *, again: bool = False) -> CallRules:
    """The same of speech to speech. There Twilio has said to the letter what must be, and greeted who comes again."""
    return replace(rules(voice, phrases), greeting="" if again else voice.greeting or phrases["greeting"])


# How a call that comes in a second time begins: its socket broke, or nobody took it over.
AGAIN = frozenset({"go_on", "nobody_free"})


def answer(
    integration: Integration, voice: VoiceConfig, phrases: Phrases, base: str, token: str, again: str = ""
) -> bytes:
    """The TwiML by which an admitted call comes in; one that comes in `again` is greeted by that phrase."""
    parameters = {"token": token} | ({"again": again} if again else {})
    here = f"{base}/twilio/{integration.id}"
    socket = here.replace("http", "ws", 1)
    after = f"{here}/voice/after"
    match voice.way:
        case "stream":
            return twiml.response(twiml.connect_stream(f"{socket}/media", after, parameters))
        case "realtime":
            notice = (voice.record_notice or phrases["recorded"]) if voice.record else ""
            spoken = twiml.say(phrases[again] if again else notice, language=voice.language)
            return twiml.response(spoken, twiml.connect_stream(f"{socket}/realtime", after, parameters))
        case "relay":
            attributes: dict[str, str | bool | None] = {
                "language": voice.language,
                "welcomeGreeting": phrases[again] if again else opening(voice, phrases),
                "voice": voice.voice,
                "ttsProvider": voice.tts[0].capitalize() if voice.voice and voice.tts else None,
                "interruptible": "any" if voice.interruptible else "none",
                "dtmfDetection": True,
                "hints": ",".join(voice.hints),
                "ignoreBackchannel": True,
                "reportInputDuringAgentSpeech": "any",
            }
            if attributes["ttsProvider"] == "Elevenlabs":
                attributes["ttsProvider"] = "ElevenLabs"
            if voice.languages:
                # All of them are listened for at once; Twilio's only ears that can.
                attributes |= {
                    "ttsLanguage": voice.language,
                    "transcriptionLanguage": "multi",
                    "transcriptionProvider": "Deepgram",
                    "speechModel": "nova-3-general",
                }
            others = [
                {"code": tag, "ttsProvider": attributes["ttsProvider"] if name else None, "voice": name}
                for tag, name in voice.languages.items()
            ]
            return twiml.response(twiml.connect_relay(f"{socket}/relay", after, attributes, parameters, others))
        case "gather":
            first = phrases[again] if again else opening(voice, phrases)
            return listen(integration, voice, base, first, 0, begins=not again)


def listen(
    integration: Integration, voice: VoiceConfig, base: str, prompt: str, silent: int, *, begins: bool = False
) -> bytes:
    """Say something and listen, turn by turn; `silent` counts the times that nothing was heard, `begins`: the first time."""
    here = f"{base}/twilio/{integration.id}/voice/gather"
    spoken = twiml.say(prompt, voice=voice.voice or None, language=voice.language)
    return twiml.response(
        twiml.gather(
            f"{here}?silent={silent}{'&first=1' if begins else ''}",
            spoken,
            language=voice.language,
            hints=",".join(voice.hints),
            partial=f"{here}/partial",
            timeout=max(2, voice.reprompt_after_ms // 1000),
        )
    )


def refuse(why: str) -> bytes:
    """The TwiML of a call that is not taken."""
    return twiml.response(twiml.reject("busy" if "at once" in why else "rejected"))
