"""Knowledge, over HTTP: sources, their documents, what was made of those, and the search over all."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from hookflash.base.errors import Invalid, Misconfigured, TooLarge
from hookflash.base.paging import Page
from hookflash.db.pool import Connection
from hookflash.knowledge import store
from hookflash.knowledge.entry import NewIndex, NewSite
from hookflash.knowledge.external import IndexPlace
from hookflash.knowledge.external_store import Elsewhere
from hookflash.knowledge.extract import CONTENT_TYPES
from hookflash.knowledge.library_store import KnowledgeBase
from hookflash.knowledge.passage import Embedder, Found
from hookflash.knowledge.scope_store import set_policy
from hookflash.knowledge.search import MAX_QUESTION, Limits
from hookflash.knowledge.source import ChunkRow, Document
from hookflash.knowledge.web_store import queue_crawl, set_site
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.problems import answers
from hookflash.rest.resource import ListAsked, Listing, listed, router
from hookflash.rest.storable import FreeObject

sources = router("/v1/sources", "knowledge")
documents = router("/v1/documents", "knowledge")
search = router("/v1/search", "knowledge")

SourceId = Annotated[str, Path(max_length=64, examples=["src_06bq3v0d5k8n2r7t1w4y9zac3e"])]
DocumentId = Annotated[str, Path(max_length=64, examples=["doc_06bq3v0d5k8n2r7t1w4y9zac3e"])]
Reading = Annotated[Caller, allowed("knowledge:read")]
Writing = Annotated[Caller, allowed("knowledge:write")]
MAX_NAME = 300
MAX_TEXT = 500_000
TOKENS_PER_PASSAGE = 250

_DESCRIPTION = (
    "What is in it: an assistant with several sources decides by this which to ask, and how to put the question."
)
_FINAL = "Whether its best passage is given as the answer, word for word, when it is certain."
_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file as it is: Markdown, CSV, JSON Lines, HTML, PDF, DOCX or plain text, known by its name's "
        "ending or by its Content-Type.",
        "content": {
            kind: {"schema": {} if kind == "application/json" else {"type": "string", "format": "binary"}}
            for kind in ("application/octet-stream", *sorted(CONTENT_TYPES))
        },
    }
}


@dataclass(frozen=True, slots=True)
class Shelves:
    """What the routes of knowledge need besides the database; it lies in `app.state.shelves`."""

    knowledge: KnowledgeBase
    embedder: Callable[[str], Embedder]
    default_embedder: str
    max_upload_bytes: int
    elsewhere: Elsewhere

    def check_embedder(self, name: str) -> None:
        """Raises Invalid for an embedder that this server does not have, or is not set up for."""
        try:
            self.embedder(name)
        except Misconfigured:
            raise Invalid(
                "There is no such embedding model here, or it is not set up.",
                field="embedding_model",
                hint=f"the server's own is {self.default_embedder}",
            ) from None


class Viewers(BaseModel):
    """Who may see it; empty: everybody."""

    model_config = ConfigDict(extra="forbid")

    channels: Annotated[list[Literal["sms", "whatsapp", "voice", "web"]], Field(max_length=4)] = []
    traits: FreeObject = Field(default_factory=dict, description="Traits that the customer must have.")
    verified: StrictBool = Field(False, description="Only a customer who has proven to hold their phone.")

    def policy(self) -> dict[str, Any]:
        """As it is stored: only what bars anybody."""
        return {name: value for name, value in self.model_dump().items() if value}


class NewSource(BaseModel):
    """A set of documents, a web site, or an index that lies elsewhere."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=80, examples=["Help center"])
    description: str = Field("", max_length=1_000, description=_DESCRIPTION)
    final_response: StrictBool = Field(False, description=_FINAL)
    who: Viewers = Field(default_factory=Viewers)
    kind: Literal["file", "text", "web", "database"] = Field(
        "file",
        description="How it is filled: by files that are uploaded, texts that are written, pages of a web site (`web`), "
        "or not by us: a vector index of your own (`database`, described by `index`).",
    )
    web: NewSite | None = Field(None, description="For `web`, and only then: where to read.")
    index: NewIndex | None = Field(None, description="For `database`, and only then: where the index lies.")
    embedding_model: str | None = Field(
        None, min_length=1, max_length=200, description="Unset: the server's own.", examples=["minilm"]
    )


