"""The site: every link leads somewhere, every page is in the navigation, nothing comes from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import docpages
import pytest


@pytest.mark.parametrize("page", docpages.pages(), ids=docpages.name)
def test_relative_links_lead_to_files_and_headings(page):
    """Also in the README, which mkdocs does not see."""
    for link in docpages.links(page.read_text("utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), f"{docpages.name(page)}: {link}"
        if anchor and there.suffix == ".md":
            assert anchor in _anchors(there), f"{docpages.name(page)}: {link}"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", docpages.prose(page.read_text("utf-8")), re.MULTILINE)
    plain = (re.sub(r"[`*]", "", heading).lower() for heading in headings)
    return {
        re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading)).strip("-") for heading in plain
    }


def test_every_page_is_in_the_navigation():
    """A page nobody can find was not written."""
    navigation = (docpages.ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    listed = set(re.findall(r"[\w/-]+\.md", navigation))
    written = {
        page.relative_to(docpages.DOCS).as_posix()
        for page in docpages.pages()
        if docpages.DOCS in page.parents
    }
    assert listed == written


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site once, as strictly as `make docs`."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    done = subprocess.run(
        command, cwd=docpages.ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_nothing_on_a_page_is_loaded_from_elsewhere(site):
    """Fonts, scripts, styles and pictures are all in the folder: the site renders without network."""
    loaded = re.compile(r'<(?:script|img|iframe|source)[^>]*\ssrc="([^"]+)"|<link([^>]*)>')
    outside = []
    for page in site.rglob("*.html"):
        for source, link in loaded.findall(page.read_text("utf-8")):
            address = source or (re.search(r'href="([^"]+)"', link) or [""] * 2)[1]
            fetched = bool(source) or "stylesheet" in link or "icon" in link or "preload" in link
            if fetched and re.match(r"(?:https?:)?//", address):
                outside.append((page.name, address))
    assert outside == []
    styles = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"url\(\s*[\"']?https?:[^)]*", styles) == []
    assert not list(site.rglob("*.mermaid"))


def test_no_page_asks_for_mermaid(site):
    """The theme would fetch it from a content network; our diagrams are drawn beforehand."""
    assert [p.name for p in site.rglob("*.html") if 'class="mermaid"' in p.read_text("utf-8")] == []


def test_the_search_index_holds_every_page(site):
    """Search works from the folder, too."""
    index = (site / "search" / "search_index.json").read_text("utf-8")
    for page in docpages.pages():
        if docpages.DOCS in page.parents and page.stem != "index":
            where = page.relative_to(docpages.DOCS).with_suffix("").as_posix()
            assert f'"location":"{where}/"' in index.replace('": "', '":"'), where
