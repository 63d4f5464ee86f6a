"""An S3-compatible store on this machine: puts, gets and deletes objects, in memory, and minds the credentials."""

import re
from urllib.parse import unquote

from hookflash.testing.vendor import Receive, Scope, Send, lifespan, read

_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/")


class S3Server:
    """An ASGI application; `objects` are content type and bytes by `bucket/key`. While `closed` it refuses everybody."""

    def __init__(self, bucket: str, *, access_key_id: str) -> None:
        self.bucket = bucket
        self.access_key_id = access_key_id
        self.objects: dict[str, tuple[str, bytes]] = {}
        self.closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await lifespan(scope, receive, send):
            return
        request = await read(scope, receive)
        path = unquote(request.path).lstrip("/")
        signed = _SIGNED.match(request.headers.get("authorization", ""))
        if self.closed:
            await _answer(send, 403, "AccessDenied")
        elif signed is None or signed[1] != self.access_key_id:
            await _answer(send, 403, "InvalidAccessKeyId")
        elif path.partition("/")[0] != self.bucket:
            await _answer(send, 404, "NoSuchBucket")
        elif scope["method"] == "PUT":
            chunked = "aws-chunked" in request.headers.get("content-encoding", "")
            content = _without_chunks(request.raw) if chunked else request.raw
            self.objects[path] = (request.headers.get("content-type", ""), content)
            await _answer(send, 200)
        elif scope["method"] == "DELETE":
            self.objects.pop(path, None)
            await _answer(send, 204)
        elif path not in self.objects:
            await _answer(send, 404, "NoSuchKey")
        else:
            content_type, content = self.objects[path]
            await _answer(send, 200, body=content, content_type=content_type)


def _without_chunks(raw: bytes) -> bytes:
    """The content of a body in chunks, each behind its length in hexadecimal digits."""
    content = b""
    while raw:
        head, _, rest = raw.partition(b"\r\n")
        length = int(head.partition(b";")[0] or b"0", 16)
        if not length:
            break
        content, raw = content + rest[:length], rest[length + 2 :]
    return content


async def _answer(send: Send, status: int, code: str = "", *, body: bytes = b"", content_type: str = "") -> None:
    if code:
        content_type = "application/xml"
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    if content_type:
        headers.append((b"content-type", content_type.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
