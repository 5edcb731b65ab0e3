"""`python -m benchmarks.explorer [CASE...]`: from a slider's move to the new curve, in a browser.

A headless Chromium presses an arrow key on the slider of the learning rate.  Measured is, by the
browser's own clock, the time from the key to the new numbers in the figure, and to the frame in
which they are drawn: it has the way to the server and back, the theory, and the drawing.  The first
theory of each case is apart: it has the compilation, unless an earlier run has kept the program.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from teacherstudent.explorer import controls
from teacherstudent.explorer.state import default_state, tables_of
from teacherstudent.explorer.toml_text import toml_text
from tests.explorer.browser import CHROMIUM, chromium, served, wait_for, wait_until_ready

MOVES = 15
CASES = {
    "teacher-student, erf, K = M = 2": {},
    "the same, relu": {"activation": "relu", "teacher_activation": "relu"},
    "K = 4, M = 2, both layers, noise": {"K": 4, "train_readout": True, "noise": 0.1},
    "K = 8, M = 4, both layers": {"K": 8, "M": 4, "train_readout": True},
    "exponential decay of the rate": {"schedule": "exponential"},
    "hidden manifold (limit), K = M = 2": {
        "task": controls.HIDDEN_MANIFOLD,
        "start": controls.OVERLAPS,
    },
    "spiked cumulant, K = 2, all layers": {
        "task": controls.SPIKED_CUMULANT,
        "start": controls.OVERLAPS,
        "train_readout": True,
        "train_bias": True,
        "stop": 100,
    },
}
# Stamps of the last key, of the numbers after it, and of the frame that shows them.
LISTEN = """(source) => {
    window.stamps = {};
    document.addEventListener("keydown", () => { window.stamps = {key: performance.now()}; }, true);
    const data = Bokeh.documents[0].get_model_by_name(source);
    data.properties.data.change.connect(() => {
        window.stamps.numbers ??= performance.now();
        requestAnimationFrame(() => { window.stamps.frame ??= performance.now(); });
    });
}"""


def main(names: list[str]) -> None:
    """Measure some cases, or all, and print a line for each."""
    print(f"{'what is moved':<38}{'first':>8}{'numbers':>10}{'frame':>10}{'largest':>10}")
    with chromium() as browser:
        for name in names or CASES:
            first, moves = measured(browser, CASES[name])
            numbers, frame = np.median(moves, axis=0)
            largest = np.max(moves, axis=0)[1]
            row = f"{first:>6.1f} s{numbers:>7.0f} ms{frame:>7.0f} ms{largest:>7.0f} ms"
            print(f"{name:<38}{row}", flush=True)


def measured(browser, changes: dict) -> tuple[float, np.ndarray]:
    """Seconds to the first theory; milliseconds of each move, to numbers and to the frame."""
    with tempfile.TemporaryDirectory() as folder:
        text = toml_text(tables_of(default_state() | changes))
        Path(folder, "case.toml").write_text(text)
        with served("case.toml", cwd=folder, env={}) as address:
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            began = time.perf_counter()
            page.goto(address)
            wait_until_ready(page)
            first = time.perf_counter() - began
            moves = moved(page)
            page.close()
    return first, moves


def moved(page) -> np.ndarray:
    """The times of some moves, one after the other."""
    error = (
        "eps_g"
        if page.evaluate("!!Bokeh.documents[0].get_model_by_name('theory-eps_g')")
        else "loss"
    )
    page.evaluate(LISTEN, f"theory-{error}")
    handle = page.locator(".control-eta .noUi-handle").first
    handle.focus()
    rows = []
    for _ in range(MOVES):
        handle.press("ArrowRight")
        wait_for(page, "window.stamps.frame !== undefined")
        stamps = page.evaluate("window.stamps")
        rows.append([stamps["numbers"] - stamps["key"], stamps["frame"] - stamps["key"]])
        page.wait_for_timeout(200)
    return np.array(rows)


if __name__ == "__main__":
    if CHROMIUM is None:
        raise SystemExit("there is no Chromium to measure in; apt-get install chromium.")
    main(sys.argv[1:])
