"""Twilio's Media Streams messages: every documented one is read, nothing that is sent to us raises, ours are exact."""

import base64
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.twilio.media_stream import (
    MAX_AUDIO,
    Connected,
    Dtmf,
    Malformed,
    Mark,
    Media,
    Start,
    Stop,
    Unknown,
    decode,
    encode_clear,
    encode_mark,
    encode_media,
    refuse,
)

SID = "MZ" + "1" * 32
CALL = "CA" + "2" * 32
ACCOUNT = "AC" + "3" * 32
START: dict[str, Any] = {
    "event": "start",
    "sequenceNumber": "1",
    "start": {
        "accountSid": ACCOUNT,
        "streamSid": SID,
        "callSid": CALL,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": "t1"},
    },
    "streamSid": SID,
}
FRAME = bytes(range(160))
MEDIA: dict[str, Any] = {
    "event": "media",
    "sequenceNumber": "2",
    "media": {"track": "inbound", "chunk": "1", "timestamp": "155", "payload": base64.b64encode(FRAME).decode()},
    "streamSid": SID,
}


def changed(message: dict[str, Any], part: str, **fields: object) -> str:
    return json.dumps({**message, part: {**message[part], **fields}})


def test_connected() -> None:
    assert decode('{"event":"connected","protocol":"Call","version":"1.0.0"}') == Connected("Call", "1.0.0")


def test_start_names_the_call_and_its_parameters() -> None:
    message = decode(json.dumps(START))
    assert isinstance(message, Start)
    assert (message.start.stream_sid, message.start.call_sid, message.start.account_sid) == (SID, CALL, ACCOUNT)
    assert message.start.custom_parameters == {"token": "t1"}
    assert message.sequence_number == 1
    assert refuse(message) is None


@pytest.mark.parametrize("as_bytes", [False, True])
def test_media_is_bytes_and_numbers(as_bytes: bool) -> None:
    text = json.dumps(MEDIA)
    message = decode(text.encode() if as_bytes else text)
    assert isinstance(message, Media)
    assert message.media.payload == FRAME
    assert (message.media.timestamp, message.media.chunk, message.sequence_number) == (155, 1, 2)
    assert message.stream_sid == SID


def test_dtmf_mark_stop() -> None:
    dtmf = decode(
        f'{{"event":"dtmf","streamSid":"{SID}","sequenceNumber":"5","dtmf":{{"track":"inbound_track","digit":"#"}}}}'
    )
    assert isinstance(dtmf, Dtmf)
    assert dtmf.dtmf.digit == "#"
    mark = decode(f'{{"event":"mark","sequenceNumber":"4","streamSid":"{SID}","mark":{{"name":"3:greeting"}}}}')
    assert isinstance(mark, Mark)
    assert mark.mark.name == "3:greeting"
    stop = decode(
        f'{{"event":"stop","sequenceNumber":"9","stop":{{"accountSid":"{ACCOUNT}","callSid":"{CALL}"}},"streamSid":"{SID}"}}'
    )
    assert stop == Stop(SID, 9)


def test_order_of_keys_and_new_fields_do_not_matter() -> None:
    shuffled = {key: MEDIA[key] for key in ("streamSid", "media", "sequenceNumber", "event")}
    assert decode(json.dumps({**shuffled, "new": {"a": [1]}})) == decode(json.dumps(MEDIA))
    assert decode(changed(MEDIA, "media", volume=3)) == decode(json.dumps(MEDIA))


def test_numbers_may_come_as_numbers() -> None:
    assert decode(changed({**MEDIA, "sequenceNumber": 2}, "media", chunk=1, timestamp=155)) == decode(json.dumps(MEDIA))