class SourceChanges(BaseModel):
    """What to change; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, min_length=1, max_length=80, examples=["Help center"])
    description: str | None = Field(None, max_length=1_000)
    final_response: StrictBool | None = None
    who: Viewers | None = None
    web: NewSite | None = Field(None, description="Of a web site: where to read from now on; it is read again at once.")
    index: NewIndex | None = Field(
        None,
        description="Of an index of your own: where it lies from now on, or another key to it. It must answer and fit, as "
        "at first; options and secrets are given whole.",
    )
    embedding_model: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Every passage is embedded anew in the background; searches change over when all are.",
        examples=["openai:text-embedding-3-small"],
    )


class ShownSource(BaseModel):
    """A set of documents."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    description: str
    kind: str
    final_response: bool
    who: Viewers = Field(validation_alias="policy")
    config: dict[str, Any] = Field(description="Of `web`: where it is read; of `database`: where the index lies.")
    embedding_model: str = Field(description="The model whose vectors searches use.")
    next_model: str | None = Field(description="The model that is being prepared behind it.")
    version: int = Field(description="Grows with every change of what a search could find.")
    documents: int
    chunks: int
    created_at: datetime
    updated_at: datetime


class ShownProgress(BaseModel):
    """How many documents are in which state; while the model changes, how many of the chunks have its vector."""

    model_config = ConfigDict(from_attributes=True)

    queued: int
    processing: int
    completed: int
    failed: int
    chunks: int
    next_model: str | None
    switched: int = Field(description="Chunks that have a vector of `next_model`.")


class NewText(BaseModel):
    """A text to take in as a document."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        min_length=1, max_length=200, description="Names the document within its source.", examples=["opening-hours"]
    )
    text: str = Field(
        min_length=1, max_length=MAX_TEXT, description="Plain text or Markdown.", examples=["We open at nine."]
    )
    title: str | None = Field(None, min_length=1, max_length=200, description="Its title.", examples=["Opening hours"])


class ShownDocument(BaseModel):
    """A document."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    source_id: str
    name: str
    title: str
    url: str | None
    content_type: str
    size: int = Field(description="Bytes.")
    language: str | None
    status: str = Field(description="QUEUED, PROCESSING, COMPLETED or FAILED.")
    error: str | None = Field(description="Why it could not be read.")
    chunk_count: int
    created_at: datetime
    updated_at: datetime


class ShownChunk(BaseModel):
    """A piece of a document, as searches find it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    document_id: str
    ordinal: int
    text: str
    headings: list[str] = Field(description="The titles that it stands under.")
    place: str | None = Field(description="Where in the file: `page 3`, `rows 12-14`.")
    tokens: int


class Question(BaseModel):
    """What to look for."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1, max_length=MAX_QUESTION, examples=["How long do I have to return shoes?"])
    sources: list[Annotated[str, Field(max_length=64)]] = Field(
        [], max_length=100, description="Where to look; nothing given: in all sources."
    )
    limit: int = Field(4, ge=1, le=20, description="Most passages.")


class ShownPassage(BaseModel):
    """A passage that bears on the question."""

    model_config = ConfigDict(from_attributes=True)

    chunk_id: int
    source_id: str
    document_id: str
    title: str
    headings: list[str]
    text: str
    url: str | None
    score: float = Field(description="0 to 1; orders the passages.")
    dense: float | None = Field(description="Cosine with the question; null where only the words found it.")
    keyword: float | None = Field(description="BM25 score; null where only the meaning found it.")


class PassagesFound(BaseModel):
    """Passages, best first."""

    outcome: Literal["found"] = "found"
    passages: list[ShownPassage]
    degraded: str | None = Field(description="Which half of the search failed, and why.")


class NothingWasFound(BaseModel):
    """No passage bears on the question."""

    outcome: Literal["nothing_found"] = "nothing_found"
    why: str = Field(description="`empty knowledge`, `no match`, or what failed.")
    degraded: str | None = Field(description="Which half of the search failed, and why.")


Outcome = Annotated[PassagesFound | NothingWasFound, Field(discriminator="outcome")]


def _shelves(request: Request) -> Shelves:
    shelves: Shelves = request.app.state.shelves
    return shelves


@sources.get("", **listed(ShownSource))
async def list_sources(asked: ListAsked, caller: Reading) -> Listing[ShownSource] | Response:
    """All sources, oldest first."""
    return await caller.list(asked, store.list_sources, ShownSource.model_validate)


