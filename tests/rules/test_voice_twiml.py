"""TwiML of calls: each way in, a person who takes over, and words that look like markup."""

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest
from pydantic import ValidationError

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.voice import VoiceConfig
from hookflash.channels import voice as door
from hookflash.channels.integration import Credentials, Integration, IntegrationSettings
from hookflash.emulator.voice_twiml import parse_document
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
    assert connect.get("action") == f"{BASE}/twilio/int_1/voice/after#rc=5&rp=all"
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


def test_a_relay_with_several_languages_prepares_each_and_listens_for_all() -> None:
    voice = VoiceConfig(way="relay", voice="Joanna", tts=("amazon",), languages={"es-MX": "Mia", "hi-IN": ""})
    relay = document(voice)[0][0]
    assert (relay.get("transcriptionLanguage"), relay.get("ttsLanguage")) == ("multi", "en-US")
    assert [child.attrib for child in relay.findall("Language")] == [
        {"code": "es-MX", "ttsProvider": "Amazon", "voice": "Mia"},
        {"code": "hi-IN"},
    ]
    assert document(VoiceConfig(way="relay"))[0][0].get("transcriptionLanguage") is None
    with pytest.raises(ValidationError):
        VoiceConfig(languages={"Spanish": ""})


def test_gather_listens_for_speech_and_keys_also_for_nothing() -> None:
    gather = document(VoiceConfig(way="gather", record=True))[0]
    assert gather.tag == "Gather"
    assert gather.get("input") == "speech dtmf"
    assert gather.get("actionOnEmptyResult") == "true"
    assert (gather[0].text or "").startswith("This call is recorded.")


def test_speech_to_speech_is_a_stream_after_the_notice_of_a_recording() -> None:
    notice, connect = document(VoiceConfig(way="realtime", record=True, record_notice="We record this."))
    assert (notice.tag, notice.text) == ("Say", "We record this.")
    assert connect[0].get("url") == "wss://voice.example.com/twilio/int_1/realtime"
    assert connect[0][0].attrib == {"name": "token", "value": "t&<k"}
    voice = VoiceConfig(way="realtime", record=True, greeting="Hello.")
    assert door.realtime_rules(voice, door.Phrases(integration(voice), "en")).greeting == "Hello."


@pytest.mark.parametrize("given", [{"way": "telepathy"}, {"realtime": "No Vendor"}])
def test_a_way_in_that_is_not_there_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        VoiceConfig.model_validate(given)


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


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("Tom & Jerry", "Tom &amp; Jerry"),
        ("under < 5", "under &lt; 5"),
        ('One<break time="300ms"/>two', 'One<break time="300ms"/>two'),
        ('<say-as interpret-as="digits">123</say-as> it is', '<say-as interpret-as="digits">123</say-as> it is'),
        ("<Dial>+15550100</Dial>", "&lt;Dial&gt;+15550100&lt;/Dial&gt;"),
        ("</Say><Hangup/><Say>", "&lt;/Say&gt;&lt;Hangup/&gt;&lt;Say&gt;"),
        ("<s>not closed", "&lt;s&gt;not closed"),
        (
            "<!DOCTYPE x [<!ENTITY a 'b'>]><s>&a;</s>",
            "&lt;!DOCTYPE x [&lt;!ENTITY a 'b'&gt;]&gt;&lt;s&gt;&amp;a;&lt;/s&gt;",
        ),
    ],
)
def test_speech_markup_is_left_to_the_voice_and_nothing_else_is(text: str, markup: str) -> None:
    assert twiml.say(text) == f"<Say>{markup}</Say>"


def test_a_caller_waits_in_a_room_and_a_person_comes_in_by_a_key() -> None:
    room = twiml.wait_in_room("xfer_1", action="https://x/ended", hold="https://x/hold?transfer=xfer_1&times=2")
    assert 'startConferenceOnEnter="false" endConferenceOnExit="true" beep="false"' in room
    assert 'waitUrl="https://x/hold?transfer=xfer_1&amp;times=2"' in room
    asked = twiml.press("https://x/answer", twiml.say("Press 1."))
    assert 'input="dtmf" numDigits="1"' in asked
    assert asked.endswith("<Say>Press 1.</Say></Gather>")
    parsed = parse_document(twiml.response(room, asked, twiml.join_room("xfer_1"), twiml.play("https://x/a.mp3")))
    assert parsed.warnings == ()
