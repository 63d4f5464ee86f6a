"""How we prove to a tool's server who we are; as a whole it is a secret, and sealed."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, field_validator

_Text = Annotated[str, Field(min_length=1, max_length=4_000)]
# What may stand in a header's value.
_HeaderText = Annotated[str, Field(max_length=4_000, pattern=r"^[!-~]([ -~]*[!-~])?$")]
_HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,60}$")]
# Headers that are ours to set, or that say how the request is carried.
_OURS = frozenset({"accept", "connection", "host", "idempotency-key", "te", "trailer", "transfer-encoding", "upgrade"})
_OUR_PREFIXES = ("content-", "x-hookflash-", "x-identity", "x-session-id", "mcp-", "proxy-")


def _web_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if not whole or parts.username is not None or parts.fragment:
        raise ValueError(
            "an address such as https://erp.example.com/orders is expected, with no name or password in it"
        )
    return value


WebUrl = Annotated[str, Field(max_length=2_000, pattern=r"^https?://[!-~]+$"), AfterValidator(_web_url)]


class _Auth(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bearer(_Auth):
    """`Authorization: Bearer <token>`."""

    type: Literal["bearer"]
    token: _HeaderText


class Basic(_Auth):
    """HTTP Basic."""

    type: Literal["basic"]
    username: _Text
    password: str = Field(max_length=4_000)


class HeaderAuth(_Auth):
    """A header of your own."""

    type: Literal["header"]
    name: _HeaderName
    value: _HeaderText

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if name.lower() in _OURS or name.lower().startswith(_OUR_PREFIXES):
            raise ValueError(f"the header {name} is not yours to set")
        return name


class OAuthPassword(_Auth):
    """OAuth 2, password grant; tokens are kept until they expire."""

    type: Literal["oauth_password"]
    token_url: WebUrl
    client_id: str = Field(default="", max_length=400)
    client_secret: str = Field(default="", max_length=4_000)
    username: _Text
    password: _Text
    scope: str = Field(default="", max_length=400)


class OAuthClient(_Auth):
    """OAuth 2, client credentials; tokens are kept until they expire."""

    type: Literal["oauth_client"]
    token_url: WebUrl
    client_id: _Text
    client_secret: _Text
    scope: str = Field(default="", max_length=400)


OAuth = OAuthPassword | OAuthClient
ToolAuth = Annotated[Bearer | Basic | HeaderAuth | OAuthPassword | OAuthClient, Field(discriminator="type")]
READ: TypeAdapter[ToolAuth] = TypeAdapter(ToolAuth)
