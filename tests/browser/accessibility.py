"""What keeps people from using a page, as axe-core finds it."""

from __future__ import annotations

from pathlib import Path

from selenium.webdriver import Chrome

AXE = Path(__file__).resolve().parent / "vendor" / "axe.min.js"
# A transition that is caught half way has colours of its own.
RUN = """
    const done = arguments[arguments.length - 1];
    const moving = document.getAnimations().filter((each) => each instanceof CSSTransition);
    Promise.allSettled(moving.map((each) => each.finished))
        .then(() => axe.run({ resultTypes: ["violations"] }))
        .then(({ violations, passes }) => done([passes.length, violations.flatMap(
            ({ id, nodes }) => nodes.map((node) => [id, node.html, node.failureSummary]))]));
"""
# A phone and a desktop, each by day and by night: width and height in CSS pixels.
LOOKS = [
    (width, height, scheme)
    for width, height in ((390, 844), (1280, 900))
    for scheme in ("light", "dark")
]


def dress(browser: Chrome, width: int, height: int, scheme: str) -> None:
    """Make the page look as on such a device."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def assert_accessible(browser: Chrome, state: str) -> None:
    """No violation in any look; the page stays in its state meanwhile."""
    if not browser.execute_script("return 'axe' in window"):
        browser.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text("utf-8")})
    try:
        for look in LOOKS:
            dress(browser, *look)
            _assert_accessible(browser, f"{state}, {look}")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def _assert_accessible(browser: Chrome, state: str) -> None:
    rules, violations = browser.execute_async_script(RUN)
    assert rules > 0, "nothing was looked at"
    assert violations == [], f"{state}: {violations}"
    fits = "return document.documentElement.scrollWidth <= innerWidth"
    assert browser.execute_script(fits), f"{state}: wider than the screen"
