"""The local web page of a run: a small ASGI application that shows, and (only when asked to) passes wishes on to the master.

Whoever is let in has the token, from the address that was printed; it becomes a cookie that no script can read. Requests that
name another host, or come from another site, are refused, so no page elsewhere can reach it through the reader's browser. Nothing
that a target has printed is ever parsed as HTML: pages are static files, data is JSON, and the policy forbids everything else.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable, Iterator
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import JobtreeError, UsageError
from .live import Live
from .metrics import metrics_of

LOOK_SECONDS = 1.0
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_FILES = {
    "dashboard.js": "text/javascript",
    "charts.js": "text/javascript",
    "echarts.min.js": "text/javascript",
    "page.css": "text/css",
    "dashboard.css": "text/css",
}
#: What --control lets a reader ask of the master.
VERBS = ("cancel", "retry", "stop", "scale")

#: Passes a wish on to the master: the verb and what belongs to it; returns the answer.
Control = Callable[[str, dict[str, Any]], dict[str, Any]]


def application(live: Live, token: str, hosts: frozenset[str], control: Control | None = None) -> Starlette:
    """The application; ``hosts`` are the values of the Host header (with port) that it answers to."""
    pages = _Pages(live, control)
    routes = [
        Route("/", pages.index),
        Route("/static/{name}", pages.static),
        Route("/api/overview", pages.overview),
        Route("/api/pictures", pages.pictures),
        Route("/api/places", pages.places),
        Route("/api/targets", pages.targets),
        Route("/api/target/{number:int}", pages.target),
        Route("/api/log", pages.log),
        Route("/api/control/{verb}", pages.control, methods=["POST"]),
        Route("/events", pages.events),
        Route("/events/log", pages.log_events),
        Route("/metrics", pages.metrics),
    ]
    errors: dict[Any, Any] = {JobtreeError: _refusal, OSError: _refusal}
    return Starlette(routes=routes, exception_handlers=errors, middleware=[Middleware(_Gate, token=token, hosts=hosts)])


class _Gate:
    """Lets in who knows the token, came by a name that is ours, and was sent by no other site."""

    def __init__(self, app: ASGIApp, token: str, hosts: frozenset[str]) -> None:
        self._app = app
        self._token = token
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in _HEADERS.items())]
            await send(message)

        answer = self._refused(Request(scope))
        await (self._app if answer is None else answer)(scope, receive, sealed)

    def _refused(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if host not in self._hosts:
            return PlainTextResponse("this is not the host that was asked for", 403)
        origin = request.headers.get("origin")
        if (origin is not None and origin != f"http://{host}") or (origin is None and request.method != "GET"):
            return PlainTextResponse("requests from other sites are refused", 403)
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and request.url.path != "/":
            return PlainTextResponse("requests from other sites are refused", 403)
        given = request.query_params.get("token")
        if given is not None and request.url.path == "/" and self._fits(given):
            welcome = RedirectResponse("/", 303)
            welcome.set_cookie(_cookie(host), self._token, httponly=True, samesite="strict", path="/")
            return welcome
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._fits(request.cookies.get(_cookie(host), "")) or self._fits(bearer):
            return None
        return PlainTextResponse("open the address with the token that `jobtree dashboard` has printed", 401)

    def _fits(self, word: str) -> bool:
        return hmac.compare_digest(word.encode(), self._token.encode())


def _cookie(host: str) -> str:
    """Browsers do not tell ports apart when they send cookies."""
    return f"jobtree-{host.rpartition(':')[2]}"


def _refusal(request: Request, error: Exception) -> Response:
    status = 500 if not isinstance(error, UsageError) else 404 if request.method == "GET" else 400
    return JSONResponse({"error": str(error)}, status)


class _Pages:
    """The handlers; reading a journal blocks, so it is done in threads."""

    def __init__(self, live: Live, control: Control | None) -> None:
        self._live = live
        self._control = control

    async def index(self, request: Request) -> Response:
        """The page."""
        return Response(_file("dashboard.html"), media_type="text/html")

    async def static(self, request: Request) -> Response:
        """One of our files."""
        name = request.path_params["name"]
        if name not in _FILES:
            return PlainTextResponse("there is no such file", 404)
        return Response(_file(name), media_type=_FILES[name])

    async def overview(self, request: Request) -> Response:
        """The run as it stands."""
        return JSONResponse(await run_in_threadpool(self._overview))

    def _overview(self) -> dict[str, Any]:
        return {**self._live.overview(), "control": self._control is not None}

    async def pictures(self, request: Request) -> Response:
        """What the charts show."""
        return JSONResponse(await run_in_threadpool(self._live.pictures))

    async def places(self, request: Request) -> Response:
        """A level of the recursion."""
        return JSONResponse(await run_in_threadpool(self._live.places, _number(request, "above", -1)))

    async def targets(self, request: Request) -> Response:
        """Attempts at a place of the recursion."""
        path, first = _number(request, "path", 0), _number(request, "first", 0)
        return JSONResponse(await run_in_threadpool(self._live.targets, path, first))

    async def target(self, request: Request) -> Response:
        """One target."""
        return JSONResponse(await run_in_threadpool(self._live.target, request.path_params["number"]))

    async def log(self, request: Request) -> Response:
        """The end of a log."""
        return JSONResponse({"lines": await run_in_threadpool(self._live.log, request.query_params.get("target", ""))})

    async def events(self, request: Request) -> Response:
        """The overview, each time that something has happened."""
        return StreamingResponse(self._overviews(request), media_type="text/event-stream")

    async def _overviews(self, request: Request) -> AsyncIterator[str]:
        last: object = None
        while not await request.is_disconnected():
            try:
                document = await run_in_threadpool(self._overview)
            except (JobtreeError, OSError) as error:
                yield f"event: gone\ndata: {json.dumps(str(error))}\n\n"
                return
            now = (document["records"], document["state"])
            if now != last or document["state"] == "running":
                last = now
                yield f"data: {json.dumps(document)}\n\n"
            else:
                yield ": nothing new\n\n"
            await asyncio.sleep(LOOK_SECONDS)

    async def log_events(self, request: Request) -> Response:
        """Lines as they come."""
        target = request.query_params.get("target", "")
        return StreamingResponse(self._lines(request, target), media_type="text/event-stream")

    async def _lines(self, request: Request, target: str) -> AsyncIterator[str]:
        batches = self._live.follow(target)
        while not await request.is_disconnected():
            try:
                lines = await run_in_threadpool(_next, batches)
            except (JobtreeError, OSError):
                lines = None  # the overview says why
            if lines is None:
                yield "event: end\ndata: []\n\n"
                return
            yield f"data: {json.dumps(lines[-500:])}\n\n" if lines else ": nothing new\n\n"

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        return Response(await run_in_threadpool(self._metrics), media_type="text/plain; version=0.0.4; charset=utf-8")

    def _metrics(self) -> bytes:
        return metrics_of(self._live.overview(), self._live.stats_by_name())

    async def control(self, request: Request) -> Response:
        """A wish for the master."""
        verb = request.path_params["verb"]
        if self._control is None:
            return JSONResponse({"error": "this page only shows; start it with --control"}, 403)
        if verb not in VERBS:
            return JSONResponse({"error": f"there is no {verb}"}, 404)
        about = await request.json()
        if not isinstance(about, dict):
            return JSONResponse({"error": "say what about, as an object"}, 400)
        return JSONResponse(await run_in_threadpool(self._control, verb, about))


def _file(name: str) -> bytes:
    return resources.files("jobtree.views").joinpath("static", name).read_bytes()


def _number(request: Request, name: str, default: int) -> int:
    word = request.query_params.get(name, str(default))
    try:
        return int(word)
    except ValueError:
        raise UsageError(f"{name}={word}: say a number") from None


def _next(batches: Iterator[list[str]]) -> list[str] | None:
    return next(batches, None)
