"""A real call without a network: spoken questions, a recogniser, the shop's documents, a voice; one answer interrupted."""

from pathlib import Path

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.voice import VoiceConfig
from hookflash.base.clock import SystemClock
from hookflash.emulator.person import AfterBot, HangUp, OverBot, Script, Sound
from hookflash.providers.pocketsphinx import PocketsphinxStt
from hookflash.testing.speech import PACE, ScriptedTts
from hookflash.testing.wait import until
from tests.doors.test_stream import Studio
from tests.doors.textline import OURS, text_line

CLIPS = Path(__file__).parent.parent / "data"
# Synthetic speech, mu-law at 8 kHz.
QUESTIONS = {
    "question1.ulaw": "How long do I have to return a jacket?",
    "question2.ulaw": "And for shoes?",
    "question3.ulaw": "Do you ship to Canada?",
}
SHOP = AssistantConfig(
    name="Shop",
    company="Alder & Pine",
    models=("extractive",),
    voice=VoiceConfig(way="stream", greeting="Hello.", hints=tuple(QUESTIONS.values())),
)
_BLOCK = int(8000 / PACE) // 2 * 2


def spelled(audio: bytes) -> str:
    """The text whose sound, by the scripted voice, this is: it has a tone of its own for each character."""
    codes = [audio[at] - 0x10 for at in range(0, len(audio) - 1, _BLOCK)]
    return "".join(chr(code if code >= 0x20 else code + 0x60) for code in codes)


async def test_three_questions_are_heard_answered_from_the_documents_and_one_answer_is_cut_off(
    database_url: str, fresh_directory: Path
) -> None:
    studio = Studio(PocketsphinxStt(), ScriptedTts(SystemClock()))
    first, second, third = ((CLIPS / name).read_bytes() for name in QUESTIONS)
    script = Script(
        (
            Sound(first, when=AfterBot(0.3)),
            Sound(second, when=AfterBot(0.3)),
            Sound(third, when=OverBot(1.0)),
            HangUp(AfterBot(0.5)),
        )
    )
    async with text_line(
        database_url, fresh_directory, answer=None, studio=studio, assistant_config=SHOP, workers=0
    ) as line:
        await line.teach()
        call = line.phone().call(OURS, script)
        await call.ended(60)
        await until(lambda: line.rows("select 1 from calls where state = 'ended' and measures ? 'status'"))
        turns = await line.rows("select said, answered, record from turns order by (record ->> 'number')::int")
        assert [turn["said"] for turn in turns] == [
            "how long do i have to return a jacket",
            "and for shoes",
            "do you ship to canada",
        ]
        jacket, shoes, canada = turns
        assert "60 days" in jacket["answered"]
        assert "30 days" in shoes["record"]["whole"]
        assert "18" in canada["answered"]
        assert [turn["record"]["interrupted"] for turn in turns] == [False, True, False]
        assert all(any(source["cited"] for source in turn["record"]["sources"]) for turn in turns)

        # What is kept is what was heard: all of it, and of the one that was cut off its beginning.
        (cut,) = call.record.of("clear")
        pieces = call.record.ear.heard.pieces
        before = spelled(b"".join(audio for start, audio in pieces if start < cut.at))
        after = spelled(b"".join(audio for start, audio in pieces if start >= cut.at))
        spoken = {turn["said"]: turn["answered"].replace(" ", "") for turn in turns}
        complete = "Hello." + spoken[jacket["said"]]
        assert before.replace(" ", "").startswith(complete)
        assert after.replace(" ", "") == spoken[canada["said"]]
        between = before.replace(" ", "").removeprefix(complete)
        kept = spoken[shoes["said"]]
        assert 0 < len(kept) < len(shoes["record"]["whole"])
        assert shoes["record"]["whole"].replace(" ", "").startswith(kept)
        assert between.startswith(kept[:-1])
        assert len(between) - len(kept) < 12
        bodies = await line.rows("select body from messages where direction = 'out' order by seq")
        assert [row["body"] for row in bodies] == [turn["answered"] for turn in turns]
        (row,) = await line.rows("select measures, summary from calls")
        assert row["measures"]["interruptions"] == 1
        assert row["measures"]["malformed"] == 0
        assert "do you ship to canada" in row["summary"]
