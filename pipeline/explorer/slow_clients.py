"""Connections whose client sends or reads too slowly are closed: nobody holds a place for ever."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 15.0
"""Longest time from the first byte of a request, or from a new connection, to the end of its headers."""

BODY_S = 60.0
"""Longest time from there to the end of its body, which is a picture at most."""

READING_S = 30.0
"""Longest time in which nothing is read of an answer: a player that pauses asks again for the rest."""


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with an end to waiting.

    uvicorn alone closes what is idle between two requests, but waits for ever for the rest of a request, and for a reader.
    """

    _waiting_for: str = ""
    """What the client owes: "headers", "body", or nothing."""
    _sending: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_sender()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_sender()

    def on_response_complete(self) -> None:
        self._wait_for("")
        super().on_response_complete()
        if self.cycle is not None and not self.cycle.response_complete:  # the next request was there already
            self._watch_sender()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading = self._reading or self.loop.call_later(READING_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_reading_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_for("")
        self._stop_reading_timer()
        super().connection_lost(exc)

    def _watch_sender(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._wait_for("headers")
        else:
            self._wait_for("body" if self.cycle.more_body else "")

    def _wait_for(self, owed: str) -> None:
        """Starts the time of what is owed, unless it runs already: more bytes do not prolong it."""
        if owed == self._waiting_for:
            return
        self._waiting_for = owed
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        if owed and not self.transport.is_closing():
            limit_s = {"headers": HEADERS_S, "body": BODY_S}[owed]
            self._sending = self.loop.call_later(limit_s, self.transport.abort)

    def _stop_reading_timer(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