@sources.post("", status_code=201, responses=answers(409))
async def create_source(body: NewSource, request: Request, caller: Writing) -> ShownSource:
    """Begin a set of documents. A web site is read at once; an index must answer and fit before anything is made."""
    shelves = _shelves(request)
    model = body.embedding_model or shelves.default_embedder
    shelves.check_embedder(model)
    place: IndexPlace | None = None
    config: dict[str, Any] = {}
    for kind, given in (("web", body.web), ("database", body.index)):
        if (body.kind == kind) is (given is None):
            field = "web" if kind == "web" else "index"
            told = f"a source of the kind {kind} needs it" if given is None else f"only the kind {kind} has it"
            raise Invalid(f"{field}: {told}", field=field)
    if body.web is not None:
        config = body.web.site().to_dict()
    if body.index is not None:
        place = body.index.place(caller.account_id)
        facts = await shelves.elsewhere.check(place, model)
        config = {"vendor": place.vendor, "dimensions": facts.dimensions, "options": place.options}
    async with caller.transaction() as conn:
        made = await store.create_source(
            conn,
            caller.account_id,
            name=body.name,
            description=body.description,
            kind=body.kind,
            model=model,
            final_response=body.final_response,
            config=config,
        )
        if body.who.policy():
            await set_policy(conn, made.id, body.who.policy())
            made = await store.get_source(conn, made.id)
        if place is not None:
            await shelves.elsewhere.keep_secrets(conn, made.id, place.secrets)
        if body.web is not None:
            await queue_crawl(conn, made)
        await caller.record(conn, "source.created", made.id, name=body.name, embedding_model=model, config=config)
    return ShownSource.model_validate(made)


@sources.get("/{source_id}", responses=answers(404))
async def get_source(source_id: SourceId, caller: Reading) -> ShownSource:
    """One source."""
    async with caller.transaction() as conn:
        return ShownSource.model_validate(await store.get_source(conn, source_id))


@sources.get("/{source_id}/progress", responses=answers(404))
async def get_source_progress(source_id: SourceId, caller: Reading) -> ShownProgress:
    """How far the background work on a source is."""
    async with caller.transaction() as conn:
        return ShownProgress.model_validate(await store.progress(conn, source_id))


@sources.patch("/{source_id}", responses=answers(404, 409))
async def update_source(source_id: SourceId, body: SourceChanges, request: Request, caller: Writing) -> ShownSource:
    """Change what is given. Another embedding model is prepared behind the present one."""
    shelves = _shelves(request)
    if body.embedding_model is not None:
        shelves.check_embedder(body.embedding_model)
    place: IndexPlace | None = None
    if body.index is not None:
        async with caller.transaction() as conn:
            source = await store.get_source(conn, source_id)
        if source.kind != "database":
            raise Invalid("index: only the kind database has it", field="index")
        place = body.index.place(caller.account_id)
        facts = await shelves.elsewhere.check(place, source.embedding_model)
    async with caller.transaction() as conn:
        kind = (await store.get_source(conn, source_id)).kind
        if place is not None:
            await shelves.elsewhere.move(conn, source_id, place, facts, caller.now())
        if body.embedding_model is not None and kind == "database":
            raise Invalid("An index that lies elsewhere keeps the model it was filled with.", field="embedding_model")
        if body.web is not None:
            if kind != "web":
                raise Invalid("web: only the kind web has it", field="web")
            await queue_crawl(conn, await set_site(conn, source_id, body.web.site()))
        if body.who is not None:
            await set_policy(conn, source_id, body.who.policy())
        changed = await store.update_source(
            conn,
            source_id,
            caller.now(),
            name=body.name,
            description=body.description,
            model=body.embedding_model,
            final_response=body.final_response,
        )
        changes = body.model_dump(exclude_none=True, exclude={"index": {"secrets"}})
        await caller.record(conn, "source.updated", source_id, changes=changes)
    return ShownSource.model_validate(changed)


@sources.delete("/{source_id}", status_code=204, responses=answers(404))
async def delete_source(source_id: SourceId, caller: Writing) -> None:
    """Delete a source with all its documents: no search finds them from now on."""
    async with caller.transaction() as conn:
        await store.delete_source(conn, source_id)
        await caller.record(conn, "source.deleted", source_id)


@sources.get("/{source_id}/documents", **listed(ShownDocument, 404))
async def list_documents(source_id: SourceId, asked: ListAsked, caller: Reading) -> Listing[ShownDocument] | Response:
    """The documents of a source, oldest first."""

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[Document]:
        await store.get_source(conn, source_id)
        return await store.list_documents(conn, source_id, limit, cursor)

    return await caller.list(asked, read, ShownDocument.model_validate)


