"""wrk's submissions, as a server sees them, and the empty route under them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from task_lab.bench.http_load import EmptyRoute, MissingWrk, NotAllCreated, single_posts_per_s

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason=str(MissingWrk()))
BODY = {"task_type": "sum", "payload": {"numbers": [1, 2, 3, 4, 5]}}


@contextmanager
def server(status: int) -> Iterator[tuple[str, list[tuple[str, str, bytes]]]]:
    """A server that answers every POST so; yields its URL, and (path, key, body) of each."""
    seen: list[tuple[str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, self.headers["Idempotency-Key"], body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{serving.server_port}", seen
        finally:
            serving.shutdown()
            thread.join()


@needs_wrk
def test_every_submission_has_a_key_of_its_own_in_every_call(tmp_path: Path) -> None:
    with server(201) as (url, seen):
        for _ in range(2):
            assert single_posts_per_s(url, seconds=1, connections=2, scratch=tmp_path) > 0
    assert len({key for _, key, _ in seen}) == len(seen) > 100
    assert {path for path, _, _ in seen} == {"/tasks"}
    assert {httpx.Response(200, content=body).json() == BODY for _, _, body in seen} == {True}


@needs_wrk
def test_an_answer_that_says_ok_but_not_created_is_an_error(tmp_path: Path) -> None:
    with server(200) as (url, _), pytest.raises(NotAllCreated) as caught:
        single_posts_per_s(url, seconds=1, connections=2, scratch=tmp_path)
    assert caught.value.told.others == caught.value.told.answers > 0


def test_the_empty_route_checks_its_body_and_does_nothing(tmp_path: Path) -> None:
    with EmptyRoute(tmp_path) as route:
        assert httpx.post(f"{route.url}/tasks", json=BODY).status_code == 201
        assert httpx.post(f"{route.url}/tasks", json=BODY | {"x": 1}).status_code == 422
    with pytest.raises(httpx.ConnectError):
        httpx.post(f"{route.url}/tasks", json=BODY)
