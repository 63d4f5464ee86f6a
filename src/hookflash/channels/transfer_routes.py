"""The addresses that Twilio calls about persons who take over: what they hear, what a waiting caller hears, how it ended."""

from fastapi import APIRouter, Request, Response

from hookflash.channels import transfer
from hookflash.channels.integration import Integration
from hookflash.channels.voice import Phrases
from hookflash.channels.voice_routes import Here, Voices, one, spoken
from hookflash.conversation.transfer_store import Transfer
from hookflash.rest.storable import StorableRoute
from hookflash.twilio import voice_twiml as twiml

router = APIRouter(prefix="/twilio", include_in_schema=False, route_class=StorableRoute)


@router.post("/{integration_id}/voice/whisper")
async def whisper(integration_id: str, request: Request, here: Here) -> Response:
    """What the person who is rung hears before the caller does."""
    integration, form = await here.webhooks.admit(request, integration_id)
    sid = one(form, "ParentCallSid") or one(form, "CallSid")
    talk = await here.switchboard.resume(integration, sid)
    phrases = Phrases(integration, integration.assistant.voice.language.partition("-")[0])
    words = transfer.whispered(talk, phrases) if talk else phrases["joining"]
    return spoken(twiml.response(twiml.say(words, language=integration.assistant.voice.language)))


@router.post("/{integration_id}/voice/ended")
async def ended(integration_id: str, request: Request, here: Here) -> Response:
    """The conversation with a person is over, or nobody answered: then the caller comes back."""
    integration, form = await here.webhooks.admit(request, integration_id)
    over = one(form, "CallStatus") in ("completed", "canceled")
    missed = one(form, "DialCallStatus") in transfer.NOT_TAKEN or one(form, "QueueResult") in transfer.QUEUE_FAILED
    if missed and not over:
        return spoken(transfer.back(integration, here.base(request)))
    return spoken(twiml.response(twiml.hang_up()))


async def _asked_about(request: Request, here: Voices, integration: Integration) -> Transfer:
    """The transfer that a request names. Raises NotFound."""
    return await here.switchboard.transfer(integration.account_id, request.query_params.get("transfer", ""))


@router.post("/{integration_id}/voice/hold")
async def hold(integration_id: str, request: Request, here: Here) -> Response:
    """What a caller hears who waits for a person."""
    integration, _ = await here.webhooks.admit(request, integration_id)
    found = await _asked_about(request, here, integration)
    given = request.query_params.get("times", "0")
    times = int(given) if given.isdecimal() and len(given) < 4 else 0
    return spoken(await here.handover.hold(integration, found, here.base(request), times))


@router.post("/{integration_id}/voice/person")
async def person(integration_id: str, request: Request, here: Here) -> Response:
    """A person has answered; the caller waits."""
    integration, form = await here.webhooks.admit(request, integration_id)
    found = await _asked_about(request, here, integration)
    await here.switchboard.person_rung(integration.account_id, found.id, one(form, "CallSid"))
    talk = await here.switchboard.resume(integration, found.caller_sid)
    if found.state != "ringing" or talk is None:
        return spoken(transfer.caller_gone(integration))
    return spoken(transfer.asked(integration, found, talk, here.base(request)))


@router.post("/{integration_id}/voice/person/answer")
async def person_answers(integration_id: str, request: Request, here: Here) -> Response:
    """A person takes the call, or does not."""
    integration, form = await here.webhooks.admit(request, integration_id)
    found = await _asked_about(request, here, integration)
    if one(form, "Digits") == "1":
        joined = await here.switchboard.person_joins(integration.account_id, found.id)
        return spoken(transfer.joins(integration, found) if joined else transfer.caller_gone(integration))
    await here.handover.missed(integration, found, "declined", here.base(request))
    return spoken(twiml.response(twiml.hang_up()))


@router.post("/{integration_id}/voice/person/status")
async def person_status(integration_id: str, request: Request, here: Here) -> Response:
    """The call to a person is over; if they did not take the caller's, nobody has."""
    integration, form = await here.webhooks.admit(request, integration_id)
    found = await _asked_about(request, here, integration)
    await here.switchboard.person_left(integration.account_id, found.id)
    status = one(form, "CallStatus")
    state = status if status in transfer.NOT_TAKEN else "declined"
    await here.handover.missed(integration, found, state, here.base(request))
    return Response(status_code=204)
