"""A company learns: a wrong answer is corrected, a colleague's answer is kept, and the next customer is told what is right."""

from pathlib import Path

from hookflash.assistant.assistant import AskRating, AssistantConfig
from hookflash.handoff import store as tickets
from hookflash.handoff.ticket import State
from hookflash.insight import feedback_store
from hookflash.insight.explain_store import explain
from hookflash.knowledge import curated_store
from tests.doors.textline import OURS, TextLine, text_line

ADA, BOB = "+15550111222", "+15550111333"
ASKS = AssistantConfig(
    name="Test", company="Acme", cache=False, ask_rating=AskRating(enabled=True), confidence_threshold=0.3
)


async def ask(line: TextLine, number: str, words: str) -> str:
    phone = line.phone(number)
    phone.text(OURS, words)
    reply = await phone.wait_reply()
    await line.at_rest()
    return reply.body


async def approve(line: TextLine, answer_id: str | None) -> None:
    assert answer_id is not None
    async with line.core.db.tenant(line.account_id) as conn:
        await curated_store.update_answer(conn, answer_id, {"state": "approved"}, None, line.core.clock.now())


async def test_what_was_wrong_once_is_right_the_next_time(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, answer=None, assistant_config=ASKS, burst_ms=0) as line:
        core, account_id = line.core, line.account_id
        await line.teach_text("hours", "# Hours\n\nOn Saturdays we open at nine.")
        assert "nine" in await ask(line, ADA, "When do you open on Saturdays?")
        # She is asked how it was, and did not like it.
        await line.rows("update sessions set rate_at = now() - interval '1 minute' returning 1")
        await core.ratings.ask_due()
        await line.at_rest()
        assert "from 1 (bad) to 5 (very good)" in (await line.phone(ADA).wait_reply()).body
        assert await ask(line, ADA, "1") == "Thank you for your rating!"
        (rated,) = await line.rows("select turn_id, score from feedback")
        assert rated["score"] == 0.0
        async with core.db.tenant(account_id) as conn:
            corrected = await feedback_store.correct(
                conn, account_id, rated["turn_id"], "On Saturdays we open at ten.", core.clock.now()
            )
        assert "nine" in corrected.wrong
        assert "nine" in await ask(line, BOB, "When do you open on Saturdays?"), "a proposal is given to nobody"
        await approve(line, corrected.answer_id)
        assert await ask(line, BOB, "when do you open on saturdays") == "On Saturdays we open at ten."
        # What nobody knew a colleague answers, and from then on everybody knows it.
        await ask(line, BOB, "Do you repair zips of other brands?")
        (ticket,) = await line.rows("select id from tickets")
        async with core.db.tenant(account_id) as conn:
            await tickets.set_state(conn, ticket["id"], State.CLOSED, core.clock.now())
            closed = await tickets.propose_answer(
                conn, account_id, ticket["id"], "Yes, of all brands.", None, core.clock.now()
            )
            again = await tickets.propose_answer(conn, account_id, ticket["id"], "No.", None, core.clock.now())
        assert again.answer_id == closed.answer_id, "a ticket proposes one answer"
        await approve(line, closed.answer_id)
        assert await ask(line, ADA, "Do you repair zips of other brands?") == "Yes, of all brands."
        (last,) = await line.rows("select sid from messages where direction = 'out' order by seq desc limit 1")
        async with core.db.tenant(account_id) as conn:
            why = await explain(conn, last["sid"])
        assert (why.model, why.prompt.proof, why.confidence) == (f"curated ({closed.answer_id})", "none", 1.0)
