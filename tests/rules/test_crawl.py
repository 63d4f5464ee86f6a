"""How a site is read: what is fetched next, what is left alone, what a page is called, and what vanished."""

from collections.abc import Mapping

import pytest

from hookflash.base.errors import Invalid
from hookflash.knowledge.crawl import (
    Decision,
    Fetch,
    Frontier,
    Keep,
    Known,
    Lost,
    Moved,
    Outcome,
    PageRead,
    Refused,
    RobotsRead,
    SitemapRead,
    Still,
    Unchanged,
)
from hookflash.knowledge.formats.page_links import PageLinks, read_links, read_sitemap
from hookflash.knowledge.robots import ANYTHING, parse
from hookflash.knowledge.web_address import canonical, file_name, joined, site

HOME = "https://shop.example/"
NOT_FOUND = Refused("404: the server has no such page", gone=True, status=404)


def page(*links: str, own: str | None = None, indexed: bool = True) -> PageRead:
    return PageRead(PageLinks(tuple(canonical(link) for link in links), own, indexed))


def read_all(frontier: Frontier, web: Mapping[str, Outcome]) -> tuple[list[str], list[Decision]]:
    """What was asked, and what was decided; what the web does not have is 404."""
    asked: list[str] = []
    decided: list[Decision] = []
    while (step := frontier.next()) is not None:
        assert len(asked) < 500, "it never ends"
        if isinstance(step, Lost):
            decided.append(step)
            continue
        asked.append(step.url)
        decision = frontier.came(step, web.get(step.url, NOT_FOUND))
        if decision is not None:
            decided.append(decision)
    return asked, decided


def site_of(**pages: list[str]) -> dict[str, Outcome]:
    """A site without robots.txt and sitemap; `home` is its start."""
    return {
        HOME + ("" if name == "home" else name): page(*(HOME + link for link in links)) for name, links in pages.items()
    }


def test_pages_are_read_breadth_first_each_once_even_when_they_link_in_a_circle() -> None:
    web = site_of(home=["a", "b"], a=["b", "c", ""], b=["a"], c=["a", "d"], d=[])
    asked, decided = read_all(Frontier(HOME, depth=2, pages=15), web)
    assert asked == [HOME + path for path in ("robots.txt", "", "a", "b", "sitemap.xml", "c")]
    assert [d.address for d in decided] == [HOME + path for path in ("", "a", "b", "c")]


@pytest.mark.parametrize(("depth", "kept"), [(1, 2), (2, 3), (3, 4)])
def test_depth_counts_links_from_the_start(depth: int, kept: int) -> None:
    frontier = Frontier(HOME, depth=depth, pages=15)
    read_all(frontier, site_of(home=["1"], **{"1": ["2"], "2": ["3"], "3": ["4"], "4": []}))
    assert len(frontier.kept) == kept


def test_no_more_pages_are_kept_than_wanted() -> None:
    names = [f"p{n}" for n in range(40)]
    frontier = Frontier(HOME, depth=1, pages=15)
    asked, _ = read_all(frontier, site_of(home=names, **{name: [] for name in names}))
    assert len(frontier.kept) == 15
    assert len(asked) == 16


def test_a_site_of_errors_is_given_up() -> None:
    web = site_of(home=[f"p{n}" for n in range(400)])
    asked, _ = read_all(Frontier(HOME, depth=1, pages=15), web)
    assert len(asked) < 70


def test_other_sites_and_files_without_text_are_left_alone() -> None:
    web: dict[str, Outcome] = {
        HOME: page(
            "https://other.example/", "https://help.shop.example/x", "http://www.shop.example/a", f"{HOME}logo.PNG"
        ),
        "http://www.shop.example/a": page(),
    }
    asked, _ = read_all(Frontier(HOME, depth=2, pages=15), web)
    assert "http://www.shop.example/a" in asked
    assert "http://www.shop.example/robots.txt" in asked
    assert not any("other" in url or "help." in url or "PNG" in url for url in asked)


def test_robots_forbids_with_the_reason_and_what_was_kept_must_go() -> None:
    web = site_of(home=["private/x", "open"], open=[]) | {
        f"{HOME}robots.txt": RobotsRead(parse("User-agent: *\nDisallow: /private/\nCrawl-delay: 3"))
    }
    frontier = Frontier(HOME, depth=1, pages=15)
    asked, decided = read_all(frontier, web)
    assert f"{HOME}private/x" not in asked
    assert Lost(f"{HOME}private/x", "robots.txt forbids it", gone=True) in decided
    assert frontier.delay(Fetch("page", HOME)) == 3.0