@sources.post("/{source_id}/documents", status_code=202, responses={200: {"model": ShownDocument}, **answers(404)})
async def put_text(source_id: SourceId, body: NewText, caller: Writing, response: Response) -> ShownDocument:
    """Take a text in as the document `<name>.md`, in place of one of that name. 202: it is queued; 200: it is unchanged."""
    title = " ".join(body.title.split()) if body.title else ""
    text = f"# {title}\n\n{body.text}" if title else body.text
    name = body.name if body.name.endswith(".md") else f"{body.name}.md"
    return await take_in(caller, source_id, name, "text/markdown", text.encode(), response)


@sources.put(
    "/{source_id}/documents/{name:path}",
    status_code=202,
    responses={200: {"model": ShownDocument}, **answers(404)},
    openapi_extra=_FILE,
)
async def put_document(
    source_id: SourceId,
    name: Annotated[
        str,
        Path(min_length=1, max_length=MAX_NAME, description="May contain slashes.", examples=["policies/returns.md"]),
    ],
    request: Request,
    caller: Writing,
    response: Response,
) -> ShownDocument:
    """Take a file in as the document of this name, in place of the one before. 202: it is queued; 200: it is unchanged.

    Only what is new in it is embedded; until that is done searches find the document as it was before.
    """
    most = _shelves(request).max_upload_bytes
    content_type = request.headers.get("content-type", "")[:200]
    # What curl says of any body when it is told nothing.
    if not content_type or content_type.startswith("application/x-www-form-urlencoded"):
        content_type = "application/octet-stream"
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > most:
            raise TooLarge(f"The document is larger than {most:,} bytes.")
    if not data:
        raise Invalid("The body is the document's file, and it is empty.", field="body")
    return await take_in(caller, source_id, name, content_type, bytes(data), response)


async def take_in(
    caller: Caller, source_id: str, name: str, content_type: str, data: bytes, response: Response
) -> ShownDocument:
    """Take in a document, in place of one of that name."""
    async with caller.transaction() as conn:
        source = await store.get_source(conn, source_id)
        if source.kind in ("web", "database"):
            raise Invalid("A web site or an index that lies elsewhere takes no documents.", field="source_id")
        document, queued = await store.put_document(
            conn, source, name=name, content_type=content_type, data=data, url=None, now=caller.now()
        )
        if queued:
            await caller.record(conn, "document.put", document.id, name=name, source_id=source_id, size=len(data))
    response.status_code = 202 if queued else 200
    return ShownDocument.model_validate(document)


@documents.get("/{document_id}", responses=answers(404))
async def get_document(document_id: DocumentId, caller: Reading) -> ShownDocument:
    """One document: how far it is, and what is wrong with it if it could not be read."""
    async with caller.transaction() as conn:
        return ShownDocument.model_validate(await store.get_document(conn, document_id))


@documents.delete("/{document_id}", status_code=204, responses=answers(404))
async def delete_document(document_id: DocumentId, caller: Writing) -> None:
    """Delete a document: no search finds it from now on."""
    async with caller.transaction() as conn:
        await store.delete_document(conn, document_id, caller.now())
        await caller.record(conn, "document.deleted", document_id)


@documents.get("/{document_id}/chunks", **listed(ShownChunk, 404))
async def list_chunks(document_id: DocumentId, asked: ListAsked, caller: Reading) -> Listing[ShownChunk] | Response:
    """The pieces that a document was cut into, in its order."""

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[ChunkRow]:
        await store.get_document(conn, document_id)
        return await store.list_chunks(conn, document_id, limit, cursor)

    return await caller.list(asked, read, ShownChunk.model_validate)


@search.post("")
async def search_knowledge(body: Question, request: Request, caller: Reading) -> Outcome:
    """The passages that bear on a question, as an assistant would be given them."""
    wanted = tuple(dict.fromkeys(body.sources))
    knowledge = _shelves(request).knowledge
    scope = await knowledge.scope(caller.account_id, wanted)
    unknown = sorted(set(wanted) - {source for source, *_ in scope.sources})
    if unknown:
        raise Invalid(f"There is no such source: {', '.join(unknown)}.", field="sources")
    limits = Limits(passages=body.limit, tokens=TOKENS_PER_PASSAGE * body.limit)
    found = await knowledge.search(scope, body.question, limits)
    if isinstance(found, Found):
        passages = [ShownPassage.model_validate(p, from_attributes=True) for p in found.passages]
        return PassagesFound(passages=passages, degraded=found.degraded)
    return NothingWasFound(why=found.why, degraded=found.degraded)
