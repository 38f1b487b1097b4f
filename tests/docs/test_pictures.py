"""The pictures of the manual are of the product: drawn by Debian's browser from pages that real operations made.

``SHUZHA_PICTURES=1 pytest tests/docs/test_pictures.py`` draws them anew into ``docs/pictures``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from export_gate import notes
from export_gate.page import evidence_page
from export_gate.page_html import render
from export_gate.review import Decision, vote
from sandbox.messages import Language
from tests.factories import Stage
from tests.fixtures_domain import WorldAt


ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 1080, 4000
WORDS = {
    Language.ZH: ("北区人数偏少，请再看一眼。", "各组人数均已加噪，同意出域。", "用途写得过宽，暂不同意。"),
    Language.EN: ("The north is small; look twice.", "Every group is measured with noise.", "The purpose is too wide."),
}


def draw(html: str, folder: Path) -> Path:
    """Let the browser draw a page, without network, profile or script of its own."""
    page, picture = folder / "page.html", folder / "page.png"
    page.write_text(html, encoding="utf-8")
    subprocess.run(
        [
            str(shutil.which("chromium")),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--proxy-server=127.0.0.1:9",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={WIDTH},{HEIGHT}",
            f"--screenshot={picture}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return picture


def cut(picture: Path) -> Path:
    """Cut the empty paper below the page."""
    from PIL import Image, ImageChops

    with Image.open(picture) as drawn:
        plain = drawn.convert("RGB")
        ink = ImageChops.difference(plain, Image.new("RGB", plain.size, "white")).getbbox()
        assert ink is not None
        plain.crop((0, 0, plain.width, min(ink[3] + 40, plain.height))).quantize(64).save(picture, optimize=True)
    return picture


@pytest.mark.parametrize("language", Language)
def test_the_evidence_page_is_drawn(world_at: WorldAt, language: Language, tmp_path: Path) -> None:
    if shutil.which("chromium") is None:
        pytest.skip("Debian's browser is not installed (package chromium)")
    world = world_at(Stage.IN_REVIEW)
    comment, first, second = WORDS[language]
    export, digest = world.ids["export"], world.ids["digest"]
    notes.comment(world.domain, world.session("reviewer"), export, comment, private=True)
    vote(world.domain, world.session("reviewer"), export, Decision.APPROVE, reason=first, digest=digest)
    vote(world.domain, world.session("expert"), export, Decision.REFUSE, reason=second, digest=digest)
    made = evidence_page(world.domain, world.session("officer"), export)
    picture = cut(draw(render(made, language), tmp_path))
    from PIL import Image

    with Image.open(picture) as drawn:
        assert drawn.width == WIDTH
        # Shorter than the window: else something of the page is not on the picture. Longer than half: else something failed.
        assert HEIGHT // 3 < drawn.height < HEIGHT
    if os.environ.get("SHUZHA_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        shutil.copyfile(picture, PICTURES / f"evidence-{language}.png")


def test_every_picture_is_shown_on_a_page_and_no_page_misses_one() -> None:
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
    kept = {path.name for path in PICTURES.glob("*.png")}
    assert kept >= {f"evidence-{language}.png" for language in Language}
    assert {name for name in kept if f"pictures/{name}" not in pages} == set()
