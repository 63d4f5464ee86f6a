"""A person takes over a call: rung and joined, as a task of TaskRouter, or from a room in which the caller waits."""

from dataclasses import dataclass

import msgspec
import structlog

from hookflash.base.errors import HookflashError, TwilioFailed, TwilioUnclear
from hookflash.channels.integration import Integration
from hookflash.channels.text import account_of
from hookflash.channels.voice import Phrases
from hookflash.channels.voice_jobs import Switchboard, Talk
from hookflash.conversation.transfer_store import Transfer
from hookflash.twilio import voice_twiml as twiml
from hookflash.twilio.client import TwilioClient

log = structlog.get_logger()

RING_SECONDS = 25
# What is said while the caller waits is said again after so long, so often at most; by then the person's phone is silent.
HOLD_SECONDS = 8
HOLDS = 15
NOT_TAKEN = frozenset({"busy", "no-answer", "failed", "canceled"})
QUEUE_FAILED = frozenset({"error", "queue-full", "system-error"})
_WHISPERED = 400


def summary(talk: Talk) -> str:
    """What was said, for a person's eyes."""
    return "\n".join(f"{e.said} → {e.answered}" if e.answered else e.said for e in talk.history[-6:])


def whispered(talk: Talk, phrases: Phrases) -> str:
    """What it is about, for a person's ears: who calls, and what they said, the latest first."""
    said = ". ".join(e.said.rstrip(".!? ") for e in reversed(talk.history[-3:]) if e.said)
    return phrases.filled("whisper", who=talk.call.contact.name or talk.call.address, said=said[:_WHISPERED])


def back(integration: Integration, base: str) -> bytes:
    """The caller comes back to the assistant, and hears why."""
    return twiml.response(twiml.redirect(f"{base}/twilio/{integration.id}/voice?again=nobody_free"))


@dataclass(frozen=True, slots=True)
class Handover:
    """Brings callers to persons, and back when nobody takes them."""

    switchboard: Switchboard
    twilio: TwilioClient

    async def begin(self, integration: Integration, talk: Talk, base: str, first: str = "") -> bytes:
        """The TwiML by which the caller leaves the assistant; `first` is said before."""
        phrases = Phrases(integration, talk.voice.language.partition("-")[0])
        here = f"{base}/twilio/{integration.id}/voice"
        target, language = talk.voice.transfer_to, talk.voice.language
        spoken = twiml.say(first, language=language)
        if not target:
            return twiml.response(spoken, twiml.say(phrases["handed_over"], language=language), twiml.hang_up())
        spoken += twiml.say(phrases["connecting"], language=language)
        if target.startswith("WW"):
            return twiml.response(spoken, twiml.enqueue(target, _task(talk), action=f"{here}/ended"))
        if talk.voice.transfer == "plain":
            whisper = f"{here}/whisper?call={talk.call.id}"
            return twiml.response(
                spoken, twiml.dial(target, action=f"{here}/ended", caller_id=talk.call.sender, whisper=whisper)
            )
        transfer_id = await self.switchboard.begin_transfer(talk, target)
        if not await self._ring(integration, transfer_id, target, talk.call.sender, here):
            return twiml.response(spoken, twiml.redirect(f"{here}?again=nobody_free"))
        hold = f"{here}/hold?transfer={transfer_id}"
        return twiml.response(spoken, twiml.wait_in_room(transfer_id, action=f"{here}/ended", hold=hold))

    async def _ring(self, integration: Integration, transfer_id: str, target: str, sender: str, here: str) -> bool:
        """Ring the person; False when that cannot be done."""
        account_id = integration.account_id
        try:
            sid = await account_of(self.twilio, integration).create_call(
                target,
                sender=sender,
                url=f"{here}/person?transfer={transfer_id}",
                status_callback=f"{here}/person/status?transfer={transfer_id}",
                ring_seconds=RING_SECONDS,
            )
        except TwilioUnclear as error:
            # Their telephone may ring: whoever answers tells, and the caller does not wait for ever.
            log.warning("unclear whether a person is rung", transfer=transfer_id, reason=error.message)
            return True
        except TwilioFailed as error:
            log.warning("a person cannot be rung", transfer=transfer_id, reason=error.message)
            await self.switchboard.person_missed(account_id, transfer_id, "failed")
            return False
        await self.switchboard.person_rung(account_id, transfer_id, sid)
        return True

    async def hold(self, integration: Integration, transfer: Transfer, base: str, times: int) -> bytes:
        """What a waiting caller hears; after the end of all hope they are sent back."""
        comes = transfer.state == "joined" and not transfer.over
        if (transfer.state != "ringing" and not comes) or times >= HOLDS:
            # Also when somebody took the call and put the receiver down before they were joined.
            await self.missed(integration, transfer, "no-answer", base, again=True)
        if transfer.state != "ringing":
            return twiml.response(twiml.pause(2), _hold_again(integration, transfer, base, times))
        voice = integration.assistant.voice
        phrases = Phrases(integration, voice.language.partition("-")[0])
        music = twiml.play(voice.hold_music) or twiml.pause(HOLD_SECONDS)
        words = twiml.say(phrases["on_hold"], language=voice.language)
        return twiml.response(words, music, _hold_again(integration, transfer, base, times))

    async def missed(
        self, integration: Integration, transfer: Transfer, state: str, base: str, *, again: bool = False
    ) -> None:
        """Nobody takes the call: the caller is sent back, by whoever learns of it first (or `again`)."""
        first = await self.switchboard.person_missed(integration.account_id, transfer.id, state)
        if not (first or again):
            return
        try:
            # That the caller's call is over is no error.
            await account_of(self.twilio, integration).redirect_call(
                transfer.caller_sid, back(integration, base).decode()
            )
        except HookflashError as error:
            # The next words that they are to hear while waiting find it out, and send them back.
            log.warning("a waiting caller could not be sent back", transfer=transfer.id, reason=error.message)

    async def hang_up(self, integration: Integration, call_sids: list[str]) -> None:
        """The caller is gone: persons who are rung for them need not answer."""
        for call_sid in call_sids:
            try:
                await account_of(self.twilio, integration).hang_up(call_sid)
            except HookflashError as error:
                log.warning("a person is rung for nothing", call_sid=call_sid, reason=error.message)


