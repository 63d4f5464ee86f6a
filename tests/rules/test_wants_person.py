"""Who asks for a person, and who only speaks of one."""

import pytest

from hookflash.assistant.wants_person import wants_person


@pytest.mark.parametrize(
    "said",
    [
        "let me speak to a person",
        "Can I talk to a real human being, please?",
        "I want to speak with your manager about my order",
        "please connect me to an agent",
        "put me through to customer service",
        "give me somebody",
        "operator",
        "i need a human",
        "I want a person to call me, not a machine",
        "I need somebody to help me, please",
        "A representative, please.",
        "quiero hablar con una persona",
        "je voudrais parler à un conseiller",
        "ich möchte mit einem Mitarbeiter sprechen",
        "quero falar com um atendente",
        "mujhe kisi insaan se baat karni hai",
        "मुझे किसी इंसान से बात करनी है",
    ],
)
def test_a_person_is_asked_for(said: str) -> None:
    assert wants_person(said)


@pytest.mark.parametrize(
    "said",
    [
        "how long do I have to return shoes",
        "does another person have to be there for the delivery",
        "I don't want to talk to a person",
        "how many people can sleep in the tent",
        "is the agent's fee included",
        "do i need someone over 18 to sign for the parcel",
        "I need somebody's size for a gift",
        "when does your staff training begin",
        "",
    ],
)
def test_nobody_is_asked_for(said: str) -> None:
    assert not wants_person(said)
