"""A server of the explorer, and a browser without a screen that looks at it."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
# What a function of the page's JavaScript needs of a source of a figure.
SOURCE = "Bokeh.documents[0].get_model_by_name"


@contextlib.contextmanager
def served(*arguments, cwd, env):
    """The address of a running explorer, which is ended in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "teacherstudent", "explore", "--no-browser", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=os.environ | env,
    )
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        if found is None:
            raise RuntimeError(f"the explorer said {line!r} and {process.communicate()[1]!r}")
        yield found[0]
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=300)  # a theory at work is finished first
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


@contextlib.contextmanager
def chromium():
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def column(page, source, name):
    """A column of a source, as lists of numbers."""
    script = f"Array.from({SOURCE}('{source}').data['{name}'], one => one.length === undefined || "
    return page.evaluate(f"{script} typeof one === 'string' ? one : Array.from(one))")


def wait_until_ready(page, seconds=240):
    """Until the theory of the present settings is shown."""
    page.wait_for_selector(".status.ready", timeout=1000 * seconds)


def wait_for(page, condition, seconds=240):
    """Until an expression of JavaScript is true."""
    page.wait_for_function(f"() => {condition}", timeout=1000 * seconds)