def test_a_robots_file_that_is_away_forbids_everything_for_now() -> None:
    web = site_of(home=["a"]) | {f"{HOME}robots.txt": Refused("503: the server did not give it", status=503)}
    frontier = Frontier(HOME, depth=1, pages=15)
    asked, (lost,) = read_all(frontier, web)
    assert asked == [f"{HOME}robots.txt"]
    assert isinstance(lost, Lost)
    assert (lost.gone, "robots.txt could not be read" in lost.reason) == (False, True)
    assert frontier.vanished({HOME, f"{HOME}a"}) == set()


def test_a_robots_file_that_moved_is_read_where_it_is() -> None:
    there = "https://www.shop.example/robots.txt"
    web = site_of(home=["a"]) | {
        f"{HOME}robots.txt": Moved(there),
        there: RobotsRead(parse("User-agent: *\nDisallow: /a")),
    }
    frontier = Frontier(HOME, depth=1, pages=15)
    read_all(frontier, web)
    assert frontier.lost == {f"{HOME}a": "robots.txt forbids it"}


def test_a_sitemap_is_read_before_links_of_links_and_leads_to_further_ones() -> None:
    web = site_of(home=["a"], a=["deep"], deep=[], mapped=[], more=[]) | {
        f"{HOME}robots.txt": RobotsRead(parse(f"Sitemap: {HOME}map.xml\nSitemap: https://other.example/map.xml")),
        f"{HOME}map.xml": SitemapRead((f"{HOME}mapped", "https://other.example/x"), (f"{HOME}map2.xml",)),
        f"{HOME}map2.xml": SitemapRead((f"{HOME}more",)),
    }
    frontier = Frontier(HOME, depth=2, pages=15)
    asked, _ = read_all(frontier, web)
    assert asked.index(f"{HOME}map.xml") < asked.index(f"{HOME}deep")
    assert frontier.kept == {HOME + path for path in ("", "a", "deep", "mapped", "more")}


def test_sitemaps_that_name_each_other_come_to_an_end() -> None:
    web = site_of(home=[]) | {
        f"{HOME}sitemap.xml": SitemapRead((), tuple(f"{HOME}{n}.xml" for n in range(50))),
        **{f"{HOME}{n}.xml": SitemapRead((), (f"{HOME}sitemap.xml", f"{HOME}{n + 1}.xml")) for n in range(60)},
    }
    asked, _ = read_all(Frontier(HOME, depth=1, pages=15), web)
    assert len(asked) < 10


def test_redirects_are_followed_within_the_site_and_listed_where_they_lead() -> None:
    web = site_of(home=["old", "out", "inside"], new=[]) | {
        f"{HOME}old": Moved(f"{HOME}older"),
        f"{HOME}older": Moved(f"{HOME}new"),
        f"{HOME}out": Moved("http://169.254.169.254/latest/meta-data"),
        f"{HOME}inside": Moved(HOME),
    }
    frontier = Frontier(HOME, depth=1, pages=15)
    asked, decided = read_all(frontier, web)
    assert Keep(f"{HOME}new", ()) in decided
    assert frontier.lost == {f"{HOME}out": "it leads to another site, 169.254.169.254"}
    assert frontier.kept == {HOME, f"{HOME}new"}
    assert not any("169.254" in url for url in asked)


def test_redirect_loops_end_with_a_reason() -> None:
    web = site_of(home=["a", "h0"]) | {
        f"{HOME}a": Moved(f"{HOME}b"),
        f"{HOME}b": Moved(f"{HOME}a"),
        **{f"{HOME}h{n}": Moved(f"{HOME}h{n + 1}") for n in range(20)},
    }
    frontier = Frontier(HOME, depth=1, pages=15)
    read_all(frontier, web)
    assert frontier.lost == {
        f"{HOME}a": "it redirects in a circle",
        f"{HOME}h0": "it redirects more than 5 times",
    }


