"""How Twilio says no: its error codes, their sentences and the HTTP status that each travels with."""

from typing import Any

from hookflash.base.errors import HookflashError

SENTENCES = {
    11200: "HTTP retrieval failure",
    11205: "HTTP connection failure",
    11215: "HTTP too many redirects",
    11243: "HTTP retry policy is invalid",
    11750: "TwiML response body too large",
    12100: "Document parse failure",
    12200: "Schema validation warning",
    12300: "Invalid Content-Type",
    13224: "Dial: Twilio does not support calling this number or the number is invalid",
    14101: 'Invalid "To" attribute',
    14103: "Invalid Body",
    20001: "Invalid parameter",
    20003: "Authenticate",
    20004: "Method not allowed",
    20009: "Cannot delete this resource before it is complete",
    20404: "The requested resource was not found",
    20429: "Too Many Requests",
    20500: "Internal Server Error",
    21201: "No 'To' number is specified",
    21205: "Url is not valid",
    21210: "The source phone number provided is not yet verified for your account",
    21211: "Invalid 'To' Phone Number",
    21212: "Invalid 'From' Number",
    21213: "No 'From' number is specified",
    21220: "Call is not in the expected state",
    21266: "'To' and 'From' numbers cannot be the same",
    21402: "Invalid Url",
    21403: "Invalid Method",
    21421: "PhoneNumber is invalid",
    21422: "PhoneNumber is not available",
    21603: "A 'From' or 'MessagingServiceSid' parameter is required to send a message",
    21604: "A 'To' phone number is required",
    21606: "The 'From' phone number provided is not a valid message-capable Twilio phone number for this destination/account",
    21609: "The 'StatusCallback' URL is not a valid URL",
    21610: "Attempt to send to unsubscribed recipient",
    21617: "The concatenated message body exceeds the 1600 character limit",
    21619: "A text message body, media URL or Content SID must be specified",
    21620: "Invalid media URL(s)",
    21623: "Number of media files exceeds allowed limit",
    21655: "The ContentSid is Invalid",
    21656: "The ContentVariables Parameter is invalid",
    21659: "'From' is not a Twilio phone number or Short Code country mismatch",
    21701: "The Messaging Service does not exist",
    21703: "The Messaging Service does not have a phone number available to send a message",
    21710: "Phone Number Already Exists in Messaging Service",
    21711: "Phone Number is not associated to the specified Messaging Service",
    21712: "Phone Number is associated with another Messaging Service",
    21910: "Invalid 'From' and 'To' pair. 'From' and 'To' should be of the same channel",
    30409: "This message cannot be canceled",
    35111: "SendAt timestamp is missing",
    35114: "Scheduling does not support this timestamp",
    35118: "MessagingServiceSid is required to schedule a message",
    60200: "Invalid parameter",
    60202: "Max check attempts reached",
    60203: "Max send attempts reached",
    63007: "Twilio could not find a Channel with the specified From address",
    63016: (
        "Failed to send freeform message because you are outside the allowed window. "
        "If you are using WhatsApp, please use a Message Template."
    ),
    63019: "Media failed to download",
}

_STATUSES = {
    20003: 401,
    20004: 405,
    20009: 409,
    20404: 404,
    20429: 429,
    60202: 429,
    60203: 429,
    20500: 500,
    21710: 409,
    21712: 409,
}


class Refusal(HookflashError):
    """A request that Twilio would not perform; `code` is Twilio's, `status` the HTTP status (400 unless known otherwise)."""

    def __init__(self, code: int, detail: str | None = None) -> None:
        super().__init__(detail or SENTENCES[code])
        self.code = code
        self.status = _STATUSES.get(code, 400)

    def body(self) -> dict[str, Any]:
        """The JSON that the client sees."""
        return {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