def test_an_event_that_is_not_known_is_named() -> None:
    assert decode('{"event":"speech","streamSid":"x"}') == Unknown("speech")
    assert decode(json.dumps({"event": "e" * 5000})) == Unknown("e" * 64)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "null",
        "{}",
        '{"event":7}',
        '{"event":"media"}',
        '{"event":"start","start":{}}',
        changed(MEDIA, "media", payload="not base64!"),
        changed(MEDIA, "media", payload=""),
        changed(MEDIA, "media", payload=None),
        changed(MEDIA, "media", timestamp="soon"),
        changed(MEDIA, "media", timestamp="9" * 400),
        b"\xff\xfe\x00",
        b'{"event":"\xff"}',
        '{"event":"\ud800"}',
        '{"event":"media","media":' * 20_000,
        "[" * 100_000,
        '{"x":' + "[" * 50_000 + "]" * 50_000 + ',"event":"y"}',
    ],
    ids=lambda text: repr(text[:40]),
)
def test_what_is_not_a_message_is_malformed(text: str | bytes) -> None:
    message = decode(text)
    assert isinstance(message, Malformed)
    assert message.why.endswith(".")


def test_the_reason_quotes_nothing_of_the_message() -> None:
    message = decode(changed(START, "start", mediaFormat={"encoding": ["my secret"], "sampleRate": 8000}))
    assert isinstance(message, Malformed)
    assert "start" in message.why
    assert "secret" not in message.why


def test_size_of_audio() -> None:
    fits = decode(changed(MEDIA, "media", payload=base64.b64encode(bytes(MAX_AUDIO)).decode()))
    assert isinstance(fits, Media)
    assert len(fits.media.payload) == MAX_AUDIO
    for size in (MAX_AUDIO + 1, 1_000_000):
        message = decode(changed(MEDIA, "media", payload=base64.b64encode(bytes(size)).decode()))
        assert isinstance(message, Malformed)
        assert "large" in message.why


def test_ten_thousand_damaged_messages_raise_nothing() -> None:
    chance = random.Random(1)
    texts = [json.dumps(START), json.dumps(MEDIA), '{"event":"mark","mark":{"name":"a"}}']
    kinds = set()
    for _ in range(10_000):
        text = bytearray(chance.choice(texts).encode())
        for _ in range(chance.randrange(1, 6)):
            place = chance.randrange(len(text))
            match chance.randrange(3):
                case 0:
                    text[place] = chance.randrange(256)
                case 1:
                    del text[place : place + chance.randrange(1, 30)]
                case _:
                    text[place:place] = bytes([chance.randrange(256)]) * chance.randrange(1, 4)
            if not text:
                break
        kinds.add(type(decode(bytes(text))))
    assert kinds >= {Malformed, Unknown, Media, Start, Mark}


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner))
)
def test_any_json_in_any_place_raises_nothing(value: object) -> None:
    for message in (
        {"event": value},
        {**MEDIA, "media": value},
        {**START, "start": value},
        {"event": "dtmf", "dtmf": value},
    ):
        assert decode(json.dumps(message)) is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [("encoding", "audio/x-l16"), ("sampleRate", 16000), ("sampleRate", "16000"), ("channels", 2)],
)
def test_another_format_is_refused_with_a_reason(field: str, value: object) -> None:
    start = decode(changed(START, "start", mediaFormat={**START["start"]["mediaFormat"], field: value}))
    assert isinstance(start, Start)
    why = refuse(start)
    assert why is not None
    assert str(value) in why


def test_our_messages_have_exactly_the_documented_fields() -> None:
    # An extra field makes Twilio warn with 31951.
    audio = base64.b64encode(FRAME).decode()
    assert json.loads(encode_media(SID, FRAME)) == {"event": "media", "streamSid": SID, "media": {"payload": audio}}
    assert json.loads(encode_mark(SID, '3:"a"\n')) == {"event": "mark", "streamSid": SID, "mark": {"name": '3:"a"\n'}}
    assert json.loads(encode_clear(SID)) == {"event": "clear", "streamSid": SID}


@given(st.binary(max_size=500), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_audio_survives_the_wire(audio: bytes, sid: str) -> None:
    sent = json.loads(encode_media(sid, audio))
    assert sent["streamSid"] == sid
    assert base64.b64decode(sent["media"]["payload"]) == audio
