"""Who may talk to the server of the explorer."""

from types import SimpleNamespace

import pytest

pytest.importorskip("tornado", reason="the explorer's packages are not installed")

from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from teacherstudent.explorer.guard import Guard, new_token

TOKEN = "a-secret"
GUARD = Guard(TOKEN, 5006)
COOKIE = f"teacherstudent-explorer-5006={TOKEN}"
HOST = {"Host": "127.0.0.1:5006"}


def request(path="/", method="GET", **headers):
    given = HTTPHeaders({name.replace("_", "-"): value for name, value in headers.items()})
    line = RequestStartLine(method, path, "HTTP/1.1")
    connection = SimpleNamespace(context=None)
    return HTTPServerRequest(start_line=line, headers=given, connection=connection)


@pytest.mark.parametrize("host", ["127.0.0.1:5006", "localhost:5006", "localhost:8000", "[::1]:1"])
@pytest.mark.parametrize("path", ["/", "/ws", "/static/js/bokeh.min.js"])
def test_the_token_opens(host, path):
    assert GUARD.admits(request(f"{path}?token={TOKEN}", Host=host))
    assert GUARD.admits(request(path, Host=host, Cookie=COOKIE))


@pytest.mark.parametrize("path", ["/", "/ws", "/static/js/bokeh.min.js", "/nothing"])
@pytest.mark.parametrize(
    "query", ["", "?token=", "?token=a-secre", f"?token={TOKEN}x", f"?token=x&token={TOKEN}"]
)
def test_without_the_token_nothing_opens(path, query):
    assert not GUARD.admits(request(f"{path}{query}", **HOST))
    assert not GUARD.admits(request(path, **HOST, Cookie="teacherstudent-explorer-5006=no"))
    assert not GUARD.admits(request(path, **HOST, Cookie="another=a-secret"))


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:5006", "[", "", "10.0.0.1"]
)
def test_another_name_of_this_machine_is_refused(host):
    assert not GUARD.admits(request(f"/?token={TOKEN}", Host=host))


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:5007", "https://127.0.0.1:5006", "null"]
)
def test_a_foreign_page_is_refused_even_with_the_cookie(origin):
    assert not GUARD.admits(request("/ws", **HOST, Cookie=COOKIE, Origin=origin))
    assert GUARD.admits(request("/ws", **HOST, Cookie=COOKIE, Origin="http://127.0.0.1:5006"))


def test_only_the_first_request_is_an_entrance():
    assert GUARD.enters(request(f"/?token={TOKEN}", **HOST))
    assert not GUARD.enters(request("/", **HOST, Cookie=COOKIE))
    assert not GUARD.enters(request(f"/ws?token={TOKEN}", **HOST))
    assert not GUARD.enters(request(f"/?token={TOKEN}", method="POST", **HOST))


def test_tokens_are_long_and_differ():
    assert new_token() != new_token()
    assert len(new_token()) >= 43
