"""`hookflash ask`: a question without a telephone."""

from dataclasses import replace
from typing import Annotated

import msgspec
import typer

from hookflash.assistant.assistant import AssistantConfig
from hookflash.base.errors import Invalid
from hookflash.base.ids import new_id
from hookflash.base.phone import Address, Kind
from hookflash.channels.integration import line_traits
from hookflash.cli import screen
from hookflash.cli.meant import account_meant, assistant_meant
from hookflash.cli.numbers import CUSTOMER, NUMBER
from hookflash.cli.opening import read_settings, run
from hookflash.cli.turn_view import facts, passage_rows, passages, speech
from hookflash.cli.turns_store import Taken, headings_of
from hookflash.conversation.message import Direction, Message
from hookflash.conversation.take_turn import TextLine, take_turn
from hookflash.conversation.turn import Contact, Ending, Session, Turn
from hookflash.insight.trial import stopped
from hookflash.settings import Settings
from hookflash.twilio.segments import count
from hookflash.wiring import Core, open_core

app = typer.Typer(add_completion=False)


@app.command(epilog='Example: hookflash ask "Can I return a gift?" --json')
def ask(
    question: Annotated[str, typer.Argument(help="What a customer would write.")],
    assistant: Annotated[str | None, typer.Option(help="The assistant (name or id), where there are several.")] = None,
    draft: Annotated[bool, typer.Option("--draft", help="Ask the working copy, which is not published.")] = False,
    account: Annotated[str | None, typer.Option(help="The account, where there are several.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print question, passages and answer as JSON.")] = False,
) -> None:
    """Search and answer as for a customer's text, and show the passages with their scores. Nothing is stored or sent.

    Ends with 0 also when the documents do not hold the answer, and with 1 when no model could answer.
    """
    if not question.strip():
        raise Invalid("The question is empty.")
    ending, headings = run(_ask, read_settings(), question, assistant, account, draft)
    if as_json:
        screen.as_json(msgspec.to_builtins(ending))
    else:
        _show(question, ending, headings)
    if ending.kind == "failed":
        raise typer.Exit(1)


async def _ask(
    settings: Settings, question: str, wanted: str | None, account: str | None, draft: bool
) -> tuple[Ending, dict[int, tuple[str, ...]]]:
    async with open_core(settings) as core:
        account_id = await account_meant(core, account)
        found = await assistant_meant(core, account_id, wanted)

        config = found.draft if draft else found.config
        turn = _turn(core, account_id, found.id, found.revision, config, question)
        record = await take_turn(turn, gates=core.guard.gates, answer=core.answer, checks=(), line=TextLine())
        ending = record.ending or replace(stopped(record, question), kind="refused")
        async with core.db.tenant(account_id) as conn:
            return ending, await headings_of(conn, [source.chunk_id for source in ending.sources])


def _turn(core: Core, account_id: str, assistant_id: str, revision: int, config: AssistantConfig, words: str) -> Turn:
    """A turn of nobody, by SMS."""
    now = core.clock.now()
    return Turn(
        id=new_id("turn"),
        account_id=account_id,
        integration_id="",
        contact=Contact(new_id("cont"), None, None),
        # What a tool does is real, a kept answer is another customer's, and a question here is only a try.
        session=Session(
            new_id("sess"),
            assistant_id,
            revision,
            config.model_copy(update={"tools": (), "cache": False}).to_dict(),
            now,
        ),
        said=(Message(new_id("msg"), Direction.IN, Address(Kind.SMS, CUSTOMER), words, now),),
        history=(),
        line=line_traits(Address(Kind.SMS, NUMBER), config.segment_budget),
        now=now,
    )


def _show(question: str, ending: Ending, headings: dict[int, tuple[str, ...]]) -> None:
    console = screen.out()
    sources = msgspec.to_builtins(ending.sources)
    console.print(passages(passage_rows(sources, headings)))
    console.print(speech("answer", "us", ending.text))
    record = {
        "grounding": ending.grounding,
        "stages": ending.stages,
        "degraded": list(ending.degraded),
        "segments": [count(ending.text).number],
    }
    micros = ending.usage.model_micros + ending.usage.embedding_micros
    console.print(
        facts(
            Taken(
                id="",
                said=question,
                question=ending.question,
                answered=ending.text,
                kind=ending.kind,
                confidence=ending.confidence,
                model=ending.model,
                language=ending.language,
                record=record,
                cost_micros=micros,
            )
        )
    )
    if ending.kind == "refused":
        screen.next_step("see what is let through, and how well:", "hookflash eval safety")
    elif not ending.sources:
        screen.next_step("nothing bears on it; take documents in:", "hookflash ingest PATH")
    elif ending.kind == "failed":
        screen.next_step("see which link is broken:", "hookflash doctor")
    else:
        screen.next_step("try it as a customer:", "hookflash text")
