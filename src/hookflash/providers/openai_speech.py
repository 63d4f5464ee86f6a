"""Voice notes into words through OpenAI's transcription endpoint, or any server that is compatible with it."""

import httpx2

from hookflash.base.errors import Invalid, Misconfigured, Unavailable
from hookflash.base.secret import Secret

HOME = "https://api.openai.com/v1"

_SUFFIX = {
    "audio/ogg": "ogg",
    "application/ogg": "ogg",
    "audio/opus": "ogg",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/mp4": "m4a",
    "audio/aac": "m4a",
    "audio/amr": "amr",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/webm": "webm",
    "audio/flac": "flac",
}


class OpenAITranscriber:
    """`POST {base_url}/audio/transcriptions`; one attempt within `timeout` seconds."""

    def __init__(self, key: Secret, base_url: str = HOME, model: str | None = None, timeout: float = 30.0) -> None:
        self._url = f"{base_url.rstrip('/')}/audio/transcriptions"
        self._key = key
        # OpenAI takes whisper-1 away on 2027-02-26; compatible servers know it by no other name.
        self._model = model or ("gpt-transcribe" if base_url.rstrip("/") == HOME else "whisper-1")
        self._timeout = httpx2.Timeout(timeout, connect=5.0)

    async def transcribe(self, data: bytes, content_type: str, language: str | None) -> str:
        kind = content_type.partition(";")[0].strip().lower()
        form = {"model": self._model, "response_format": "json"}
        if language:
            form["language"] = language.partition("-")[0]
        try:
            async with httpx2.AsyncClient(timeout=self._timeout) as client:
                answer = await client.post(
                    self._url,
                    headers={"Authorization": f"Bearer {self._key.get_secret_value()}"},
                    data=form,
                    files={"file": (f"note.{_SUFFIX.get(kind, 'bin')}", data, kind)},
                )
        except httpx2.HTTPError as error:
            raise Unavailable("The transcription service cannot be reached.") from error
        if answer.status_code == 401:
            raise Misconfigured(
                "The transcription service refused OPENAI_API_KEY.",
                hint="make a new key, or see whose OPENAI_BASE_URL is",
            )
        if answer.status_code in (400, 415, 422):
            raise Invalid("The transcription service cannot read this recording.", field="media")
        if answer.status_code != 200:
            raise Unavailable(f"The transcription service answered {answer.status_code}.")
        try:
            words = answer.json()["text"]
        except (ValueError, KeyError, TypeError):
            raise Unavailable("The transcription service's answer cannot be read.") from None
        return str(words).strip()
