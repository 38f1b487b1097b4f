"""Dead links in the Markdown pages: files and headings that are not there. Links to other hosts are not followed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from infra.checks.finding import ROOT, Finding, tracked_files


FENCE = re.compile(r"^\s*(```|~~~)")
CODE_SPAN = re.compile(r"(`+).+?\1")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+[\"'(][^)]*)?\)")
DEFINITION = re.compile(r"^\s{0,3}\[[^\]]+\]:\s*<?([^\s>]+)>?")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$")
NAMED = re.compile(r"<(?:a|h\d|section|div)\s[^>]*(?:id|name)=[\"']([^\"']+)[\"']")
ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)


def prose_lines(text: str) -> Iterator[tuple[int, str]]:
    """Give number and text of each line outside fenced code."""
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        mark = FENCE.match(line)
        if mark and fence in {"", mark.group(1)}:
            fence = "" if fence else mark.group(1)
        elif not fence:
            yield number, line


def slug(heading: str) -> str:
    """Give the anchor of a heading as the common forges make it: lower case, no punctuation, hyphens for spaces."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors_in(text: str) -> frozenset[str]:
    """Give every anchor a link may point to; a repeated heading gets a number."""
    anchors: set[str] = set()
    seen: dict[str, int] = {}
    for _, line in prose_lines(text):
        anchors |= set(NAMED.findall(line))
        heading = HEADING.match(line)
        if heading:
            base = slug(heading.group(1))
            count = seen.get(base, 0)
            seen[base] = count + 1
            anchors.add(f"{base}-{count}" if count else base)
    return frozenset(anchors)


@cache
def anchors_of(path: Path) -> frozenset[str]:
    """Give the anchors of a page on disk."""
    return anchors_in(path.read_text(encoding="utf-8"))


def targets_in(text: str) -> Iterator[tuple[int, str]]:
    """Give line and target of each link and image that stays in the repository."""
    for number, line in prose_lines(text):
        bare = CODE_SPAN.sub("", line)
        found = LINK.findall(bare) + DEFINITION.findall(bare)
        yield from ((number, target) for target in found if not ELSEWHERE.match(target))


def check_page(page: Path, root: Path) -> Iterator[Finding]:
    """Find the dead links of one page."""
    name = page.relative_to(root).as_posix()
    for number, target in targets_in(page.read_text(encoding="utf-8")):
        file_part, _, anchor = unquote(target).partition("#")
        base = root if file_part.startswith("/") else page.parent
        path = (base / file_part.lstrip("/")).resolve() if file_part else page
        if not path.is_relative_to(root.resolve()) or not path.exists():
            yield Finding(name, number, "dead-link", f"{target}: no such file in the repository")
        elif anchor and path.suffix == ".md" and anchor not in anchors_of(path):
            yield Finding(name, number, "dead-link", f"{target}: no such heading")


def check(root: Path = ROOT) -> list[Finding]:
    """Find every dead link of the repository's pages."""
    pages = [path for path in tracked_files(root) if path.suffix == ".md"]
    return sorted(finding for page in pages for finding in check_page(page, root))
