"""Why an answer is as it is: everything that is known of how it came to be, put together from what was kept of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.guard import cleaned
from hookflash.assistant.prompt import prompt_hash, prompt_revision, system_prompt
from hookflash.conversation.turn import LineTraits
from hookflash.knowledge.passage import Passage

# What the record of a turn holds and this page shows by a name of its own; the rest are checks.
_SHOWN = frozenset(
    {
        "verdicts",
        "sources",
        "usage",
        "degraded",
        "stages",
        "tools",
        "prompt",
        "known",
        "text_micros",
        "segments",
        "call",
        "number",
        "whole",
        "interrupted",
        "measures",
    }
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one gate said: Pass, Reply, Silence or HandOff, and why. `at` is arrival, or turn."""

    at: Literal["arrival", "turn"]
    gate: str
    verdict: str
    why: str | None


@dataclass(frozen=True, slots=True)
class Weighed:
    """A passage that the answer was given. `text` is None when it is `gone`: changed or deleted since."""

    chunk_id: int
    document_id: str
    title: str
    headings: tuple[str, ...]
    url: str | None
    score: float
    dense: float | None
    keyword: float | None
    cited: bool
    text: str | None
    state: Literal["there", "gone", "elsewhere"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """The system prompt, built again, before personal data was masked. `proof`: the hash that was kept says that it is the one
    (`same`), or not (`differs`). `unproven`: nothing was kept. `none`: no model was asked. `why` says it in words.
    """

    proof: Literal["same", "differs", "unproven", "none"]
    why: str
    system: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """One turn, and why it ended as it did. Money in millionths of a US dollar, `stages` in milliseconds.

    `known` is what the model was told of the person. `checks` is what else was recorded (grounding, moderation ...), as it was
    recorded. `call` is set for speech.
    """

    message_id: str | None
    turn_id: str | None
    contact_id: str
    session_id: str | None
    assistant_id: str | None
    revision: int | None
    experiment_id: str | None
    variant: str | None
    at: datetime
    said: str
    question: str | None
    answered: str
    kind: str
    why: str | None
    language: str | None
    gates: tuple[Asked, ...]
    passages: tuple[Weighed, ...]
    tools: tuple[dict[str, Any], ...]
    known: tuple[str, ...]
    prompt: Prompt
    prompt_revision: str | None
    checks: dict[str, Any]
    confidence: float | None
    threshold: float | None
    models: tuple[str, ...]
    model: str | None
    degraded: tuple[str, ...]
    cost_micros: int
    text_micros: int
    usage: dict[str, int]
    stages: dict[str, float]
    call: dict[str, Any] | None
    feedback: tuple[dict[str, Any], ...] = field(default=())
    corrections: tuple[dict[str, Any], ...] = field(default=())


def gates(arrived: Sequence[Sequence[str | None]], taken: Sequence[Sequence[str | None]]) -> tuple[Asked, ...]:
    """Those of the message's arrival, then those of the turn, each as (gate, verdict, why)."""
    first = [Asked("arrival", str(gate), str(verdict), why) for gate, verdict, why in arrived]
    return (*first, *(Asked("turn", str(gate), str(verdict), why) for gate, verdict, why in taken))


def weighed(sources: Sequence[Mapping[str, Any]], found: Mapping[int, Passage]) -> tuple[Weighed, ...]:
    """The passages of a record, with their texts where they are still there. A changed document has other passages."""
    made = []
    for source in sources:
        passage = found.get(source["chunk_id"])
        away: Literal["gone", "elsewhere"] = "elsewhere" if source["chunk_id"] < 0 else "gone"
        made.append(
            Weighed(
                chunk_id=source["chunk_id"],
                document_id=source["document_id"],
                title=source["title"],
                headings=passage.headings if passage else (),
                url=source.get("url"),
                score=source["score"],
                dense=source["dense"],
                keyword=source["keyword"],
                cited=source["cited"],
                text=passage.text if passage else None,
                state="there" if passage else away,
            )
        )
    return tuple(made)


@dataclass(frozen=True, slots=True)
class Kept:
    """What was kept of a turn to build its prompt again: the prompt's hash, the wording's, the model, what it was told."""

    prompt: str | None
    prompt_revision: str | None
    model: str | None
    known: tuple[str, ...] = ()


def rebuilt(
    kept: Kept,
    config: AssistantConfig,
    passages: Sequence[Weighed],
    found: Mapping[int, Passage],
    language: str,
    line: LineTraits,
) -> Prompt:
    """The system prompt as it is made today from the configuration of then, the passages and what was known."""
    if kept.prompt is None and not _asked_a_model(kept.model):
        return Prompt("none", "No model was asked.", None)
    if kept.prompt_revision != prompt_revision(config):
        return Prompt("unproven", "The program's own wording was another one, so it is not built again.", None)
    given: Sequence[Passage] = [found[each.chunk_id] for each in passages if each.chunk_id in found]
    if config.safety.injection.clean:
        given, _ = cleaned(given)
    built = [
        system_prompt(config, given, language, line, tools=tools, hidden=hidden, about=kept.known)
        for tools in (False, True)
        for hidden in (0, 1)
    ]
    if kept.prompt is None:
        return Prompt("unproven", "Nothing was kept to compare it with.", built[0])
    for system in built:
        if prompt_hash(system) == kept.prompt:
            return Prompt("same", "It is, letter for letter, the one that was made then.", system)
    lost = sum(each.chunk_id not in found for each in passages)
    if lost:
        why = f"{lost} of its passages changed or went since, so this is not the one that was made then."
    elif not passages:
        why = "Which passages it held was not kept, so this is not all of it."
    else:
        why = "Something in it was other then, such as a document's title."
    return Prompt("differs", why, built[0])


def checks(record: Mapping[str, Any]) -> dict[str, Any]:
    """What was recorded and has no place of its own."""
    return {name: value for name, value in record.items() if name not in _SHOWN}


def call(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Of speech: the call, which turn of it, all that was to be said, whether it was interrupted, its measures."""
    names = ("call", "number", "whole", "interrupted", "measures")
    return {name: record.get(name) for name in names} if "call" in record else None


def _asked_a_model(model: str | None) -> bool:
    return model is not None and model != "template" and not model.startswith(("cache (", "curated ("))
