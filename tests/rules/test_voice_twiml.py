"""TwiML of calls: each way in, a person who takes over, and words that look like markup."""

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest
from pydantic import ValidationError

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.voice import VoiceConfig
from hookflash.channels import voice as door
from hookflash.channels.integration import Credentials, Integration, IntegrationSettings
from hookflash.twilio import voice_twiml as twiml

BASE = "https://voice.example.com"


def integration(voice: VoiceConfig) -> Integration:
    now = datetime(2026, 1, 14, tzinfo=UTC)
    return Integration(
        id="int_1",
        account_id="acct_1",
        name="line",
        assistant_id="asst_1",
        sender="+15550100200",
        messaging_service_sid=None,
        credentials=Credentials(),
        settings=IntegrationSettings(),
        meta={},
        disabled=False,
        stopped_code=None,
        stopped_why=None,
        backfilled_to=None,
        created_at=now,
        updated_at=now,
        assistant=AssistantConfig(name="Test", company="Acme", voice=voice),
    )


def document(voice: VoiceConfig) -> ET.Element:
    found = integration(voice)
    raw = door.answer(found, voice, door.Phrases(found, "en"), BASE, "t&<k")
    return ET.fromstring(raw)


def test_the_stream_gets_its_token_as_a_parameter() -> None:
    connect = document(VoiceConfig(way="stream"))[0]
    assert connect.get("action") == f"{BASE}/twilio/int_1/voice/after"
    assert connect[0].tag == "Stream"
    assert connect[0].get("url") == "wss://voice.example.com/twilio/int_1/media"
    assert connect[0][0].attrib == {"name": "token", "value": "t&<k"}


def test_the_relay_is_told_language_voice_and_greeting() -> None:
    voice = VoiceConfig(way="relay", greeting='Say "hi" & <wave>', voice="Joanna", hints=("tent", "stove"))
    relay = document(voice)[0][0]
    assert relay.tag == "ConversationRelay"
    assert relay.get("url") == "wss://voice.example.com/twilio/int_1/relay"
    assert relay.get("welcomeGreeting") == 'Say "hi" & <wave>'
    assert relay.get("hints") == "tent,stove"
    assert relay.get("dtmfDetection") == "true"
    assert document(VoiceConfig(way="relay", interruptible=False))[0][0].get("interruptible") == "none"


def test_gather_listens_for_speech_and_keys_also_for_nothing() -> None:
    gather = document(VoiceConfig(way="gather", record=True))[0]
    assert gather.tag == "Gather"
    assert gather.get("input") == "speech dtmf"
    assert gather.get("actionOnEmptyResult") == "true"
    assert (gather[0].text or "").startswith("This call is recorded.")


def test_speech_to_speech_is_no_way_in() -> None:
    with pytest.raises(ValidationError, match="'stream', 'relay' or 'gather'"):
        VoiceConfig.model_validate({"way": "realtime"})


def test_a_person_is_rung_by_number_or_by_sip() -> None:
    dial = ET.fromstring(twiml.dial("+15550100300", action="/ended", whisper="/whisper?a=1&b=2"))
    assert dial[0].tag == "Number"
    assert dial[0].get("url") == "/whisper?a=1&b=2"
    sip = ET.fromstring(twiml.dial("sip:desk@example.com", action="/ended"))
    assert (sip[0].tag, sip[0].text) == ("Sip", "sip:desk@example.com")


def test_a_task_carries_its_attributes_as_json() -> None:
    enqueue = ET.fromstring(twiml.enqueue("WW1", '{"said":"a < b & c"}', action="/ended"))
    assert enqueue.get("workflowSid") == "WW1"
    assert enqueue[0].text == '{"said":"a < b & c"}'


def test_what_is_said_is_never_markup() -> None:
    said = ET.fromstring(twiml.response(twiml.say("</Say><Hangup/>", language="en-US")))
    assert [child.tag for child in said] == ["Say"]
    assert said[0].text == "</Say><Hangup/>"


@pytest.mark.parametrize(("why", "reason"), [("2 calls of this number at once", "busy"), ("not listed", "rejected")])
def test_a_refused_call_is_not_answered(why: str, reason: str) -> None:
    assert f'<Reject reason="{reason}"/>'.encode() in door.refuse(why)
