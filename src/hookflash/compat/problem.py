"""Errors as Twilio's REST API tells them: a code, a sentence, where to read more, the status."""

import math
from collections.abc import Mapping

import msgspec

from hookflash.base.errors import (
    Conflict,
    Forbidden,
    HookflashError,
    Invalid,
    NotFound,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
)

# Our kind of error: Twilio's status and code.
_CODES: Mapping[type[HookflashError], tuple[int, int]] = {
    Invalid: (400, 20001),
    Unauthenticated: (401, 20003),
    Forbidden: (403, 20006),
    NotFound: (404, 20404),
    Conflict: (409, 20409),
    TooLarge: (413, 20413),
    TooMany: (429, 20429),
    Unavailable: (503, 20503),
}
_OURS = (500, 20500)


def told(error: HookflashError, path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer. `path` is what was asked for."""
    status, code = next((found for kind, found in _CODES.items() if isinstance(error, kind)), _OURS)
    headers: dict[str, str] = {}
    match error:
        case Invalid(field=field) if field:
            message = f"Invalid parameter {field}: {error.message}"
        case NotFound():
            message = f"The requested resource {path} was not found"
        case TooMany():
            message = error.message
            headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
        case Unauthenticated():
            message = f"Authenticate: {error.message}"
            headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
        case _:
            message = error.message if status != _OURS[0] else "The server cannot do this as it is set up."
    body = {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return status, headers, msgspec.json.encode(body)
