"""Take pictures of the pages: a small shop in real trouble, as a real browser shows it.

    PYTHONPATH=tests python tools/screenshots.py [DIRECTORY]    as root; without one, those of docs/pictures

A directory is given every page, in light and dark, wide and narrow, to be looked at.
"""

from __future__ import annotations

import shutil
import sys
import time
from io import BytesIO
from itertools import product
from pathlib import Path

from page.browser import NARROW, WIDE, Browser, chromium
from page.shop import Shop, shop
from PIL import Image

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
TOP = "/shop"
CONFIG = Path("/run/shop")
"""Where the configuration is: its path is on the pages."""
SECONDS = 4
COLUMN = 1280
"""How wide pictures in documents are: a page has no more to show beside that than its margins."""


def all_of(directory: Path, at: Shop, browser: Browser) -> None:
    """Write every page, whole, in every way to look at it."""
    checkout = at.children["checkout"][0].pid
    pages = {"home": "/", "config": "/config", "why": f"/config?pid={checkout}", "docs": "/docs"}
    for (name, path), width, dark in product(pages.items(), (WIDE, NARROW), (False, True)):
        browser.look(width=width, dark=dark)
        browser.open(at.url(path))
        file = f"{name}-{'dark' if dark else 'light'}-{'wide' if width == WIDE else 'narrow'}.png"
        directory.joinpath(file).write_bytes(browser.picture())


def for_documents(at: Shop, browser: Browser) -> None:
    """Write those that docs/pictures has."""
    for name, path, dark, end in (
        ("page-light", "/", False, "main"),
        ("page-dark", "/", True, "main"),
        ("page-config", f"/config?pid={at.children['checkout'][0].pid}", False, "table"),
    ):
        browser.look(width=COLUMN, dark=dark)
        browser.open(at.url(path))
        # Text of one colour on one ground needs few colours, and so half the bytes.
        picture = (
            Image.open(BytesIO(browser.picture(end)))
            .convert("RGB")
            .quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        )
        picture.save(PICTURES / f"{name}.png", optimize=True)


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        sys.exit(__doc__)
    CONFIG.mkdir()
    try:
        with shop(CONFIG, TOP) as at, chromium() as browser:
            browser.open(at.url("/"))
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                at.work()
                time.sleep(0.1)
            if arguments:
                directory = Path(arguments[0])
                directory.mkdir(exist_ok=True)
                all_of(directory, at, browser)
            else:
                for_documents(at, browser)
    finally:
        shutil.rmtree(CONFIG)


if __name__ == "__main__":
    main(sys.argv[1:])