def test_a_page_is_known_by_the_address_that_it_gives_itself() -> None:
    web: dict[str, Outcome] = {
        HOME: page(f"{HOME}a?sort=price", f"{HOME}a?sort=name", f"{HOME}b"),
        f"{HOME}a?sort=price": page(own=f"{HOME}a"),
        f"{HOME}a?sort=name": page(own=f"{HOME}a"),
        f"{HOME}b": page(own="https://other.example/b"),
    }
    frontier = Frontier(HOME, depth=1, pages=15)
    _, decided = read_all(frontier, web)
    assert [d.address for d in decided if isinstance(d, Keep)] == [HOME, f"{HOME}a", f"{HOME}b"]


def test_a_page_that_does_not_want_to_be_indexed_still_leads_on() -> None:
    web = site_of(home=["list"], item=[]) | {f"{HOME}list": page(f"{HOME}item", indexed=False)}
    frontier = Frontier(HOME, depth=2, pages=15)
    read_all(frontier, web)
    assert frontier.lost == {f"{HOME}list": "the page asks not to be indexed"}
    assert f"{HOME}item" in frontier.kept


def test_what_has_not_changed_is_kept_with_where_it_led() -> None:
    known = {
        HOME: Known(HOME, '"1"', None, (f"{HOME}a", f"{HOME}gone")),
        f"{HOME}a": Known(f"{HOME}a", None, "Mon, 02 Nov 2026 10:00:00 GMT", ()),
        f"{HOME}gone": Known(f"{HOME}gone", '"3"', None, ()),
    }
    web: dict[str, Outcome] = {HOME: Unchanged(), f"{HOME}a": Unchanged()}
    frontier = Frontier(HOME, depth=1, pages=15, known=known)
    first = frontier.next()
    assert isinstance(first, Fetch)
    frontier.came(first, RobotsRead(ANYTHING))
    second = frontier.next()
    assert isinstance(second, Fetch)
    assert second.known == known[HOME]
    assert frontier.came(second, web[HOME]) == Still(HOME)
    _, decided = read_all(frontier, web)
    assert decided == [Still(f"{HOME}a"), Lost(f"{HOME}gone", NOT_FOUND.reason, gone=True)]
    assert frontier.vanished({HOME, f"{HOME}a", f"{HOME}gone", f"{HOME}unlinked"}) == {f"{HOME}unlinked"}


def test_a_page_that_is_away_for_a_while_takes_nothing_with_it() -> None:
    known = {
        HOME: Known(HOME, None, None, (f"{HOME}list",)),
        f"{HOME}list": Known(f"{HOME}list", None, None, (f"{HOME}item",)),
    }
    web = site_of(home=["list"], item=[]) | {f"{HOME}list": Refused("503: the server did not give it", status=503)}
    frontier = Frontier(HOME, depth=2, pages=15, known=known)
    _, decided = read_all(frontier, web)
    assert Lost(f"{HOME}list", "503: the server did not give it", gone=False) in decided
    assert frontier.vanished({HOME, f"{HOME}list", f"{HOME}item"}) == set()


def test_nothing_vanishes_with_a_start_that_is_away_or_a_sitemap_that_is() -> None:
    away = Refused("the server cannot be reached")
    gone_start = Frontier(HOME, depth=1, pages=15)
    read_all(gone_start, {f"{HOME}robots.txt": RobotsRead(ANYTHING), HOME: away})
    assert gone_start.vanished({f"{HOME}a"}) == set()
    no_map = Frontier(HOME, depth=1, pages=15)
    read_all(no_map, site_of(home=[]) | {f"{HOME}sitemap.xml": away})
    assert no_map.vanished({f"{HOME}a"}) == set()
    whole = Frontier(HOME, depth=1, pages=15)
    read_all(whole, site_of(home=[]))
    assert whole.vanished({f"{HOME}a"}) == {f"{HOME}a"}


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("HTTPS://Shop.Example:443/a/./b/../c#top", "https://shop.example/a/c"),
        ("http://shop.example", "http://shop.example/"),
        ("https://shop.example:8443/%7Euser/%e2%82%ac", "https://shop.example:8443/~user/%E2%82%AC"),
        ("https://shop.example/a?utm_source=x&b=2&gclid=1", "https://shop.example/a?b=2"),
        ("https://bücher.example/straße", "https://xn--bcher-kva.example/stra%C3%9Fe"),
        ("https://shop.example/a b", "https://shop.example/a%20b"),
        ("https://shop.example/../../etc/passwd", "https://shop.example/etc/passwd"),
        ("https://[2001:DB8::1]/", "https://[2001:db8::1]/"),
        ("https://shop.example./x;jsessionid=1A?y", "https://shop.example/x?y"),
    ],
)
def test_an_address_has_one_spelling(given: str, made: str) -> None:
    assert canonical(given) == made
    assert canonical(made) == made


