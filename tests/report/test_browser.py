"""The report in a real browser: it runs without a message on the console, and fits a phone and a desk."""

import base64
import os
import shutil

import pytest

from selfalign.report.collect import collect
from selfalign.report.examples import Example
from selfalign.report.render import render

BROWSER, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
HOSTILE = "</script></style></pre><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"><h1>Big" + "wide" * 100
# Elements that reach beyond the window's right edge and are not in something that scrolls.
WIDE = """return [...document.querySelectorAll("main *")].filter((element) => {
  const place = element.getBoundingClientRect();
  return place.width && place.right > innerWidth + 1 && !element.closest(".scroll, svg");
}).map((element) => element.outerHTML.slice(0, 200));"""


@pytest.fixture(scope="module")
def browser():
    if not (BROWSER and DRIVER):
        if os.environ.get("CI_BROWSER"):
            pytest.fail("no chromium and chromedriver on PATH")
        pytest.skip("no chromium and chromedriver on PATH")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def hostile_page(run, summary_file, tmp_path):
    """The report of the run, with texts in it that try to break out of every place where text can stand."""
    facts = collect(summary_file, run.kept, run.dropped, [], [], run.loss, run.evaluation)
    listings = [(HOSTILE, "python", HOSTILE), ("Response", "markdown", f"```python\n{HOSTILE}")]
    example = Example(HOSTILE, HOSTILE, HOSTILE, {"path": HOSTILE}, listings, HOSTILE)
    facts.examples = {dataset: ([example] * 10, [example] * 10) for dataset in facts.examples}
    facts.concepts = {"lists": {2: 3, 5: 4}, "distinct": 2, "total": 7, "top": [(HOSTILE, 4), ("loops", 3)]}
    facts.origins = [{"source": HOSTILE, "licence": HOSTILE, "seeds": 1, "rows": 1}]
    cluster = {"size": 2, "id": "a", "member": "b", "difference": HOSTILE}
    facts.clusters = {"functions": {"clusters": 1, "rows": 2, "sizes": {2: 1}, "largest": [cluster]}}
    facts.summary["config"]["model"]["path"] = HOSTILE
    path = tmp_path / "report.html"
    path.write_text(render(facts), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_no_message_and_nothing_too_wide(browser, hostile_page, width, scheme):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(f"file://{hostile_page}")
    for opened in (False, True):
        browser.execute_script("for (const part of document.querySelectorAll('details')) part.open = arguments[0]", opened)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.execute_script(WIDE) == []
    assert browser.get_log("browser") == []
    assert browser.title.startswith("selfalign: ") and browser.execute_script("return document.querySelectorAll('script, h1').length") == 2
    picture = browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"]
    (hostile_page.parent / f"{width}-{scheme}.png").write_bytes(base64.b64decode(picture))
    dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(18, 21, 26)"
    assert dark is (scheme == "dark")


def test_tables_sort_and_links_open_what_they_lead_to(browser, hostile_page):
    browser.get(f"file://{hostile_page}")
    rows = "return [...document.querySelectorAll('section#cost table')][0].querySelectorAll('tbody tr').length"
    assert browser.execute_script(rows) > 5
    column = """const table = document.querySelector("section#cost table");
        table.querySelectorAll("th button")[4].click();
        return [...table.tBodies[0].rows].map((row) => Number(row.cells[4].textContent.replaceAll(",", "")));"""
    largest_first, smallest_first = browser.execute_script(column), browser.execute_script(column)
    assert largest_first == sorted(largest_first, reverse=True) and smallest_first == sorted(smallest_first)
    assert len(set(largest_first)) > 5
    assert browser.execute_script("return document.getElementById('step-seeds').open") is False
    browser.find_element("css selector", "a[href='#step-seeds']").click()
    assert browser.execute_async_script("const end = arguments[0]; setTimeout(() => end(document.getElementById('step-seeds').open), 200)") is True
