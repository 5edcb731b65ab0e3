"""The explorer in a real browser without a screen: Debian's Chromium."""

import tomllib

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.explorer.live import Theory
from teacherstudent.explorer.toml_text import toml_text
from tests.explorer.browser import (
    CHROMIUM,
    SOURCE,
    chromium,
    column,
    served,
    wait_for,
    wait_until_ready,
)
from tests.explorer.cases import tables
from tests.processes import quick_compilation

pytest.importorskip("panel", reason="the explorer's packages are not installed")
pytest.importorskip("playwright", reason="playwright, which drives the browser, is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with an experiment and a result of another learning rate."""
    folder = tmp_path_factory.mktemp("explored")
    (folder / "quick.toml").write_text(toml_text(tables(eta=0.3)))
    ts.save(folder / "other.h5", theory=Theory().answer(tables(eta=0.1)).theory)
    return folder


@pytest.fixture(scope="module")
def address(folder):
    with served("quick.toml", cwd=folder, env=quick_compilation()) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser, address):
    """A page whose first theory is shown; all that it asked for came from this machine."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(240_000)
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    wait_until_ready(page)
    yield page
    page.close()
    foreign = [
        url for url in asked if not url.startswith(("http://127.0.0.1:", "blob:http://127.0"))
    ]
    assert foreign == []
    assert errors == []


def taken_away(page, label):
    """The content of a file that the page gives away."""
    button = page.locator("a", has_text=label)
    with page.expect_download() as download:
        button.click()
    return download.value.path()


def press(page, name, key):
    """Move a slider by a key."""
    handle = page.locator(f".control-{name} .noUi-handle").first
    handle.focus()
    handle.press(key)


def test_a_slider_moves_the_curve_to_that_of_integrate(page):
    before = column(page, "theory-eps_g", "ys")
    press(page, "eta", "ArrowRight")
    wait_for(page, f"{SOURCE}('theory-eps_g').data.ys[0][5] != {before[0][5]!r}")
    wait_until_ready(page)
    given = tomllib.loads(taken_away(page, "experiment (.toml)").read_text())
    assert given["rule"]["learning_rate"] == pytest.approx(0.31)
    plan = ts.Experiment.from_tables("explored", given).plan
    expected = ts.integrate(plan.problem, plan.start, plan.times)
    # The server's programs are compiled without optimisation, and round in other places.
    np.testing.assert_allclose(column(page, "theory-eps_g", "ys")[0], expected.eps_g, rtol=1e-7)
    np.testing.assert_allclose(column(page, "theory-eps_g", "xs")[0], expected.time, rtol=1e-12)


def test_networks_are_simulated_and_taken_away(page):
    page.get_by_label("input dimension N").select_option("50")
    page.get_by_role("button", name="Simulate").click()
    wait_for(page, f"{SOURCE}('marks-eps_g').data.x.length > 0")
    tree = ts.load(taken_away(page, "result file (.h5)"))
    networks = tree["simulation"].to_dataset()
    times = column(page, "marks-eps_g", "x")
    shown = networks.eps_g.mean("seed").sel(time=times, method="nearest")
    np.testing.assert_allclose(column(page, "marks-eps_g", "y"), shown, rtol=1e-12)
    assert page.get_by_text(tree["comparison"].attrs["verdict"]).is_visible()


def test_a_result_file_lies_over_the_curve(page, folder):
    page.locator(".choices input").click()
    page.get_by_text("other.h5").first.click()
    wait_for(page, f"{SOURCE}('files-eps_g').data.xs.length == 1")
    other = ts.load(folder / "other.h5")["theory"].to_dataset()
    np.testing.assert_allclose(column(page, "files-eps_g", "ys")[0], other.eps_g, rtol=1e-12)


def test_a_bad_combination_is_told_and_the_curve_dimmed(page):
    page.locator(".control-rule select").select_option("Nero")
    page.locator(".control-train_readout input").check()
    page.wait_for_selector(".status.failed")
    assert "Nero" in page.locator(".status.failed").inner_text()
    assert page.get_by_text("Traceback").count() == 0
    page.locator(".control-rule select").select_option("SGD")
    wait_until_ready(page)


def test_without_the_token_the_page_is_refused(browser, address):
    stranger = browser.new_context().new_page()
    answer = stranger.goto(address.split("?")[0])
    assert answer.status == 403
    url = address.split("?")[0].replace("http", "ws") + "ws"
    script = f"""() => new Promise(done => {{
        const socket = new WebSocket("{url}");
        socket.onopen = () => done("open");
        socket.onerror = () => done("refused");
    }})"""
    assert stranger.evaluate(script) == "refused"
    stranger.close()


@pytest.mark.parametrize("width", [1280, 800])
def test_nothing_is_wider_than_the_page(page, width):
    page.set_viewport_size({"width": width, "height": 1000})
    wait_for(page, f"document.documentElement.scrollWidth <= {width}")
