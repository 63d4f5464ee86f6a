"""The opt-out words that Twilio acts on by itself, and what it answers to them."""

from enum import StrEnum


class OptOut(StrEnum):
    """What a word asks for, spelled as in the webhook's OptOutType."""

    STOP = "STOP"
    START = "START"
    HELP = "HELP"


_WORDS = {
    **dict.fromkeys(("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE"), OptOut.STOP),
    **dict.fromkeys(("START", "YES", "UNSTOP"), OptOut.START),
    **dict.fromkeys(("HELP", "INFO"), OptOut.HELP),
}
# The network, not Twilio, watches toll-free numbers, and it knows fewer words.
_TOLL_FREE_WORDS = {"STOP": OptOut.STOP, "START": OptOut.START, "UNSTOP": OptOut.START}
_TOLL_FREE_AREAS = frozenset(("800", "833", "844", "855", "866", "877", "888"))

ANSWERS = {
    OptOut.STOP: (
        "You have successfully been unsubscribed. You will not receive any more messages from this number. "
        "Reply START to resubscribe."
    ),
    OptOut.START: (
        "You have successfully been re-subscribed to messages from this number. Reply HELP for help. "
        "Reply STOP to unsubscribe. Msg&Data Rates May Apply."
    ),
    OptOut.HELP: "Reply STOP to unsubscribe. Msg&Data Rates May Apply.",
}


def read_word(body: str, sender: str) -> OptOut | None:
    """What the whole message asks for, when sent to `sender` (one of our numbers); any case, space around it ignored."""
    toll_free = sender.startswith("+1") and sender[2:5] in _TOLL_FREE_AREAS
    return (_TOLL_FREE_WORDS if toll_free else _WORDS).get(body.strip().upper())
