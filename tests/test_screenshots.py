"""The pictures in the README: they are there, they are small, and the script makes them."""

import os
import re
from pathlib import Path

import pytest
from browser import CHROMIUM
from PIL import Image
from screenshots import MOST_BYTES, README_PICTURES, ROOT, readme_pages, readme_pictures

CHART = "side-by-side.png"  # of the benchmarks
README = (ROOT / "README.md").read_text("utf-8")


def pictures_in(markdown: str) -> list[str]:
    """The addresses of all pictures, in Markdown or in HTML."""
    found = re.findall(r'!\[[^\]]*\]\(([^)\s]+)|<(?:img|source)\b[^>]*?\b(?:src|srcset)="([^"\s]+)', markdown)
    return [one or other for one, other in found]


def test_the_pictures_of_a_text_are_found() -> None:
    text = '![a](x.png) <picture><source media="(m)" srcset="y.png"><img alt="z" src="z.png"></picture> [b](c.png)'
    assert pictures_in(text) == ["x.png", "y.png", "z.png"]


def test_every_picture_of_the_readme_exists() -> None:
    for address in pictures_in(README):
        inside = address.partition("/main/")[2] if address.startswith("https://raw.githubusercontent.com/") else address
        if "://" not in inside:
            assert (ROOT / inside).is_file(), address


MADE = {f"{name}.png" for name, _, _ in readme_pages()}


def test_the_pictures_are_those_that_the_scripts_make_and_small() -> None:
    assert {picture.name for picture in README_PICTURES.iterdir()} == MADE | {CHART}
    for picture in README_PICTURES.iterdir():
        assert picture.stat().st_size <= MOST_BYTES


@pytest.mark.skipif(CHROMIUM is None or os.name == "nt", reason="there is no Chromium on the path")
def test_the_script_makes_the_pictures(tmp_path: Path) -> None:
    readme_pictures(tmp_path)
    for name in MADE:
        with Image.open(README_PICTURES / name) as kept, Image.open(tmp_path / name) as made:
            assert made.width == kept.width  # the height depends on the fonts that are there
            assert made.height > 200