def asked(integration: Integration, transfer: Transfer, talk: Talk, base: str) -> bytes:
    """A person has answered: they hear what it is about, and take it by a key."""
    phrases = Phrases(integration, talk.voice.language.partition("-")[0])
    language = talk.voice.language
    answer = f"{base}/twilio/{integration.id}/voice/person/answer?transfer={transfer.id}"
    told = twiml.say(whispered(talk, phrases), language=language)
    key = twiml.say(phrases["take_it"], language=language)
    # Asked once more: the first words may be lost while they put the receiver to their ear.
    return twiml.response(
        twiml.press(answer, told, key), twiml.press(answer, told, key), twiml.redirect(f"{answer}&none=1")
    )


def joins(integration: Integration, transfer: Transfer) -> bytes:
    """The person goes to the caller."""
    voice = integration.assistant.voice
    phrases = Phrases(integration, voice.language.partition("-")[0])
    spoken = twiml.say(phrases["joining"], language=voice.language)
    return twiml.response(spoken, twiml.join_room(transfer.id))


def caller_gone(integration: Integration) -> bytes:
    """Nobody waits for the person any more."""
    voice = integration.assistant.voice
    phrases = Phrases(integration, voice.language.partition("-")[0])
    return twiml.response(twiml.say(phrases["caller_gone"], language=voice.language), twiml.hang_up())


def _hold_again(integration: Integration, transfer: Transfer, base: str, times: int) -> str:
    return twiml.redirect(f"{base}/twilio/{integration.id}/voice/hold?transfer={transfer.id}&times={times + 1}")


def _task(talk: Talk) -> str:
    return msgspec.json.encode(
        {
            "name": talk.call.contact.name or talk.call.address,
            "from": talk.call.address,
            "call_sid": talk.call.call_sid,
            "session_id": talk.call.session.id,
            "conversation_summary": summary(talk),
        }
    ).decode()
