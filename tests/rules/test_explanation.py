"""What differs between two configurations, and when a prompt that was built again is the one of then."""

import msgspec
import pytest

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.difference import Difference, differences, merged
from hookflash.assistant.prompt import prompt_hash, prompt_revision, system_prompt
from hookflash.assistant.voice import VoiceConfig
from hookflash.conversation.turn import LineTraits
from hookflash.insight.explanation import Kept, Weighed, checks, gates, rebuilt
from hookflash.knowledge.passage import Passage

CONFIG = AssistantConfig(company="Acme", personality="Brief.")
SMS = LineTraits("sms", 1600, 3)
PASSAGE = Passage(7, "src", "doc", "Returns", ("Shoes",), "Within 30 days.", None, 0.8, 0.8, 3.0)
WEIGHED = Weighed(7, "doc", "Returns", ("Shoes",), None, 0.8, 0.8, 3.0, True, "Within 30 days.", "there")


def test_differences_are_named_by_their_paths() -> None:
    after = CONFIG.model_copy(
        update={
            "company": "Bolt",
            "voice": VoiceConfig(way="relay"),
            "templates": {"en": {"greeting": "Hi!"}},
            "sources": ("src_1",),
        }
    )
    found = differences(CONFIG, after)
    assert Difference("company", "Acme", "Bolt") in found
    assert Difference("sources", [], ["src_1"]) in found
    assert Difference("templates.en", None, {"greeting": "Hi!"}) in found
    assert {each.field for each in found} <= {"company", "voice.way", "templates.en", "sources"}
    assert differences(after, after) == ()


def test_what_was_published_meanwhile_is_taken_into_the_working_copy() -> None:
    draft = CONFIG.model_copy(update={"role": "You are Acme."})
    published = CONFIG.model_copy(update={"sources": ("src_1",)})
    both = merged(CONFIG, published, draft)
    assert (both.role, both.sources) == ("You are Acme.", ("src_1",))


@pytest.mark.parametrize(("tools", "hidden", "known"), [(False, 0, ()), (True, 1, ()), (False, 0, ("Has a dog.",))])
def test_a_prompt_is_proven_by_its_hash(tools: bool, hidden: int, known: tuple[str, ...]) -> None:
    made = system_prompt(CONFIG, [PASSAGE], "en", SMS, tools=tools, hidden=hidden, about=known)
    kept = Kept(prompt_hash(made), prompt_revision(CONFIG), "openai:x", known)
    found = rebuilt(kept, CONFIG, [WEIGHED], {7: PASSAGE}, "en", SMS)
    assert (found.proof, found.system) == ("same", made)
    changed = msgspec.structs.replace(PASSAGE, title="Old returns")
    assert rebuilt(kept, CONFIG, [WEIGHED], {7: changed}, "en", SMS).proof == "differs"
    gone = rebuilt(kept, CONFIG, [WEIGHED], {}, "en", SMS)
    assert (gone.proof, gone.why[:2]) == ("differs", "1 ")


def test_what_cannot_be_proven_is_not_claimed() -> None:
    now = prompt_revision(CONFIG)
    assert rebuilt(Kept(None, now, "template"), CONFIG, [], {}, "en", SMS).proof == "none"
    assert rebuilt(Kept(None, now, "curated (ans_1)"), CONFIG, [], {}, "en", SMS).proof == "none"
    assert rebuilt(Kept(None, now, "openai:x"), CONFIG, [], {}, "en", SMS).proof == "unproven"
    other = rebuilt(Kept("0" * 32, "other", "openai:x"), CONFIG, [WEIGHED], {7: PASSAGE}, "en", SMS)
    assert (other.proof, other.system) == ("unproven", None)


def test_gates_are_told_in_their_order_and_checks_are_what_is_left() -> None:
    asked = gates([["rate", "Pass", None]], [["rating", "Reply", "rated 4 of 5"]])
    assert [(each.at, each.gate, each.why) for each in asked] == [
        ("arrival", "rate", None),
        ("turn", "rating", "rated 4 of 5"),
    ]
    assert checks({"sources": [], "stages": {}, "grounding": 0.9, "known": ["x"]}) == {"grounding": 0.9}
