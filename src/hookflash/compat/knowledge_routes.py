"""Knowledge under Twilio's names: in its AI Assistants API, in its Knowledge API, and where files are handed in."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile

from hookflash.assistant import store as assistants_store
from hookflash.base.errors import Invalid, NotFound, TooLarge
from hookflash.base.paging import Page
from hookflash.compat import kept_store, shapes
from hookflash.compat import knowledge_store as store
from hookflash.compat.assistant_routes import join_source, sources_of
from hookflash.compat.door_routes import built, entered, given, here, listed, nothing, router, shown
from hookflash.compat.names import ASSISTANTS, KNOWLEDGE, Thing, policy_of
from hookflash.compat.paging import Asked
from hookflash.db.pool import Connection
from hookflash.knowledge import routes as ours
from hookflash.knowledge import store as stored
from hookflash.rest.caller import Caller

UPLOADS = "/compat/twilio/knowledge-upload"

Reading = Annotated[Caller, entered("knowledge:read")]
Writing = Annotated[Caller, entered("knowledge:write")]

_THEIRS = {
    "kind": "type",
    "web": "knowledge_source_details",
    "index": "knowledge_source_details",
    "text": "knowledge_source_details.content",
    "who": "policy.policy_details",
}
_TEXT = "text"


def of_assistants() -> APIRouter:
    """The routes of the AI Assistants API."""
    routes = router()

    async def of_assistant(their_id: str, request: Request, caller: Reading) -> Response:
        """What an assistant answers from."""
        return await _list(request, caller, ASSISTANTS, their_id)

    routes.add_api_route("/v1/Assistants/{their_id}/Knowledge", of_assistant, methods=["GET"])
    _add(routes, ASSISTANTS)
    return routes


def of_knowledge() -> APIRouter:
    """The routes of the Knowledge API, over the same things."""
    routes = router(KNOWLEDGE)
    _add(routes, KNOWLEDGE)
    return routes


def _add(routes: APIRouter, under: str) -> None:
    async def list_all(request: Request, caller: Reading) -> Response:
        """All of the account, oldest first, or those of one assistant."""
        return await _list(request, caller, under, request.query_params.get("AssistantId"), ("AssistantId",))

    async def create(request: Request, caller: Writing) -> Response:
        """It is attached to an assistant at once, if one is named."""
        body = await given(request, shapes.KnowledgeGiven)
        return await _create(request, caller, under, body)

    async def get(their_id: str, request: Request, caller: Reading) -> Response:
        async with caller.transaction() as conn:
            found = await stored.get_source(conn, Thing.KNOWLEDGE.ours(their_id))
            (answer,) = await store.shown(conn, here(request, caller), [found], under)
        return shown(answer)

    async def update(their_id: str, request: Request, caller: Writing) -> Response:
        """What is given changes; a changed text or site is read again."""
        body = await given(request, shapes.KnowledgeChanges)
        return await _update(request, caller, under, Thing.KNOWLEDGE.ours(their_id), body)

    async def delete(their_id: str, caller: Writing) -> Response:
        """No answer rests on it from now on."""
        await ours.delete_source(Thing.KNOWLEDGE.ours(their_id), caller)
        return nothing()

    async def status(their_id: str, request: Request, caller: Reading) -> Response:
        async with caller.transaction() as conn:
            return shown(await store.status_of(conn, here(request, caller), Thing.KNOWLEDGE.ours(their_id)))

    async def chunks(their_id: str, request: Request, caller: Reading) -> Response:
        at, our_id = here(request, caller), Thing.KNOWLEDGE.ours(their_id)

        async def read(conn: Connection, asked: Asked) -> Page[shapes.Chunk]:
            return await store.chunks_of(conn, at, our_id, asked.size, asked.cursor)

        return await listed(request, caller, "chunks", read)

    one = "/v1/Knowledge/{their_id}"
    routes.add_api_route("/v1/Knowledge", list_all, methods=["GET"])
    routes.add_api_route("/v1/Knowledge", create, methods=["POST"])
    routes.add_api_route(one, get, methods=["GET"])
    routes.add_api_route(one, update, methods=["PUT"])
    routes.add_api_route(one, delete, methods=["DELETE"])
    routes.add_api_route(f"{one}/Status", status, methods=["GET"])
    routes.add_api_route(f"{one}/Chunks", chunks, methods=["GET"])


uploads = router(UPLOADS)


@uploads.post("/v1/Knowledge/Upload")
async def upload(request: Request, caller: Writing) -> Response:
    """A form with name, type File, perhaps description and assistant_id, and the file as `knowledge`."""
    form = await request.form(max_files=1, max_fields=20)
    file = next((part for part in form.values() if isinstance(part, UploadFile)), None)
    if file is None:
        raise Invalid("a file is expected", field="knowledge")
    fields = {name: part for name, part in form.items() if isinstance(part, str)}
    body = built(shapes.KnowledgeGiven, {"type": "File", **fields})
    if body.type != "File":
        raise Invalid("only File can be uploaded", field="type")
    data = await file.read()
    most = request.app.state.shelves.max_upload_bytes
    if len(data) > most:
        raise TooLarge(f"The file is larger than {most:,} bytes.")
    if not data:
        raise Invalid("the file is empty", field="knowledge")
    name = " ".join((file.filename or body.name or "file").replace("\0", "").split())[: ours.MAX_NAME]
    return await _create(request, caller, ASSISTANTS, body, (name, file.content_type, data))


async def _list(
    request: Request, caller: Caller, under: str, of: str | None, filters: tuple[str, ...] = ()
) -> Response:
    at = here(request, caller)

    async def read(conn: Connection, asked: Asked) -> Page[shapes.Knowledge]:
        if of:
            found = await assistants_store.get(conn, Thing.ASSISTANT.ours(of))
            # At most as many as can be named in a configuration, or all: one page.
            return Page(await store.knowledge_of(conn, at, await sources_of(conn, found), under), None)
        page = await stored.list_sources(conn, asked.size, asked.cursor)
        return Page(await store.shown(conn, at, page.items, under), page.cursor)

    return await listed(request, caller, "knowledge", read, filters)


async def _create(
    request: Request,
    caller: Caller,
    under: str,
    body: shapes.KnowledgeGiven,
    file: tuple[str, str | None, bytes] | None = None,
) -> Response:
    for field in ("name", "type"):
        if getattr(body, field) is None:
            raise Invalid("Field required", field=field)
    if body.type not in store.TYPES:
        raise Invalid(f"one of {', '.join(store.TYPES)} is expected", field="type")
    kind = store.TYPES[body.type]
    if kind == "database" and body.embedding_model is None:
        raise Invalid("a Database needs the model that its vectors were made with", field="embedding_model")
    if kind != "database" and body.embedding_model is not None:
        raise Invalid("only a Database has it", field="embedding_model")
    details = body.knowledge_source_details or {}
    form = built(ours.NewSource, {**_fields(body), "kind": kind, **_place(kind, details)}, _THEIRS)
    text = _content(details) if kind == "text" else None
    if kind == "text" and text is None:
        raise Invalid("Field required", field="knowledge_source_details.content")
    if kind == "database":
        # An index that lies elsewhere is asked before anything is made, and no transaction waits for that.
        made = await ours.create_source(form, request, caller)
        async with caller.transaction() as conn:
            return shown(await _made(conn, request, caller, under, made.id, body, details), 201)
    async with caller.transaction() as conn:
        inner = caller.within(conn)
        made = await ours.create_source(form, request, inner)
        if text is not None:
            await ours.put_text(made.id, ours.NewText(name=_TEXT, text=text), inner, Response())
        if file is not None:
            await ours.take_in(inner, made.id, file[0], file[1] or "application/octet-stream", file[2], Response())
        return shown(await _made(conn, request, caller, under, made.id, body, details), 201)


async def _made(
    conn: Connection,
    request: Request,
    caller: Caller,
    under: str,
    our_id: str,
    body: shapes.KnowledgeGiven,
    details: dict[str, Any],
) -> shapes.Knowledge:
    kept = {"details": _without_secrets(details), **_policy(body)}
    await kept_store.keep(conn, caller.account_id, our_id, kept)
    if body.assistant_id is not None:
        try:
            await join_source(conn, caller, Thing.ASSISTANT.ours(body.assistant_id), our_id)
        except NotFound:
            raise Invalid("there is no such assistant", field="assistant_id") from None
    (answer,) = await store.knowledge_of(conn, here(request, caller), [our_id], under)
    return answer


async def _update(request: Request, caller: Caller, under: str, our_id: str, body: shapes.KnowledgeGiven) -> Response:
    async with caller.transaction() as conn:
        before = await stored.get_source(conn, our_id)
        if body.policy is not None and body.policy.id not in (None, policy_of(our_id)):
            raise Invalid("this is no policy of this knowledge", field="policy.id")
        if body.type is not None and store.TYPES.get(body.type) != before.kind:
            raise Invalid("the type of knowledge stays what it is", field="type")
        if body.embedding_model is not None:
            raise Invalid("the model stays what it is", field="embedding_model")
        details = body.knowledge_source_details
        if details is not None and before.kind == "database":
            raise Invalid("where the index lies stays what it is", field="knowledge_source_details")
        inner = caller.within(conn)
        changes = {**_fields(body), **(_place(before.kind, {**before.config, **details}) if details else {})}
        await ours.update_source(our_id, built(ours.SourceChanges, changes, _THEIRS), request, inner)
        text = _content(details) if details and before.kind == "text" else None
        if text is not None:
            await ours.put_text(our_id, ours.NewText(name=_TEXT, text=text), inner, Response())
        kept = (await kept_store.kept(conn, [our_id])).get(our_id, {}) | _policy(body)
        if details is not None:
            kept["details"] = details
        await kept_store.keep(conn, caller.account_id, our_id, kept)
        (answer,) = await store.knowledge_of(conn, here(request, caller), [our_id], under)
    return shown(answer)


def _fields(body: shapes.KnowledgeGiven) -> dict[str, Any]:
    given = {"name": body.name, "description": body.description, "embedding_model": body.embedding_model}
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if body.policy is not None:
        fields["who"] = body.policy.policy_details
    return fields


def _policy(body: shapes.KnowledgeGiven) -> dict[str, Any]:
    """What we have no field for."""
    if body.policy is None:
        return {}
    return {"policy": body.policy.model_dump(include={"name", "description", "type"}, exclude_none=True)}


def _place(kind: str, details: dict[str, Any]) -> dict[str, Any]:
    """Where a site or an index lies. Raises Invalid."""
    if kind == "web":
        url = details.get("source") or details.get("url")
        if not isinstance(url, str):
            raise Invalid("the address of the site is expected", field="knowledge_source_details.source")
        site = {name: details[name] for name in ("depth", "pages", "every_hours") if details.get(name) is not None}
        return {"web": {"url": url, **site}}
    if kind == "database":
        return {"index": details}
    return {}


def _content(details: dict[str, Any]) -> str | None:
    text = details.get("content")
    if text is not None and not (isinstance(text, str) and 0 < len(text) <= ours.MAX_TEXT):
        raise Invalid(
            f"a text of up to {ours.MAX_TEXT:,} characters is expected", field="knowledge_source_details.content"
        )
    return text


def _without_secrets(details: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in details.items() if name != "secrets"}
