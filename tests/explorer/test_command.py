"""The command `explore` as a user meets it."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from tests.processes import quick_compilation

pytest.importorskip("panel", reason="the explorer's packages are not installed")

WITHOUT_PANEL = """
import sys
sys.modules["panel"] = None
from teacherstudent.command.cli import main
sys.argv = ["teacherstudent", "explore"]
main()
"""


def run(*command, cwd):
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | quick_compilation(),
        timeout=120,
    )


def explore(*arguments, cwd):
    return run("-m", "teacherstudent", "explore", "--no-browser", *arguments, cwd=cwd)


def status_of(port, path, **headers):
    """Status, text and headers of what the server answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as answer:
            return answer.status, answer.read().decode(errors="replace"), answer


def test_without_panel_it_says_what_to_install(tmp_path):
    done = run("-c", WITHOUT_PANEL, cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install 'teacherstudent[explore]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_commands_do_without_panel(tmp_path):
    code = "import sys, teacherstudent.command.cli; print({'panel', 'bokeh'} & set(sys.modules))"
    assert run("-c", code, cwd=tmp_path).stdout.strip() == "set()"


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["saad-solla-1995-k22"], "did you mean 'saad-solla-1995-k2'"),
        (["nowhere.h5"], "nowhere.h5"),
        (["escape-k3"], "not one curve in time"),
    ],
)
def test_what_cannot_be_opened_is_one_sentence(arguments, sentence, tmp_path):
    done = explore(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_one_sentence(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = explore("--port", str(port), cwd=tmp_path)
    assert done.returncode == 2
    assert f"--port {port} is taken" in done.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A running server: its process, port and token; Ctrl-C ends it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "teacherstudent", "explore", "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path_factory.mktemp("server"),
        env=os.environ | quick_compilation(),
    )
    found = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", process.stdout.readline())
    yield process, int(found[1]), found[2]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip() == "interrupted; the explorer has ended."


@pytest.mark.parametrize("path", ["/", "/ws", "/static/js/bokeh.min.js", "/?token=wrong"])
def test_without_the_token_the_server_refuses(server, path):
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    for headers in ({}, upgrade):
        status, text, _ = status_of(server[1], path, **headers)
        assert status == 403
        assert "teacherstudent explore" in text


def test_the_token_becomes_a_cookie(server):
    _, port, token = server
    status, _, answer = status_of(port, f"/?token={token}")
    cookie = answer.getheader("Set-Cookie")
    assert status == 302 and answer.getheader("Location") == "/"
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    status, text, _ = status_of(port, "/", Cookie=cookie.split(";")[0])
    assert status == 200 and "bokeh.min.js" in text
    assert "cdn." not in text


def test_foreign_hosts_and_pages_are_refused(server):
    _, port, token = server
    assert status_of(port, f"/?token={token}", Host="evil.example")[0] == 403
    assert status_of(port, f"/?token={token}", Origin="http://evil.example")[0] == 403


def test_only_this_machine_is_served(server):
    addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None)}
    for address in addresses - {"127.0.0.1", "::1"}:
        with pytest.raises(OSError):
            socket.create_connection((address, server[1]), timeout=5).close()
