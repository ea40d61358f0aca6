"""A real browser without a screen, and what it saw of a page."""

from __future__ import annotations

import json
import math
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from axe_core_python.base import AXE_SCRIPT
from axe_core_python.selenium import Axe
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement
from support.needs import program

WIDE, NARROW = 1440, 360
HEIGHT = 900
AXE = Axe(f"{AXE_SCRIPT}; axe.configure({{rules: [{{id: 'color-contrast', enabled: false}}]}})")
"""Rules of accessibility, as a script for the page. Contrasts are measured below: axe-core excuses large text, leaves
out what it is not sure of, and takes seconds."""

CONTROLS = "a[href], button, input, summary, [tabindex='0']"
TAG = "element.cloneNode(false).outerHTML"
"""An element without what is in it."""

CONTRASTS = """
const luminance = ([red, green, blue]) => 0.2126 * red + 0.7152 * green + 0.0722 * blue
const linear = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
const colour = (text) => {
  const [red, green, blue, alpha = 1] = text.match(/[\\d.]+/g).map(Number)
  return {alpha, light: luminance([red, green, blue].map((value) => linear(value / 255)))}
}
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const {alpha, light} = colour(getComputedStyle(at).backgroundColor)
    if (alpha === 1) return light
    if (alpha > 0) return NaN
  }
  return NaN
}
const seen = []
for (const element of document.body.querySelectorAll('*')) {
  const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE)
  const text = own.map((node) => node.data.trim()).join(' ').trim() || element.value
  if (!text || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue
  const both = [colour(getComputedStyle(element).color).light, ground(element)]
  seen.push([text, (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05)])
}
return seen
"""
"""Each text that is to be seen, and its contrast by WCAG 2.2 (NaN on a ground that is partly transparent)."""


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

    @property
    def focus(self) -> WebElement:
        """The element that keys go to."""
        return self.driver.switch_to.active_element

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

    def contrasts(self) -> list[tuple[str, float]]:
        """Each text that is to be seen, and its contrast."""
        return [(text, math.nan if ratio is None else ratio) for text, ratio in self.run(CONTRASTS)]

    def unfold(self) -> None:
        """Open what is folded."""
        self.run("for (const each of document.querySelectorAll('details')) each.open = true")

    def controls(self) -> list[str]:
        """What may be followed, filled in, pressed or moved, as HTML, from the top of the page on."""
        return list(self.run(f"return [...document.querySelectorAll({CONTROLS!r})].map(element => {TAG})"))

    def tab_stops(self, most: int) -> list[tuple[str, str]]:
        """The elements that the Tab key comes to, from the top of the page on, and the outline that each has then."""
        stops: list[tuple[str, str]] = []
        for _ in range(most):
            self.press("Tab")
            html, outline = self.run(
                "const element = document.activeElement, style = getComputedStyle(element);"
                f"return [{TAG}, `${{style.outlineStyle}} ${{style.outlineWidth}}`]"
            )
            if html.startswith("<body"):
                break
            stops.append((html, outline))
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