@pytest.mark.parametrize(
    "given",
    [
        "ftp://shop.example/",
        "mailto:a@b.c",
        "/a",
        "https://",
        "https://user:pass@shop.example/",
        "https://a b/",
        "https://x:99999/",
        "https://shop.example/" + "x" * 2_000,
    ],
)
def test_what_is_no_address_of_the_web_is_refused(given: str) -> None:
    with pytest.raises(Invalid):
        canonical(given)
    assert joined("not an address", given) is None


def test_one_site_is_one_host_by_any_scheme_with_or_without_www() -> None:
    assert site("http://www.shop.example/") == site("https://shop.example/x") == "shop.example"
    assert site("https://shop.example:8443/") != site("https://shop.example/")
    assert site("https://help.shop.example/") != site("https://shop.example/")


@pytest.mark.parametrize(
    ("url", "content_type", "name"),
    [
        ("https://shop.example/", "text/html", "shop.example.html"),
        ("https://shop.example/help/returns", "text/html", "returns.html"),
        ("https://shop.example/list.php", "text/html", "list.php.html"),
        ("https://shop.example/prices.pdf", "text/html", "prices.html"),
        ("https://shop.example/prices", "application/pdf", "prices.pdf"),
        ("https://shop.example/readme.md", "text/plain", "readme.txt"),
    ],
)
def test_what_the_server_says_a_page_is_counts_for_more_than_its_ending(url: str, content_type: str, name: str) -> None:
    assert file_name(url, content_type) == name


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        ("User-agent: *\nDisallow: /", "/x", False),
        ("User-agent: *\nDisallow:", "/x", True),
        ("User-agent: other\nDisallow: /", "/x", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: Hookflash/1.0\nAllow: /", "/x", True),
        ("User-agent: a\nUser-agent: hookflash\nDisallow: /x", "/x/y", False),
        ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", True),
        ("User-agent: *\nAllow: /a\nDisallow: /a", "/a", True),
        ("User-agent: *\nDisallow: /*.pdf$", "/a/b.pdf", False),
        ("User-agent: *\nDisallow: /*.pdf$", "/a/b.pdf?x", True),
        ("User-agent: *\nDisallow: /*?sort=", "/list?sort=up", False),
        ("User-agent: *\nDisallow: /a$", "/ab", True),
        ("user-agent : *  # all\ndisallow : /a # no", "/a", False),
        ("Disallow: /", "/x", True),
        ("<html>not found</html>", "/x", True),
        ("User-agent: *\nDisallow: /" + "*a" * 2_000, "/" + "a" * 1_999, True),
    ],
)
def test_robots_rules(rules: str, path: str, allowed: bool) -> None:
    assert parse(rules).allow(path) is allowed


def test_links_are_those_of_the_page_against_its_base() -> None:
    html = b"""<html><head><base href="/help/"><link rel="canonical" href="returns"></head><body>
    <a href="a">A</a> <a href="a#x">again</a> <a href="mailto:x@y">mail</a> <a href="b" rel="nofollow">b</a>
    <a href="https://other.example/">other</a><a href="">self</a></body></html>"""
    links = read_links(html, "https://shop.example/x")
    assert links.links == ("https://shop.example/help/a", "https://other.example/")
    assert links.address == "https://shop.example/help/returns"
    assert read_links(b'<meta name="robots" content="NoIndex, nofollow"><a href="/a">a</a>', HOME) == PageLinks(
        (), None, False
    )
    assert read_links(b"", HOME) == PageLinks()


def test_sitemaps_are_xml_or_lines_and_entities_are_not_expanded() -> None:
    xml = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>
    <urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc> https://shop.example/a#x </loc></url>
    <url><loc>&e;</loc></url></urlset>"""
    assert read_sitemap(xml, HOME) == ([f"{HOME}a"], [])
    index = b"<sitemapindex><sitemap><loc>https://shop.example/m.xml</loc></sitemap></sitemapindex>"
    assert read_sitemap(index, HOME) == ([], [f"{HOME}m.xml"])
    assert read_sitemap(b"https://shop.example/a\nhttps://shop.example/b\nrubbish", HOME) == (
        [f"{HOME}a", f"{HOME}b"],
        [],
    )
    assert read_sitemap(b"<urlset><url><loc>", HOME) == ([], [])
