"""The sample business: every document can be read, and the facts that the demonstration asks for are there."""

import re

from hookflash.knowledge.chunk import Chunk, chunk
from hookflash.knowledge.document import RawDocument
from hookflash.knowledge.extract import extract, format_of
from hookflash.sample import documents


def chunks() -> list[Chunk]:
    found: list[Chunk] = []
    for document in documents():
        read = extract(RawDocument(document.name, None, document.read_bytes()))
        found += chunk(read, count_tokens=lambda text: len(re.findall(r"\w+|[^\w\s]", text)))
    return found


def test_about_thirty_documents_in_five_formats_can_be_read() -> None:
    raws = [RawDocument(document.name, None, document.read_bytes()) for document in documents()]
    assert [raw.name for raw in raws] == sorted(raw.name for raw in raws)
    assert 30 <= len(raws) <= 40
    assert {format_of(raw) for raw in raws} == {"markdown", "csv", "json", "html", "plain"}
    titles = [extract(raw).title for raw in raws]
    assert len(set(titles)) == len(titles)


def test_the_return_periods_of_clothing_and_shoes_stand_in_chunks_of_their_own() -> None:
    found = {each.headings: each.text for each in chunks() if each.title == "Returns and refunds"}
    assert "within 60 days" in found[("Clothing",)]
    assert "within 30 days" in found[("Shoes",)]
    assert "30 days" not in found[("Clothing",)]
    assert "60 days" not in found[("Shoes",)]


def test_prices_on_product_pages_are_those_of_the_price_list() -> None:
    rows = [
        dict(line.split(": ", 1) for line in each.text.split("\n")) for each in chunks() if each.title == "Price list"
    ]
    prices = {row["SKU"]: row["Price"] for row in rows}
    told = [
        (sku, price)
        for each in chunks()
        if each.title != "Price list"
        for sku, price in re.findall(r"SKU (AP-[A-Z]\d{3}),(?: price| costs)? (\$[\d.]+\d)", each.text)
    ]
    assert len(told) >= 4
    assert all(prices[sku] == price for sku, price in told)


def test_telephone_numbers_are_fictional() -> None:
    numbers = {number for each in chunks() for number in re.findall(r"\+\d[\d ]{8,}\d", each.indexed_text)}
    assert len(numbers) == 3
    assert all(re.fullmatch(r"\+1 \d{3} 555 01\d\d", number) for number in numbers)
