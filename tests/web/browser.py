"""A real Chromium for the tests of the page, driven by Playwright; `make test-web` sets both up."""

import contextlib
import os
import shutil
import unittest
from collections.abc import Iterator
from typing import Any

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sync_playwright = None

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = (
    "no Playwright: make test-web installs it" if sync_playwright is None
    else "no Chromium: apt-get install chromium" if CHROMIUM is None else ""
)  # fmt: skip
PATIENCE = 60  # seconds that a page may take for anything, on a machine that does much else
needed = unittest.skipIf(MISSING, MISSING)

# The contrast of each text with the nearest opaque ground below it, by WCAG 2; those under 4.5 (3 for large text).
LOW_CONTRAST = """() => {
  const rgb = (text) => (text.match(/[0-9.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = rgb(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const node = text.parentElement;
    if (!text.textContent.trim() || !node.getClientRects().length || node.closest("script, noscript")) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(rgb(style.color)), light(ground(node))].sort((x, y) => y - x);
    const needed = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
    if ((a + 0.05) / (b + 0.05) < needed) low.push([text.textContent.trim(), (a + 0.05) / (b + 0.05)]);
  }
  return low;
}"""


# WebGPU computed by the processor, which shows what a GPU would take and give, though not how fast.
WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")


@contextlib.contextmanager
def chromium(*options: str) -> Iterator[Any]:
    """A browser, which root can only run without its sandbox."""
    arguments = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", *options]
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
