"""How well the text of a page can be read, from the colours that the browser really paints."""

from __future__ import annotations

from playwright.sync_api import Page

# WCAG 2, level AA: 4.5, and 3 for text that is large or large enough and bold.
_POOR = """
() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  /* Any colour the style sheet can name, laid over another, as three bytes. */
  const known = new Map();
  const over = (colour, below) => {
    const key = `${colour} ${below}`;
    if (!known.has(key)) known.set(key, painted(colour, below));
    return known.get(key);
  };
  const painted = (colour, below) => {
    pen.fillStyle = `rgb(${below.join(" ")})`;
    pen.fillRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const base = getComputedStyle(document.body).backgroundColor;
  const backdrop = (element) => {
    const chain = [];
    for (let e = element; e; e = e.parentElement) {
      chain.unshift(getComputedStyle(e).backgroundColor);
    }
    return chain.reduce((below, colour) => over(colour, below), over(base, [255, 255, 255]));
  };
  const luminance = (rgb) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  let texts = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || seen.has(element)) continue;
    seen.add(element);
    if (!element.checkVisibility() || element.closest("script, style, title")) continue;
    const style = getComputedStyle(element);
    const below = backdrop(element);
    const ink = over(element.closest("svg") ? style.fill : style.color, below);
    const [light, dark] = [luminance(ink), luminance(below)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    texts += 1;
    if (ratio < (large ? 3 : 4.5)) {
      const text = element.textContent.trim().slice(0, 40);
      found.push(`${ratio.toFixed(2)}: ${element.tagName} ${text}`);
    }
  }
  return { found: [...new Set(found)], texts };
}
"""


def hard_to_read(page: Page) -> list[str]:
    """The texts whose contrast to what is behind them is too low."""
    answer = page.evaluate(_POOR)
    assert answer["texts"] > 20, "nothing was looked at"
    found: list[str] = answer["found"]
    return found
