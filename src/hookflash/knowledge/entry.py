"""What a user gives of a knowledge entry that is no set of documents: a web site, or an index that lies elsewhere."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hookflash.knowledge.crawl import MOST_DEPTH
from hookflash.knowledge.external import IndexPlace
from hookflash.knowledge.web import DEPTH, PAGES, Site
from hookflash.knowledge.web_address import MAX_ADDRESS, canonical

MOST_PAGES = 1_000
Name = Annotated[str, Field(min_length=1, max_length=60)]


class NewSite(BaseModel):
    """A web site: pages that are linked from `url`, or stand in its sitemap, on the same host."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: str = Field(min_length=1, max_length=MAX_ADDRESS, examples=["https://shop.example/help"])
    depth: int = Field(DEPTH, ge=1, le=MOST_DEPTH, description="How many links away from `url` a page may be.")
    pages: int = Field(PAGES, ge=1, le=MOST_PAGES, description="Most pages.")
    every_hours: int | None = Field(
        None, ge=1, le=8_760, description="Read it again so often; unset: only when asked to.", examples=[24]
    )

    def site(self) -> Site:
        """Raises Invalid for an address that is none."""
        return Site(canonical(self.url), self.depth, self.pages, self.every_hours)


class NewIndex(BaseModel):
    """A vector index of your own, at some vendor."""

    model_config = ConfigDict(extra="forbid", strict=True)

    vendor: str = Field(
        min_length=1,
        max_length=40,
        description="pinecone, milvus, faiss, pgvector, or another one that is installed.",
        examples=["pinecone"],
    )
    dimensions: int | None = Field(
        None, ge=1, le=65_536, description="Of its vectors; Pinecone's default is 1536, the others tell their own."
    )
    options: dict[Name, Annotated[str, Field(max_length=2_000)]] = Field(
        default_factory=dict,
        max_length=30,
        description="What the vendor needs to find it.",
        examples=[{"index": "support"}],
    )
    secrets: dict[Name, Annotated[str, Field(max_length=4_000)]] = Field(
        default_factory=dict,
        max_length=10,
        description="Keys and passwords; they are sealed and never shown.",
        examples=[{"api_key": "pcsk_..."}],
    )

    def place(self, account_id: str) -> IndexPlace:
        expected = self.dimensions or (1_536 if self.vendor == "pinecone" else None)
        return IndexPlace(account_id, self.vendor, expected, dict(self.options), dict(self.secrets))
