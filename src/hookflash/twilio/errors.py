"""Twilio's error codes: what each asks us to do about the message, the contact or the sender."""

from dataclasses import dataclass
from enum import StrEnum


class Treatment(StrEnum):
    """What to do about an error code."""

    RETRY = "retry"
    MARK_CONTACT = "mark_contact"
    STOP_SENDER = "stop_sender"
    CHANGE_CONTENT = "change_content"
    THROTTLE = "throttle"
    OPTED_OUT = "opted_out"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Advice:
    """The treatment of one code and a sentence for the operator.

    `tries`: how often the code may be met before the treatment applies (before that: try again later).
    """

    treatment: Treatment
    sentence: str
    tries: int = 1


_SENTENCES: dict[Treatment, dict[int, str]] = {
    Treatment.RETRY: {
        11200: "Twilio could not fetch a document from us.",
        20429: "Twilio refused the request as one too many; it was not processed.",
        20500: "Twilio had an internal error.",
        30008: "The carrier gave no reason.",
        30410: "The carrier did not answer in time.",
        30500: "Twilio had an internal error.",
        63012: "The channel had an internal error.",
        63018: "The channel's rate limit was exceeded.",
    },
    Treatment.MARK_CONTACT: {
        21211: "The number is not valid.",
        21214: "The number cannot be reached.",
        21608: "A trial account may only write to numbers that were verified.",
        21614: "The number is not a mobile number.",
        21635: "The number is a landline.",
        30003: "The handset is switched off or out of reach.",
        30005: "The number is unknown or no longer in use.",
        30006: "The number is a landline, or its carrier cannot be reached.",
        63003: "The channel does not know the recipient.",
        63015: "The recipient has not joined the WhatsApp sandbox.",
        63024: "The recipient is not valid on this channel.",
        63032: "WhatsApp does not allow this message to this person.",
        63049: "Meta chose not to deliver this marketing message to this person.",
    },
    Treatment.OPTED_OUT: {
        21610: "The recipient has opted out of messages from this sender.",
        63033: "The recipient has opted out on this channel.",
    },
    Treatment.STOP_SENDER: {
        10001: "The Twilio account is not active.",
        20003: "Twilio refused the credentials.",
        21212: "The sender's number is not valid.",
        21408: "The account may not send to the recipient's region; an operator must allow it at Twilio.",
        21606: "The sender cannot send messages to this destination.",
        21659: "The sender is not a Twilio number of this account.",
        21660: "The sender belongs to another account.",
        21661: "The sender cannot send SMS.",
        21701: "The Messaging Service does not exist.",
        21703: "The Messaging Service has no number to send with.",
        21705: "The Messaging Service is not valid.",
        30002: "The Twilio account is suspended.",
        30032: "The toll-free number has not been verified.",
        30034: "The number is not registered for application-to-person messages (A2P 10DLC).",
        30035: "The number's registration is still being configured.",
        30037: "Outbound messaging is disabled for this account.",
        63001: "The channel refused the sender's authentication.",
        63007: "The sender is not a channel of this account.",
        63020: "The WhatsApp sender's Business Manager account has a problem.",
        63051: "The WhatsApp Business Account is locked.",
        63112: "Meta disabled the account of this WhatsApp sender.",
    },
    Treatment.CHANGE_CONTENT: {
        21602: "The message is empty.",
        21617: "The text is over 1,600 characters.",
        21619: "The message is empty.",
        21620: "A media URL is not valid.",
        21623: "There are too many media files.",
        21655: "The content template does not exist.",
        21656: "The content template's variables are not valid.",
        30007: "A carrier filtered the message as unwanted.",
        30019: "The content is too large for the carrier.",
        30038: "The text was filtered because it looks like a one-time password.",
        63005: "The channel did not accept the content.",
        63013: "The content breaks the channel's policy.",
        63016: "More than 24 hours since the person's last message: WhatsApp needs an approved template.",
        63019: "The media could not be downloaded.",
        63021: "The channel finds the content invalid.",
        63027: "The template does not exist in this language.",
        63028: "The template needs another number of parameters.",
        63030: "The channel does not support a parameter of the message.",
        63041: "The template is paused.",
        63042: "The template is disabled.",
    },
    Treatment.THROTTLE: {
        21611: "The sender's queue at Twilio is full.",
        30001: "The sender's queue at Twilio is full.",
        30022: "The campaign's rate limit (A2P 10DLC) was exceeded.",
        30023: "The campaign's daily limit (A2P 10DLC) was reached.",
        30027: "T-Mobile's daily limit for the campaign was reached.",
        30454: "The account's limit on messages was reached.",
        63017: "The rate limit was exceeded.",
        63038: "The account's daily limit on messages was reached.",
    },
}
# A handset that is off today may be on tomorrow.
_TRIES = {30003: 3}

_ADVICE = {
    code: Advice(treatment, sentence, _TRIES.get(code, 1))
    for treatment, sentences in _SENTENCES.items()
    for code, sentence in sentences.items()
}


def treatment(code: int) -> Advice:
    """What Twilio's error `code` asks for; UNKNOWN for a code that says nothing about what to do."""
    return _ADVICE.get(code) or Advice(Treatment.UNKNOWN, f"Twilio reported error {code}.")
