"""The sample shop by text, with nothing scripted: real documents, real search, the extractive model."""

from pathlib import Path

from tests.doors.textline import OURS, text_line


async def test_a_question_a_follow_up_and_one_that_the_documents_do_not_answer(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, answer=None) as line:
        await line.teach()
        phone = line.phone()
        for said in ("How long do I have to return a jacket?", "and for shoes?", "Do you rent out helicopters?"):
            phone.text(OURS, said)
            await phone.wait_reply(30)
            await line.at_rest()
        jacket, shoes, helicopters = (m.body for m in phone.inbox)
        assert "60 days" in jacket
        assert "30 days" in shoes
        assert "could not find" in helicopters
        turns = await line.rows("select kind, confidence, question, record, cost_micros from turns order by at")
        assert [t["kind"] for t in turns] == ["answered", "answered", "unknown"]
        assert "shoes" in turns[1]["question"]
        assert "return" in turns[1]["question"]
        cited = [s for s in turns[0]["record"]["sources"] if s["cited"]]
        assert cited
        assert all(s["title"] for s in cited)
        assert turns[0]["cost_micros"] > 0
        tickets = await line.rows("select reason, summary from tickets")
        assert [t["summary"] for t in tickets] == ["Do you rent out helicopters?"]
