"""Reading files: what is kept of each format, and the sentence that each unreadable one gets."""

import io
import json
import zipfile
from collections.abc import Sequence

import docx
import pytest
from docx.document import Document
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from hookflash.base.errors import HookflashError, Invalid, TooLarge
from hookflash.knowledge.document import Block, Extracted, Kind, Limits, RawDocument
from hookflash.knowledge.extract import extract


def read(name: str, data: bytes | str, content_type: str | None = None, limits: Limits | None = None) -> Extracted:
    raw = data.encode() if isinstance(data, str) else data
    return extract(RawDocument(name, content_type, raw), limits=limits)


def shape(document: Extracted) -> list[tuple[str, str]]:
    return [(f"h{block.level}" if block.level else block.kind.value, block.text) for block in document.blocks]


def refusal(name: str, data: bytes | str, limits: Limits | None = None) -> str:
    with pytest.raises((Invalid, TooLarge)) as caught:
        read(name, data, limits=limits)
    return str(caught.value)


def pdf(pages: Sequence[Sequence[tuple[float, float, str]]], extra: str = "", trailer: str = "") -> bytes:
    """A PDF of lines (size, height above the foot, text)."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, lines in enumerate(pages):
        content = "\n".join(f"BT /F1 {size} Tf 1 0 0 1 72 {y} Tm ({text}) Tj ET" for size, y, text in lines)
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {5 + 2 * number} 0 R >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    if extra:
        objects.append(extra)
    body = b"%PDF-1.4\n"
    offsets = []
    for number, text in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n".encode("latin-1")
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    return (
        body
        + (
            f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
            f"trailer << /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{len(body)}\n%%EOF\n"
        ).encode()
    )


def saved(document: Document) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


# Markdown


def test_markdown_keeps_headings_lists_tables_code_and_links() -> None:
    document = read(
        "returns.md",
        "# Returns\n\nSend it *back*\nin **30** days. See [our page](https://shop.example/r) or <https://x.example>.\n\n"
        "Shoes\n-----\n\n- clean\n- with box\n  - any box\n    is fine\n\n3. label\n4. post\n\n"
        "| Day | Opens |\n|---|---|\n| Monday | 10 |\n| Sunday | |\n\n```\na  = 1\n\nb\n```\n\n<div>Raw <b>words</b></div>\n",
    )
    assert document.title == "Returns"
    assert shape(document) == [
        ("h1", "Returns"),
        ("paragraph", "Send it back in 30 days. See our page (https://shop.example/r) or https://x.example."),
        ("h2", "Shoes"),
        ("item", "- clean"),
        ("item", "- with box"),
        ("item", "- any box is fine"),
        ("item", "3. label"),
        ("item", "4. post"),
        ("row", "Day: Monday; Opens: 10"),
        ("row", "Day: Sunday"),
        ("code", "a  = 1\n\nb"),
        ("paragraph", "Raw words"),
    ]


def test_front_matter_gives_title_and_language() -> None:
    document = read("x.md", '---\ntitle: "Preguntas"\nlanguage: es\n---\n# Otra\n\nHola.')
    assert (document.title, document.language) == ("Preguntas", "es")
    assert shape(document) == [("h1", "Otra"), ("paragraph", "Hola.")]


def test_a_title_is_the_only_top_heading_else_the_file_name() -> None:
    assert read("a.md", "# One\n\ntext\n\n## Two\n\ntext").title == "One"
    assert read("store_opening-hours.md", "# One\n\ntext\n\n# Two\n\ntext").title == "Store opening hours"


# CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_rows_become_records_with_their_columns_and_row_numbers(delimiter: str) -> None:
    rows = [
        ["Product", "Price", "Note"],
        ["Tent", "$289", "two, or three; persons"],
        [],
        ["Boot", "", 'the "wide" one'],
    ]
    text = "\r\n".join(delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows)
    document = read("price-list.csv", text)
    assert document.title == "Price list"
    assert [(block.kind, block.text, str(block.place)) for block in document.blocks] == [
        (Kind.RECORD, "Product: Tent\nPrice: $289\nNote: two, or three; persons", "row 2"),
        (Kind.RECORD, 'Product: Boot\nNote: the "wide" one', "row 4"),
    ]


def test_cells_without_a_column_are_kept_and_a_spreadsheets_hint_is_followed() -> None:
    document = read("a.csv", "sep=;\nname;size\nHat;M;and, more\n")
    assert [block.text for block in document.blocks] == ["name: Hat\nsize: M\nand, more"]


@pytest.mark.parametrize(
    ("first", "column", "reason"),
    [
        ("Tent,$289.00,red", 2, "a number"),
        ("Tent,2024-05-01,red", 2, "a date or time"),
        ("Tent,,red", 2, "nothing"),
        ("Tent,red,tent", 3, "the same name as another column"),
        ("Tent,a@b.example,red", 2, "an address"),
        ("Tent,Camping,red", 2, "a value that the column has again below"),
        ("Tent," + "long " * 30 + ",red", 2, "a text of 149 characters"),
    ],
)
def test_csv_without_a_header_row_is_refused_with_the_reason(first: str, column: int, reason: str) -> None:
    assert refusal("a.csv", f"{first}\nStove,Camping,blue\n") == (
        f"the CSV file has no header row: column {column} of its first row holds {reason}, "
        "where the column's name is expected"
    )


def test_questions_with_answers_under_no_header_are_refused_and_a_survey_is_not() -> None:
    assert refusal("a.csv", "Do you sell drums?,Yes\nDo you sell flutes?,No\n") == (
        "the CSV file has no header row: column 1 of its first row holds a sentence, as the rows below, "
        "where the column's name is expected"
    )
    survey = read("a.csv", "Name,How was your stay?\nAda,It was very good.\n")
    assert [block.text for block in survey.blocks] == ["Name: Ada\nHow was your stay?: It was very good."]


def test_broken_and_bare_csv_is_refused() -> None:
    assert refusal("a.csv", 'name,size\nHat,"M\nBoot,9\n').startswith("the row that begins in line 2 is not valid CSV")
    assert refusal("a.csv", "name,size\n") == "the file holds a header row and nothing else"


# JSON


def test_a_question_is_the_heading_of_its_answer() -> None:
    lines = [{"question": "Wi-Fi?", "answer": "Yes.", "tags": ["a", "b"]}, {"Q": "Dogs?", "A": "On a leash."}]
    document = read("faq.jsonl", "\n\n".join(map(json.dumps, lines)))
    assert shape(document) == [
        ("h1", "Wi-Fi?"),
        ("record", "Yes.\ntags: a, b"),
        ("h1", "Dogs?"),
        ("record", "On a leash."),
    ]
    assert [str(block.place) for block in document.blocks] == ["line 1", "line 1", "line 3", "line 3"]


def test_a_json_array_and_nested_fields() -> None:
    document = read(
        "a.json", json.dumps([{"name": "Hat", "size": {"eu": 57, "free": True, "us": None}, "in": [{"at": "A"}]}])
    )
    assert shape(document) == [("record", "name: Hat\nsize.eu: 57\nsize.free: yes\nin.1.at: A")]
    assert str(document.blocks[0].place) == "item 1"


def test_json_that_cannot_be_read_names_the_line() -> None:
    assert refusal("a.jsonl", '{"a": 1}\n{"a": \n').startswith("line 2 is not valid JSON")
    assert refusal("a.jsonl", '{"a": 1}\n"text"\n') == "line 2 is not a JSON object"
    assert refusal("a.json", '[{"a": 1}, 2]') == "item 2 is not a JSON object"
    assert refusal("a.json", "[" * 100_000).startswith("the JSON array")


# HTML


def test_html_keeps_the_main_part_with_its_structure() -> None:
    document = read(
        "x.html",
        "<html lang='en-GB'><head><title>Hours &amp; days</title><script>no()</script></head><body><nav>Home Shop</nav><main>"
        "<h1>Hours</h1><p>Open <b>daily</b>,<br>but not<!-- never --> on Sunday.</p>Loose words<ul><li>one<ul><li>inner</li></ul></li>"
        "<li><p>two</p></li></ul><ol><li>first</li></ol><table><tr><th>Day</th><th>Opens</th></tr><tr><td>Monday</td><td>10</td></tr>"
        "</table><pre>a\n  b</pre></main><footer>Imprint</footer></body></html>",
    )
    assert (document.title, document.language) == ("Hours & days", "en")
    assert shape(document) == [
        ("h1", "Hours"),
        ("paragraph", "Open daily,\nbut not on Sunday."),
        ("paragraph", "Loose words"),
        ("item", "- one"),
        ("item", "- inner"),
        ("item", "- two"),
        ("item", "1. first"),
        ("row", "Day: Monday; Opens: 10"),
        ("code", "a\n  b"),
    ]


def test_a_page_without_a_marked_main_part_loses_its_menu_but_not_its_text() -> None:
    text = "The shop repairs tents, packs and boots of any brand, and it takes about a week until they are ready."
    menu = "".join(f"<li><a href='/{n}'>Menu entry {n}</a></li>" for n in range(20))
    header = "<header><h1>Alder</h1><div><a>Menu entry</a> <a>Menu entry</a> <a>Menu entry</a></div></header>"
    prices = "<ul><li><a>Zip</a>: $28</li><li><a>Buckle</a>: $8 while you wait</li><li><a>Sole</a>: $95</li></ul>"
    main = f"<div><h2>Repairs</h2><p>{text}</p>{prices}</div>"
    page = f"<html><body>{header}<div><ul>{menu}</ul></div>{main}<footer>Imprint</footer></body></html>"
    assert shape(read("x.html", page)) == [
        ("h1", "Alder"),
        ("h2", "Repairs"),
        ("paragraph", text),
        ("item", "- Zip: $28"),
        ("item", "- Buckle: $8 while you wait"),
        ("item", "- Sole: $95"),
    ]
    assert shape(read("x.html", "<p>Short.</p><footer>Bye</footer>")) == [("paragraph", "Short.")]


def test_html_in_another_charset_says_so_itself() -> None:
    page = "<html><head><meta charset='windows-1251'></head><body><main><p>Привет всем покупателям</p></main></body></html>"
    assert read("x.html", page.encode("cp1251")).blocks[0].text == "Привет всем покупателям"


def test_html_that_is_nested_without_end_is_refused() -> None:
    page = "<html><body>" + "<div>" * 100_000 + "<p>deep</p></body></html>"
    assert refusal("x.html", page).startswith("the page's elements are nested deeper than 255")
    assert refusal("x.html", "<html><body><script>x</script></body></html>") == "the file holds no text"


# PDF

BODY = "This line of the running text is long enough to reach the margin"


def test_pdf_puts_headings_paragraphs_and_items_together_and_drops_running_lines() -> None:
    pages = [
        [
            (10, 760, "Alder Handbook"),
            (18, 700, f"Chapter {'ABC'[number]}"),
            (11, 670, f"{BODY} {number}"),
            (11, 656, "and goes on here."),
            (11, 620, "A second paragraph."),
            (11, 590, f"- item {'ABC'[number]}"),
            (9, 30, f"Page {number + 7} of 9"),
        ]
        for number in range(3)
    ]
    document = read("handbook.pdf", pdf(pages))
    assert shape(document)[:4] == [
        ("h1", "Chapter A"),
        ("paragraph", f"{BODY} 0 and goes on here."),
        ("paragraph", "A second paragraph."),
        ("item", "- item A"),
    ]
    assert [str(block.place) for block in document.blocks] == ["page 1"] * 4 + ["page 2"] * 4 + ["page 3"] * 4
    assert document.title == "Handbook"


def test_a_sentence_that_goes_on_on_the_next_page_is_one_paragraph() -> None:
    document = read("a.pdf", pdf([[(11, 60, f"{BODY} and")], [(11, 700, "ends on the next page.")]]))
    assert shape(document) == [("paragraph", f"{BODY} and ends on the next page.")]
    assert str(document.blocks[0].place) == "pages 1-2"


def test_pdfs_that_cannot_be_read_say_why() -> None:
    good = pdf([[(11, 700, "Words.")]])
    assert refusal("a.pdf", "no pdf") == "the file claims to be a PDF, but does not begin like one"
    assert refusal("a.pdf", b"%PDF-1.4\n" + bytes(range(256)) * 9) == "the PDF is broken: its structure cannot be read"
    assert "seems to be scanned" in refusal("a.pdf", pdf([[], []]))
    assert refusal("a.pdf", pdf([[], []]), Limits(pages=1)) == "the PDF has 2 pages; at most 1 are read"
    secret = f"<< /Filter /Standard /V 1 /R 2 /P -4 /O <{'ab' * 32}> /U <{'cd' * 32}> >>"
    locked = pdf([[(11, 700, "Words.")]], secret, "/Encrypt 6 0 R /ID [<00> <00>]")
    assert refusal("a.pdf", locked) == "the PDF is protected by a password"
    assert [block.text for block in read("unnamed", good).blocks] == ["Words."]


def test_pages_without_text_are_noted() -> None:
    document = read("a.pdf", pdf([[(11, 700, "Words.")], [], []]))
    assert document.notes == ("No text was found on 2 of 3 pages, first on page 2.",)


# DOCX


def test_docx_keeps_the_order_of_headings_lists_and_tables() -> None:
    made = docx.Document()
    made.add_heading("Staff handbook", 0)
    made.add_heading("Leave", 1)
    paragraph = made.add_paragraph("Twenty days ")
    inserted = f'<w:ins {nsdecls("w")} w:id="1" w:author="x"><w:r><w:t>and two more.</w:t></w:r></w:ins>'
    deleted = f'<w:del {nsdecls("w")} w:id="2" w:author="x"><w:r><w:delText>Nothing.</w:delText></w:r></w:del>'
    paragraph._p.append(parse_xml(inserted))
    paragraph._p.append(parse_xml(deleted))
    table = made.add_table(rows=2, cols=2)
    for cell, text in zip([*table.rows[0].cells, *table.rows[1].cells], ["Job", "Pay", "Fitter", "$21"], strict=True):
        cell.text = text
    made.add_paragraph("first", style="List Bullet")
    made.element.body.insert(
        0,
        parse_xml(
            f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p><w:r><w:t>In a control</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        ),
    )
    document = read("a.docx", saved(made))
    assert document.title == "Staff handbook"
    assert shape(document) == [
        ("paragraph", "In a control"),
        ("h1", "Staff handbook"),
        ("h1", "Leave"),
        ("paragraph", "Twenty days and two more."),
        ("row", "Job: Fitter; Pay: $21"),
        ("item", "- first"),
    ]


def test_a_docx_that_unfolds_without_end_is_refused_unread() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", bytes(5_000_000))
    assert len(out.getvalue()) < 10_000
    assert refusal("a.docx", out.getvalue(), Limits(unpacked_bytes=1_000_000)) == (
        "the Word document unfolds to 5 MB in 1 parts; at most 1 MB in 10,000 are read"
    )


def test_broken_docx_is_refused() -> None:
    whole = saved(docx.Document())
    assert refusal("a.docx", whole[:5_000]) == "the Word document is broken: it is not a whole ZIP archive"
    assert (
        refusal("a.docx", b"\xd0\xcf\x11\xe0rest")
        == "this is a file of an old Office version, or protected by a password"
    )
    assert refusal("a.docx", "text") == "the file claims to be a Word document (DOCX), but does not begin like one"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("other.txt", "x")
    assert refusal("a.docx", out.getvalue()) == "this is a ZIP archive, but not a Word document"
    damaged = bytearray(whole)
    damaged[60:2_000] = bytes(1_940)
    assert refusal("a.docx", bytes(damaged)).startswith("the Word document is broken")


# Plain text and encodings


def test_plain_text_has_a_title_and_unwrapped_paragraphs() -> None:
    document = read(
        "a.txt",
        "Contact us\n\nThis paragraph was wrapped by an editor at about sixty\ncharacters, so that its lines go on here "
        "and\nhere.\n\nPhone: 1\nE-mail: 2\n* bullet\n",
    )
    assert document.title == "Contact us"
    assert [block.kind for block in document.blocks][-1] is Kind.ITEM
    assert [block.text for block in document.blocks][-3:] == ["Phone: 1", "E-mail: 2", "* bullet"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_every_usual_encoding_is_recognised(encoding: str) -> None:
    text = "Die Rückgabe kostet 5 € – „gratis“ für Café-Gäste, naïve Leute und alle, die größere Schuhe tragen."
    assert [block.text for block in read("a.txt", text.encode(encoding)).blocks] == [text]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            "Возврат товара".encode("cp1251"),
            "the text's encoding is not recognised: byte 0xC2 at position 0 is neither UTF-8 nor Windows-1252",
        ),
        (
            "Größe, Länge, Höhe, Übergröße".encode() + b" caf\xe9 ol\xe9",
            "the text's encoding is not recognised: byte 0xE9 at position 40 is neither UTF-8 nor Windows-1252",
        ),
        (
            b"all is plain text here, until \x81 comes and means nothing",
            "the text's encoding is not recognised: byte 0x81 at position 30 is neither UTF-8 nor Windows-1252",
        ),
        (
            b"\xff\xfea\x00\x00\xd8b\x00",
            "the text is marked as UTF-16-LE, but byte 0x00 at position 4 does not belong there",
        ),
        (
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
            "this is not a text file: it holds the control byte 0x1A at position 6",
        ),
    ],
)
def test_bytes_that_are_no_text_are_named(data: bytes, sentence: str) -> None:
    assert refusal("a.txt", data) == sentence


def test_what_cannot_be_seen_or_stored_is_removed() -> None:
    text = "e\u0301clair\u200b \ufeffand\u00a0soft\u00adware\u202e \x1b[0m \x07end"
    assert read("a.md", text).blocks == (Block(Kind.PARAGRAPH, "\u00e9clair and software [0m end"),)
    read("a.json", '[{"a": "x\\u0000y"}]').blocks[0].text.encode()


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.txt", b"", "the file is empty"),
        ("a.csv", b" \r\n ", "the file is empty"),
        ("a.md", b"<!-- nothing -->", "the file holds no text"),
        ("a.jsonl", b"{}\n", "the file holds no text"),
        ("a.csv", b",,\n,,", "the file holds no text"),
    ],
)
def test_files_without_text_are_refused(name: str, data: bytes, sentence: str) -> None:
    assert refusal(name, data) == sentence


def test_a_file_over_the_limit_is_refused_unread() -> None:
    assert refusal("a.pdf", bytes(200_000_000)) == "the file has 200.0 MB; at most 50.0 MB are read"


def test_the_name_decides_before_the_content_type_and_unknown_types_are_refused() -> None:
    assert read("a.csv", "x,y\n1,2\n", "application/vnd.ms-excel").blocks[0].kind is Kind.RECORD
    assert read("pasted", "# Head\n\ntext", "text/markdown; charset=utf-8").blocks[0].kind is Kind.HEADING
    with pytest.raises(Invalid, match=r"files of the type \.png cannot be read"):
        read("a.png", b"\x89PNG", "image/png")


@pytest.mark.parametrize("name", ["a.md", "a.csv", "a.jsonl", "a.html", "a.pdf", "a.docx", "a.txt", "a"])
def test_junk_is_always_refused_in_a_sentence(name: str) -> None:
    good = {"a.pdf": pdf([[(11, 700, "Words.")]]), "a.docx": saved(docx.Document())}.get(name, b'{"a": "b,c"}\n# <p>x')
    for cut in range(1, len(good), max(1, len(good) // 40)):
        for data in (good[:cut], good[:cut] + b"\x00\xff\x80" * 50 + good[cut:], good[cut:]):
            try:
                assert read(name, data).blocks
            except HookflashError as error:
                assert len(str(error)) > 10  # noqa: PT017
