"""What a caller of the emulator hears, says and loses: the parts without a socket, driven by the time they are told."""

import math
from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.base.errors import Invalid
from hookflash.emulator.earpiece import LONGEST_QUEUE, Earpiece, Track
from hookflash.emulator.impairments import PERFECT, Impairments, Link
from hookflash.emulator.person import AfterBot, At, HangUp, OverBot, Person, Press, Say, Script, Sound, Then
from hookflash.emulator.relay_talk import Talk
from hookflash.emulator.sound import RATE, SILENCE, Toneless, decode, encode, is_audible, read_wav, resample, stereo_wav
from hookflash.emulator.twiml import BadTwiml
from hookflash.emulator.voice_twiml import parse_document, read_document

TONE = b"\x10\x90" * 80  # one loud frame of 20 ms


# --- the earpiece -------------------------------------------------------------------------------------------------


def test_sound_plays_in_order_and_marks_are_reached_behind_it() -> None:
    ear = Earpiece()
    ear.play(TONE * 5, 1.0)
    assert not ear.mark("a", 1.0)
    ear.play(TONE * 5, 1.0)
    assert not ear.mark("b", 1.0)
    assert ear.due(1.09) == []
    assert ear.due(1.1) == ["a"]
    assert ear.queued(1.15) == pytest.approx(0.05)
    assert ear.due(1.3) == ["b"]
    [(start, end)] = ear.heard.spans
    assert (start, round(end, 3)) == (1.0, 1.2)
    assert ear.mark("c", 1.4)


def test_clear_echoes_every_outstanding_mark_and_keeps_what_was_heard() -> None:
    ear = Earpiece()
    ear.play(TONE * 50, 0.0)
    ear.mark("a", 0.0)
    ear.play(TONE * 50, 0.0)
    ear.mark("b", 0.0)
    assert ear.clear(0.25) == ["a", "b"]
    assert ear.heard.seconds == pytest.approx(0.25)
    assert ear.queued(0.25) == 0
    assert ear.due(5.0) == []
    ear.play(TONE, 0.3)
    assert ear.clear(0.4) == []
    assert [round(start, 3) for start, _ in ear.heard.spans] == [0.0, 0.3]


def test_ten_minutes_are_queued_and_no_more() -> None:
    ear = Earpiece()
    assert ear.play(SILENCE * int(LONGEST_QUEUE / 0.02 + 1), 0.0)
    assert not ear.play(TONE, 0.0)
    assert ear.play(TONE, 1.0)


def test_silence_is_no_speech() -> None:
    ear = Earpiece()
    ear.play(SILENCE * 10, 0.0)
    assert ear.began is None
    ear.play(TONE * 10, 0.0)
    ear.play(SILENCE * 10, 0.0)
    assert ear.began == pytest.approx(0.2)
    assert ear.quiet_from == pytest.approx(0.4)
    assert not ear.is_speaking(0.1)
    assert ear.is_speaking(0.3)
    assert not ear.is_speaking(0.5)


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 40), st.booleans()), max_size=20))
def test_nothing_is_heard_twice_or_before_it_was_sent(sent: list[tuple[float, int, bool]]) -> None:
    ear, now, total, names, echoed = Earpiece(), 0.0, 0.0, 0, []
    for wait, frames, clears in sent:
        now += wait
        ear.play(TONE * frames, now)
        total += frames * 0.02
        echoed += [str(names)] if ear.mark(str(names), now) else []
        names += 1
        if clears:
            echoed += ear.due(now) + ear.clear(now)
    echoed += ear.due(now + total + 1)
    assert echoed == [str(n) for n in range(names)]
    assert ear.heard.seconds <= total + 0.001
    assert all(a[1] <= b[0] + 0.001 for a, b in zip(ear.heard.spans, ear.heard.spans[1:], strict=False))


# --- sound --------------------------------------------------------------------------------------------------------


