"""One session of the protocol as a test talks to it: replies in, requests and events out."""

import json
from collections.abc import Sequence
from typing import Any

from tapecast.aliases import Category
from tapecast.bybit.events import Event, Send, Timing
from tapecast.bybit.protocol import Session
from tapecast.bybit.topics import topic_of

A, B, C, D = (topic_of(name) for name in ("AUSDT", "BUSDT", "CUSDT", "DUSDT"))

CALM = Timing(silence_ping_s=1e6, stale_after_s=1e9)
"""Neither silence nor stale topics are looked for."""

PONGS = [
    b'{"success":true,"ret_msg":"pong","conn_id":"c","op":"ping"}',
    b'{"success":true,"ret_msg":"pong","conn_id":"c","req_id":"L-2","op":"ping"}',
    b'{"success":true,"ret_msg":"pong","conn_id":"c","req_id":"","op":"ping"}',
    b'{"args":["1672916271846"],"op":"pong"}',
    b'{"op":"pong","args":["1672916271846"],"req_id":"L-2"}',
]


def opened(
    category: Category, *topics: str, timing: Timing | None = None
) -> tuple[Session, list[dict[str, Any]]]:
    """Return a session opened at 0 s and what it asked for."""
    session = Session("L", category, topics, timing or CALM)
    return session, sent(session.open(0.0))


def sent(events: Sequence[Event]) -> list[dict[str, Any]]:
    return [json.loads(event.payload) for event in events if isinstance(event, Send)]


def told(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, Send)]


def reply(session: Session, now_s: float = 0.1, /, **fields: object) -> list[Event]:
    return session.receive(json.dumps(fields).encode(), now_s)


def ack(session: Session, request_id: str | None, now_s: float = 0.1) -> list[Event]:
    more = {} if request_id is None else {"req_id": request_id}
    return reply(session, now_s, success=True, ret_msg="", conn_id="c", op="subscribe", **more)


def refuse(session: Session, text: str, request_id: str | None, now_s: float = 0.1) -> list[Event]:
    more = {} if request_id is None else {"req_id": request_id}
    return reply(session, now_s, success=False, ret_msg=text, conn_id="c", op="subscribe", **more)


def option_reply(session: Session, now_s: float = 0.1, /, **fields: object) -> list[Event]:
    return reply(session, now_s, conn_id="c", type="COMMAND_RESP", **fields)
