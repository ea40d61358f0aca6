"""A real browser without a screen, and what it saw of a page."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from axe_core_python.selenium import Axe
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from support.needs import program

WIDE, NARROW = 1280, 375
HEIGHT = 900
AXE = Axe()
"""Rules of accessibility, as a script for the page."""


class Browser:
    """Chromium, with one page open."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def look(self, *, width: int, dark: bool, script: bool = True) -> None:
        """How the pages that are opened from here on are looked at."""
        metrics = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": width == NARROW}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})

    def open(self, url: str) -> None:
        """Open a page; what the browser logged before is forgotten."""
        for kind in "performance", "browser":
            self.driver.get_log(kind)
        self.driver.get(url)

    def text(self, selector: str = "body") -> str:
        """What is to be read in the first element that a selector finds."""
        return self.driver.find_element("css selector", selector).text

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.driver.find_elements("css selector", selector)]

    def run(self, script: str) -> Any:
        """What a script returns that is run beside the page's own, of which there are none."""
        return self.driver.execute_script(script)

    @property
    def requests(self) -> list[str]:
        """What was asked for since the page was opened, as "METHOD URL"."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [event["params"]["request"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [f"{request['method']} {request['url']}" for request in asked]

    @property
    def complaints(self) -> list[str]:
        """What the browser wrote to its console since."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    @property
    def barriers(self) -> list[str]:
        """What keeps people from using the page, by the rules of axe-core: the rule, and where."""
        found = AXE.run(self.driver)["violations"]
        return [f"{rule['id']}: {node['html']} {node['failureSummary']}" for rule in found for node in rule["nodes"]]

    def tab_stops(self, most: int) -> list[str]:
        """The elements that the Tab key comes to, from the top of the page on, as their HTML begins."""
        stops: list[str] = []
        for _ in range(most):
            self.press("Tab")
            html = self.run("return document.activeElement.outerHTML")
            if html.startswith("<body"):
                break
            stops.append(html.partition(">")[0] + ">")
        return stops

    def press(self, key: str) -> None:
        codes = {"Tab": 9, "Enter": 13, "ArrowRight": 39}
        for kind in "rawKeyDown", "keyUp":
            pressed = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
            self.driver.execute_cdp_cmd("Input.dispatchKeyEvent", pressed)

    def picture(self, selector: str | None = None) -> bytes:
        """A PNG of the whole page, or of it down to the end of an element."""
        end = f"document.querySelector({selector!r}).getBoundingClientRect().bottom + scrollY + 24" if selector else ""
        width, height = self.run(
            f"return [innerWidth, Math.ceil({end or 'document.documentElement.getBoundingClientRect().height'})]"
        )
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        options = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        return b64decode(self.driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"])


@contextmanager
def chromium(flags: Sequence[str] = ()) -> Iterator[Browser]:
    """A browser for a while, with no proxy and nothing of its own to fetch."""
    options = ChromeOptions()
    options.binary_location = program("chromium")
    # Root has no sandbox; /dev/shm is small in containers.
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "no-proxy-server", *flags):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = Chrome(options=options, service=Service(executable_path=program("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
