"""Studies to report on, and a browser without a network to look at the page."""

from __future__ import annotations

import os
import shutil
import time

import numpy as np
import pytest

import gpbo

NASTY = "</script><script>window.broken=1</script><img src=x onerror=window.broken=1> & $x$ %{y} \"'"


@pytest.fixture(scope="session")
def study():
    """A tuning study with failures, noise and trials under way."""
    space = {
        "rate": gpbo.Float(1e-5, 1e-1, log=True),
        "depth": gpbo.Int(2, 32),
        "kind": gpbo.Categorical(["relu", "gelu", "tanh"]),
        "constant": gpbo.Int(1, 1),
    }
    opt = gpbo.Optimizer(space, direction="maximize", seed=0)
    rng = np.random.default_rng(0)
    for _ in range(4):
        for trial in opt.ask(5):
            if trial.id == 7:
                opt.fail(trial, "Traceback ...\nMemoryError: out of memory")
            else:
                value = -((np.log10(trial["rate"]) + 3) ** 2) - (trial["depth"] / 30 - 0.4) ** 2
                opt.tell(trial, value + 0.1 * (trial["kind"] == "gelu") + 0.01 * rng.standard_normal())
    opt.ask(2)
    return opt


@pytest.fixture(scope="session")
def hostile():
    """Names, choices, reasons and numbers that try to break the page."""
    space = {
        NASTY: gpbo.Categorical([NASTY, "<b>bold</b>", "line\nbreak", "long" * 100]),
        "value": gpbo.Float(-1e307, 1e307),
        "__proto__": gpbo.Int(-(2**63), 2**63 - 1),
        "<a href='https://example.org'>x</a>": gpbo.Categorical([True, False]),
        "date": gpbo.Categorical(["2020-01-01", "2021-01-01", "2022-01-01"]),
    }
    opt = gpbo.Optimizer(space, seed=0)
    batch = opt.ask(14)
    opt.tell(batch[:12], np.linspace(-1e300, 1e300, 12))
    opt.fail(batch[12], NASTY)
    return opt


@pytest.fixture
def browser():
    """Opens a page of a given size and theme, and waits until it is drawn."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not (chromium and driver):
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    opened = []

    def open_page(path, width=1280, height=900, dark=False):
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        opened.append(page)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
        page.get(path.as_uri())
        deadline = time.monotonic() + 60
        while page.execute_script("return document.documentElement.dataset.drawn") != "yes":
            assert time.monotonic() < deadline, page.get_log("browser")
            time.sleep(0.05)
        return page

    yield open_page
    for page in opened:
        page.quit()


@pytest.fixture
def picture_of(request):
    """Keeps a screenshot where the variable GPBO_SCREENSHOTS names a folder."""

    def keep(page, name):
        if folder := os.environ.get("GPBO_SCREENSHOTS"):
            height = page.execute_script("return document.documentElement.scrollHeight")
            width = page.execute_script("return document.documentElement.clientWidth")
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
            page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            time.sleep(1)
            page.save_screenshot(f"{folder}/{name}.png")

    return keep
