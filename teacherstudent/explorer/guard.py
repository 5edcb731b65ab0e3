"""Who may talk to the server: pages of this machine that know its token.

The server listens on 127.0.0.1 alone, but every program of every user of the machine reaches that,
and so does any page that is open in the browser.  Each request (those of the websocket, too) must
therefore

- name this machine in its Host, so that no foreign name can be pointed at it (DNS rebinding);
- come from a page of this server, where its Origin says from which one;
- bring the token, in the address at first, and in a cookie from then on.

All others are answered with 403 before anything of Panel or Bokeh sees them.
"""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest
from tornado.routing import Matcher, Rule
from tornado.web import Application, RequestHandler

LOCAL = ("127.0.0.1", "localhost", "::1")
ENTRANCE = "/"
SENTENCE = (
    "403: this page needs the address with the token that `teacherstudent explore` printed in its "
    "terminal.\n"
)


def new_token() -> str:
    """A secret of 256 bits."""
    return secrets.token_urlsafe(32)


class Guard:
    """Decides on requests; `port` tells the cookies of several explorers apart."""

    def __init__(self, token: str, port: int):
        self._token = token
        self.cookie = f"teacherstudent-explorer-{port}"

    def admits(self, request: HTTPServerRequest) -> bool:
        """Whether a request may go on."""
        return self._is_of_here(request) and (
            self.brings_token(request) or self._has_cookie(request)
        )

    def enters(self, request: HTTPServerRequest) -> bool:
        """Whether a request is the first one, with the token in its address."""
        wanted = request.method == "GET" and request.path == ENTRANCE
        return wanted and self._is_of_here(request) and self.brings_token(request)

    def brings_token(self, request: HTTPServerRequest) -> bool:
        """Whether the token is in the address."""
        given = request.query_arguments.get("token", [])
        return len(given) == 1 and self._is_token(given[0])

    def _has_cookie(self, request: HTTPServerRequest) -> bool:
        morsel = request.cookies.get(self.cookie)
        return morsel is not None and self._is_token(morsel.value.encode())

    def _is_token(self, given: bytes) -> bool:
        return secrets.compare_digest(given, self._token.encode())

    def _is_of_here(self, request: HTTPServerRequest) -> bool:
        """Whether Host, and Origin if there is one, are this server's.

        The port may be another one, of a tunnel (`ssh -L`), but must be the same in both.
        """
        host = request.headers.get("Host", "")
        if _name_of(f"//{host}") not in LOCAL:
            return False
        origins = request.headers.get_list("Origin")
        return all(origin == f"http://{host}" for origin in origins)

    def keep_out(self, application: Application, token: str) -> None:
        """From now on, ask this guard before all other rules of an application."""
        rules = application.default_router.rules
        rules.insert(0, Rule(_When(lambda request: not self.admits(request)), _Refusal))
        entrance = {"cookie": self.cookie, "token": token}
        rules.insert(1, Rule(_When(self.enters), _Entrance, entrance))


def _name_of(address: str) -> str:
    """The host of an address without its port; "" if it is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


class _When(Matcher):
    """Matches the requests for which a function is true."""

    def __init__(self, function: Any):
        self._function = function

    def match(self, request: HTTPServerRequest) -> dict | None:
        return {} if self._function(request) else None


class _Refusal(RequestHandler):
    """Answers everything with 403, the upgrade of a websocket included."""

    def prepare(self) -> None:
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(SENTENCE)


class _Entrance(RequestHandler):
    """Takes the token out of the address into a cookie, so that no history keeps it."""

    def initialize(self, cookie: str, token: str) -> None:
        self._cookie = cookie
        self._token = token

    def get(self) -> None:
        # Only this site's own pages send it, and no script reads it.
        self.set_cookie(self._cookie, self._token, httponly=True, samesite="Strict")
        self.set_header("Referrer-Policy", "no-referrer")
        self.redirect(ENTRANCE)
