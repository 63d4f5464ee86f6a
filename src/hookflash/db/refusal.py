"""What it means when PostgreSQL does not let us in, in words that carry no password."""

import psycopg

from hookflash.base.errors import HookflashError, Misconfigured, Unavailable

_SETTING = "check HOOKFLASH_DATABASE_URL"
_EXAMPLE = "it looks like postgresql://user:password@host:5432/database"

# libpq gives no code for a refused connection, only the server's words.
_REFUSALS = {
    "password authentication failed": "The database refuses the user or the password.",
    "no password supplied": "The database wants a password.",
    "Peer authentication failed": "The database refuses the user.",
    "no pg_hba.conf entry": "The database does not accept this user from this machine.",
    'FATAL:  role "': "The database has no such user.",
    'FATAL:  database "': "There is no such database on the server.",
}


def explained(error: psycopg.Error) -> HookflashError:
    """Misconfigured when a setting is wrong, Unavailable when trying again may help."""
    if isinstance(error, psycopg.ProgrammingError):
        return Misconfigured("HOOKFLASH_DATABASE_URL is not a PostgreSQL connection URL.", hint=_EXAMPLE)
    said = str(error)
    for words, sentence in _REFUSALS.items():
        if words in said:
            return Misconfigured(sentence, hint=_SETTING)
    return Unavailable("The database does not answer.", hint=_SETTING)
