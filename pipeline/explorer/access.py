"""Who may read, and what pages may do: the token, the headers of every answer, and errors as problem+json."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .options import LOOPBACK, same_token

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self'{media}; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy: nothing inline, nothing from elsewhere, but videos from the bucket's own host."""


def policy(media_from: str = "") -> str:
    """The policy of a page whose videos may also come from another origin.

    >>> "media-src 'self' https://b.example;" in policy("https://b.example"), "media-src 'self';" in policy()
    (True, True)
    """
    return POLICY.format(media=f" {media_from}" if media_from else "")


COOKIE = "reelbeam_token"

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "private, no-store",
}

OPEN = ("/static/",)
"""What is shown without a token: it holds nothing of the dataset."""


def problem(status: int, title: str, detail: str = "") -> JSONResponse:
    """An error as problem+json (RFC 9457)."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json")


BODY_BYTES = 10 << 20
"""Most that a request may send: a picture."""


def too_much(scope: Scope) -> Response | None:
    """The answer to a request that sends too much, or does not say how much; None for others."""
    headers = Headers(scope=scope)
    if "transfer-encoding" in headers:
        return problem(411, "the length of the request is wanted", "send Content-Length")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit() and int(length[:18]) <= BODY_BYTES and len(length) < 18):
        return problem(413, "the request is too large", f"at most {BODY_BYTES} bytes are read")
    return None


def host_name(header: str) -> str:
    """The name of a Host header, without its port.

    >>> host_name("LocalHost:8000"), host_name("[::1]:80"), host_name("127.0.0.1"), host_name("")
    ('localhost', '::1', '127.0.0.1', '')
    """
    name = header.strip().lower()
    return name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]


def misdirected(scope: Scope, hosts: Collection[str]) -> Response | None:
    """The answer to a request for another host's name; None for one of `hosts`.

    A page of another site could point its own name at this machine, and then read what is served here: its requests still carry
    that name.
    """
    given = Headers(scope=scope).getlist("host")
    if len(given) == 1 and host_name(given[0]) in hosts:
        return None
    return problem(421, "another host was asked for", f"open it as {', '.join(hosts)}; other names need --token-file")


def cookie_of(token: str) -> str:
    """What the cookie holds: from it the token cannot be found.

    >>> len(cookie_of("a")), cookie_of("a") == cookie_of("b")
    (64, False)
    """
    return hashlib.sha256(b"reelbeam cookie\0" + token.encode()).hexdigest()


class Guard:
    """Lets in who has the token, where one is wanted, and puts the headers on every answer.

    Without a token, only requests for one of the names in `hosts` are answered. With one, any name is: a site that borrows another's
    name does not get that one's cookie.
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: Collection[str] = LOOPBACK):
        self.app, self.token, self.hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("content-security-policy", policy())
            await send(message)

        refused = too_much(scope) or self.refusal(scope)
        await (refused or self.app)(scope, receive, guarded)

    def refusal(self, scope: Scope) -> Response | None:
        """The answer in place of the page; None for who may read. A token in the address is moved into a cookie."""
        if self.token is None:
            return misdirected(scope, self.hosts)
        if scope["path"].startswith(OPEN):
            return None
        headers = Headers(scope=scope)
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        in_address = dict(asked).get("token")
        if in_address is not None and scope["method"] == "GET" and same_token(in_address, self.token):
            rest = urlencode([(name, value) for name, value in asked if name != "token"])
            # one slash at the start: "//host" would lead elsewhere
            answer = RedirectResponse("/" + scope["path"].lstrip("/\\") + (f"?{rest}" if rest else ""), 303)
            secure = scope["scheme"] == "https" or headers.get("x-forwarded-proto") == "https"
            answer.set_cookie(COOKIE, cookie_of(self.token), httponly=True, samesite="strict", secure=secure, path="/")
            return answer
        if same_token(bearer_of(headers), self.token) or same_token(cookie_in(headers), cookie_of(self.token)):
            return None
        refused = problem(
            401, "a token is wanted", "open the address with ?token=..., or send Authorization: Bearer ..."
        )
        refused.headers["www-authenticate"] = "Bearer"
        return refused


def bearer_of(headers: Headers) -> str:
    """The token in the header of the API; empty without one."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def cookie_in(headers: Headers) -> str:
    """The value of the explorer's cookie; empty without one."""
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""
