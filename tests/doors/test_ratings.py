"""How it was, asked by text: who is asked and when, and which number is a rating and which is none."""

from dataclasses import replace
from pathlib import Path

import pytest

from hookflash.assistant.assistant import AskRating, AssistantConfig
from hookflash.assistant.tool import ToolAnswer, ToolRefused
from hookflash.base.errors import Conflict, NotFound
from hookflash.conversation.turn import Turn
from hookflash.insight.rating_store import ask
from tests.doors.textline import OURS, TextLine, text_line

ASKS = AssistantConfig(name="Test", company="Acme", ask_rating=AskRating(enabled=True, after_minutes=10))
QUESTION = "How did I do? Please reply with a number from 1 (bad) to 5 (very good)."


class Notebook:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, turn: Turn) -> str:
        self.asked.append(turn.words)
        return f"answer to {turn.words}"


async def say(line: TextLine, words: str) -> str:
    """The last words that come back."""
    line.phone().text(OURS, words)
    reply = await line.phone().wait_reply()
    await line.at_rest()
    return reply.body


async def quiet(line: TextLine, minutes: int) -> None:
    """As if so much time had passed; who is then to be asked is asked."""
    await line.rows(f"update sessions set rate_at = rate_at - interval '{minutes} minutes' returning 1")
    await line.core.ratings.ask_due()
    await line.at_rest()


async def test_a_number_after_the_question_is_a_rating_and_any_other_number_is_none(
    database_url: str, fresh_directory: Path
) -> None:
    notebook = Notebook()
    async with text_line(database_url, fresh_directory, answer=notebook, assistant_config=ASKS) as line:
        await say(line, "do you have boots?")
        assert await say(line, "4") == "answer to 4", "nobody has asked for a number"
        await quiet(line, 9)
        assert not await line.rows("select 1 from messages where kind = 'rating'")
        await quiet(line, 2)
        (question,) = await line.rows("select * from messages where kind = 'rating'")
        assert (question["body"], question["direction"], question["segments"]) == (QUESTION, "out", 1)
        assert question["state"] in ("queued", "sent", "delivered")
        assert (await line.phone().wait_reply()).body == QUESTION
        assert await say(line, "4/5") == "Thank you for your rating!"
        assert notebook.asked == ["do you have boots?", "4"], "the model is not asked about it"
        (rated,) = await line.rows("select * from feedback")
        assert (rated["score"], rated["source"], rated["message_id"]) == (0.75, "rating", question["id"])
        assert rated["turn_id"] == question["turn_id"]
        assert await say(line, "3") == "answer to 3", "it was rated already"
        await quiet(line, 60)
        assert len(await line.rows("select 1 from messages where kind = 'rating'")) == 1, "once a session"
        assert len(await line.rows("select 1 from feedback")) == 1


async def test_a_number_that_answers_something_said_since_is_no_rating(
    database_url: str, fresh_directory: Path
) -> None:
    notebook = Notebook()
    async with text_line(database_url, fresh_directory, answer=notebook, assistant_config=ASKS) as line:
        await say(line, "do you have boots?")
        await quiet(line, 11)
        assert (await line.phone().wait_reply()).body == QUESTION
        assert await say(line, "which size fits?") == "answer to which size fits?"
        assert await say(line, "5") == "answer to 5"
        assert not await line.rows("select 1 from feedback")


async def test_an_old_question_is_not_waited_for(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, assistant_config=ASKS) as line:
        await say(line, "do you have boots?")
        await quiet(line, 11)
        assert (await line.phone().wait_reply()).body == QUESTION
        await line.rows("update messages set at = at - interval '25 hours' returning 1")
        assert await say(line, "5") == "You said: 5"
        assert not await line.rows("select 1 from feedback")


async def test_who_waits_for_a_person_is_not_asked_and_neither_is_anybody_without_the_option(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, assistant_config=ASKS) as line:
        await say(line, "I want a person")
        assert [row["rate_at"] for row in await line.rows("select rate_at from sessions")] == [None]
        await line.rows("update sessions set rate_at = now() returning 1")
        await quiet(line, 1)
        assert not await line.rows("select 1 from messages where kind = 'rating'")
    async with text_line(database_url, fresh_directory) as line:
        await say(line, "do you have boots?")
        assert [row["rate_at"] for row in await line.rows("select rate_at from sessions")] == [None]


async def test_what_is_said_of_the_service_in_words_is_kept_by_a_tool(database_url: str, fresh_directory: Path) -> None:
    lines: list[TextLine] = []

    async def answer(turn: Turn) -> str:
        tool = lines[0].core.workbench.builtins["give_feedback"]
        kept = await tool.run(turn, {"rating": 5, "comment": "That was quick!"}, "key")
        assert isinstance(kept, ToolAnswer)
        nobody = replace(turn, session=replace(turn.session, id="sess_none"))
        refused = await tool.run(nobody, {"rating": 5}, "key")
        assert refused == ToolRefused("There is no such session.")
        return "Thank you!"

    async with text_line(database_url, fresh_directory, answer=answer) as line:
        lines.append(line)
        assert await say(line, "that was quick!") == "Thank you!"
        (kept,) = await line.rows("select score, text, source, message_id from feedback")
        assert kept == {"score": 1.0, "text": "That was quick!", "source": "tool", "message_id": None}


async def test_whoever_runs_the_line_may_have_it_asked_now_and_once(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        await say(line, "do you have boots?")
        (session,) = await line.rows("select id from sessions")
        now = line.core.clock.now()
        async with line.core.db.tenant(line.account_id) as conn:
            asked = await ask(conn, line.account_id, session["id"], now)
            with pytest.raises(Conflict):
                await ask(conn, line.account_id, session["id"], now)
            with pytest.raises(NotFound):
                await ask(conn, line.account_id, "sess_none", now)
        await line.at_rest()
        assert (await line.phone().wait_reply()).body == QUESTION
        assert await say(line, "2") == "Thank you for your rating!"
        (rated,) = await line.rows("select score, message_id from feedback")
        assert rated == {"score": 0.25, "message_id": asked.message_id}