def test_mu_law_goes_there_and_back() -> None:
    samples = np.arange(-32000, 32000, 37, dtype=np.int16)
    back = decode(encode(samples)).astype(int)
    assert np.all(np.abs(back - samples) <= np.maximum(8, np.abs(samples.astype(int)) // 16))
    every = bytes(set(range(256)) - {0x7F})  # both zeros sound the same
    assert encode(decode(every)) == every
    assert is_audible(TONE)
    assert not is_audible(SILENCE)


def test_a_wav_file_of_any_rate_becomes_telephone_sound() -> None:
    t = np.arange(22050) / 22050
    wide = (np.sin(2 * math.pi * 440 * t) * 8000 + np.sin(2 * math.pi * 9000 * t) * 8000).astype(np.int16)
    narrow = resample(wide, 22050).astype(float)
    assert len(narrow) == RATE
    spectrum = np.abs(np.fft.rfft(narrow))
    assert int(spectrum.argmax()) == 440
    assert np.sort(spectrum)[-2] < spectrum.max() / 20
    assert read_wav(stereo_wav(decode(TONE), decode(TONE))) == TONE
    with pytest.raises(Invalid):
        read_wav(b"ID3 not a wav")


def test_a_track_is_laid_out_over_time() -> None:
    track = Track()
    track.add(0.1, TONE)
    track.add(0.12, TONE)
    track.add(0.5, TONE)
    assert len(track.pieces) == 2
    samples = track.samples(0.0, 0.6)
    assert len(samples) == 0.6 * RATE
    assert not samples[:800].any()
    assert samples[800:1120].all()
    assert np.array_equal(track.samples(0.51, 0.6)[:80], decode(TONE)[80:])


# --- the person ---------------------------------------------------------------------------------------------------


def run(script: Script, ear: Earpiece, until: float) -> list[tuple[float, str]]:
    """What the person does, and when."""
    person, did = Person(script, Toneless(10)), []
    for tick in range(1, round(until / 0.02) + 1):
        now = round(tick * 0.02, 3)
        moment = person.tick(now, ear)
        if moment.began:
            did.append((now, f"begins {moment.began.text}"))
        if moment.ended:
            did.append((now, f"ends {moment.ended.text}"))
        if moment.digit:
            did.append((now, moment.digit))
        if moment.hung_up:
            did.append((now, "hangs up"))
            break
    return did


def test_a_person_speaks_at_their_time_and_after_the_bot() -> None:
    ear = Earpiece()
    ear.play(TONE * 50, 1.0)
    acts = (Say("hi", At(0.5)), Say("then", AfterBot(0.5)), Press("1w2", Then(0.1)), HangUp(Then(1.0)))
    assert run(Script(acts), ear, 10) == [
        (0.5, "begins hi"),
        (0.68, "ends hi"),
        (2.5, "begins then"),
        (2.88, "ends then"),
        (2.98, "1"),
        (3.58, "2"),
        (4.58, "hangs up"),
    ]


def test_an_interruption_comes_while_the_bot_speaks() -> None:
    ear = Earpiece()
    ear.play(TONE * 100, 1.0)
    assert run(Script((Sound(TONE, "stop", OverBot(0.5)),)), ear, 4)[0] == (1.5, "begins stop")
    assert run(Script((Say("stop", OverBot(5)),)), ear, 4) == []


def test_a_microphone_goes_dead_and_a_call_ends_early() -> None:
    person = Person(Script((Sound(TONE * 5, when=At(0)),), Impairments(muted_from=0.05, hang_up_at=0.2)), Toneless())
    moments = [person.tick(0.02 * n, Earpiece()) for n in range(1, 11)]
    assert [m.frame == TONE for m in moments[:5]] == [True, True, False, False, False]
    assert [m.hung_up for m in moments] == [False] * 9 + [True]


def test_a_script_is_json_too() -> None:
    script = Script((Say("hi", At(1)), Sound(TONE), Press("1", Then(2)), HangUp(OverBot())), Impairments(loss=0.1))
    assert msgspec.json.decode(msgspec.json.encode(script), type=Script) == script
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"impairments": {"loss": 2}}', type=Script)


# --- the line -----------------------------------------------------------------------------------------------------


def test_a_perfect_line_changes_nothing() -> None:
    link = Link[int](PERFECT, Random(1))
    assert [(link.carry(n, n * 0.02), link.arrived(n * 0.02)) for n in range(50)] == [(True, [n]) for n in range(50)]


def test_a_bad_line_loses_delays_and_doubles() -> None:
    link = Link[int](Impairments(loss=0.2, duplicates=0.2, jitter=0.1, gap=(1.0, 2.0)), Random(1))
    came: list[int] = []
    for n in range(500):
        link.carry(n, n * 0.02)
        arrived = link.arrived(n * 0.02)
        assert all(n - each <= 5 for each in arrived)
        came += arrived
    assert came != sorted(came)
    assert len(set(came)) < len(came)
    assert not set(range(50, 100)) & set(came)
    assert 50 + 0.1 * 450 < link.lost < 50 + 0.3 * 450


# --- ConversationRelay's talk -------------------------------------------------------------------------------------


def test_tokens_are_spoken_one_after_the_other_and_cut_between_words() -> None:
    talk = Talk(10)
    talk.add("one two ", 0.0, last=False)
    talk.add("three four", 0.0, last=True)
    assert not talk.finished(1.7)
    [heard] = talk.interrupt(1.1)
    assert (heard.text, heard.began, heard.interrupted) == ("one two", 0.0, True)
    assert not talk.is_speaking(1.2)
    talk.add("again.", 2.0, last=True)
    [heard] = talk.finished(2.6)
    assert (heard.text, heard.began, heard.interrupted) == ("again.", 2.0, False)


def test_an_utterance_waits_for_its_last_token() -> None:
    talk = Talk(10)
    talk.add("one", 0.0, last=False)
    assert talk.finished(5.0) == []
    talk.add("", 5.0, last=True)
    assert [h.text for h in talk.finished(5.0)] == ["one"]
    assert talk.add("", 6.0, last=True) is None
    assert talk.finished(9.0) == []


def test_what_is_preemptible_gives_way_and_what_is_not_interruptible_does_not() -> None:
    talk = Talk(10)
    talk.add("please wait a moment", 0.0, last=True, preemptible=True)
    assert [h.text for h in talk.preempt(0.7)] == ["please"]
    talk.add("the answer", 0.7, last=True, interruptible=False)
    assert talk.preempt(0.8) == []
    assert not talk.can_interrupt(0.9)


# --- TwiML --------------------------------------------------------------------------------------------------------


def test_twiml_is_read_with_its_warnings() -> None:
    document = parse_document(
        b"<Response><Say voice='man' tone='x'>Hi <break time='1s'/>there</Say><Connect><Stream url='wss://a'>"
        b"<Parameter name='a' value='b'/></Stream><Room>r</Room></Connect><Message>no</Message></Response>"
    )
    say, connect = document.verbs
    assert (say.text, say.get("voice")) == ("Hi there", "man")
    assert connect.all("Stream")[0].all("Parameter")[0].get("value") == "b"
    assert len(document.warnings) == 3
    assert read_document(204, "", b"", "").verbs == ()


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("text/xml", b"", 11200),
        ("application/json", b"{}", 12300),
        ("text/xml", b"<Response>", 12100),
        ("text/xml", b"<Other/>", 12100),
        ("text/xml", b"<!DOCTYPE a><Response/>", 12100),
        ("text/xml", b"<Response>" + b" " * 70_000 + b"</Response>", 11750),
    ],
)
def test_what_is_no_twiml_is_refused(kind: str, body: bytes, code: int) -> None:
    with pytest.raises(BadTwiml) as caught:
        read_document(200, kind, body, "http://a")
    assert caught.value.code == code
