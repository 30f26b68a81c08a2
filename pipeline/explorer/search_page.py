"""The search page."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from .state import Explorer


def router(explorer: Explorer) -> APIRouter:
    """`/`: one box, and the moments found."""
    routes = APIRouter()

    @routes.get("/", response_class=HTMLResponse, include_in_schema=False)
    def search(request: Request) -> HTMLResponse:
        return explorer.render(request, "search.html")

    return routes
