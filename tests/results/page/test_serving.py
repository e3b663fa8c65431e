"""The server of the page: what it answers, and to whom."""

from __future__ import annotations

import html
import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tau2_gym.errors import ConfigError
from tau2_gym.results.page import serving
from tau2_gym.results.page.serving import PageServer, Site
from tests.results.runs import record, write

SECRET = "sk-live-0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "a.jsonl", [record("1"), record("2/ü<b>", official=0.0)])


@pytest.fixture
def server(path: Path) -> Iterator[PageServer]:
    with PageServer("127.0.0.1", 0, Site([path])) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def ask(
    server: PageServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, answer.headers


def test_the_page_the_index_and_a_conversation(server: PageServer) -> None:
    status, content, headers = ask(server, "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<body data-live>" in content
    assert b"connect-src 'self'" in html.unescape(content.decode()).encode()
    assert b'class="piece"' not in content
    status, content, _ = ask(server, "/index.json")
    index = json.loads(content)
    assert (status, index["version"], index["status"]) == (200, 1, "live")
    assert index["tasks"] == [[0, "1"], [0, "2/ü<b>"]]
    status, content, _ = ask(server, f"/attempt/a/0/shop/{quote('2/ü<b>', safe='')}")
    assert (status, len(json.loads(content)["turns"])) == (200, 3)


def test_news_are_told_once(server: PageServer, path: Path) -> None:
    assert ask(server, "/index.json?version=1")[:2] == (204, b"")
    server.site.look()
    assert ask(server, "/index.json?version=1")[0] == 204
    with path.open("a") as file:
        file.write(json.dumps(record("3").to_dict()) + "\n")
    server.site.look()
    status, content, _ = ask(server, "/index.json?version=1")
    assert (status, json.loads(content)["version"]) == (200, 2)
    assert len(json.loads(content)["tasks"]) == 3


def test_the_page_is_made_again_after_a_rest(
    server: PageServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(server, "/")[1]
    with path.open("a") as file:
        file.write(json.dumps(record("3").to_dict()) + "\n")
    server.site.look()
    assert ask(server, "/")[1] == first
    monkeypatch.setattr(serving, "REST", -1.0)
    assert b'data-version="2"' in ask(server, "/")[1]


def test_what_goes_wrong_with_the_file_is_told_on_the_page(server: PageServer, path: Path) -> None:
    with path.open("a") as file:
        file.write("hello\n")
    server.site.look()
    index = json.loads(ask(server, "/index.json?version=1")[1])
    assert "line 3, is not JSON" in index["status"]
    assert len(index["tasks"]) == 2


@pytest.mark.parametrize(
    "address",
    [
        *("/attempt/a/0/shop/9", "/attempt/a/0/shop", "/attempt/", "/attempt/a/0/shop/1/2"),
        *("/attempt/../../etc/passwd", "/page.css", "/index.html", "/%2e%2e/"),
    ],
)
def test_nothing_else_is_there(server: PageServer, address: str) -> None:
    assert ask(server, address)[0] == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(("localhost", 200), ("127.0.0.1:8000", 200), ("LOCALHOST:1", 200), ("[::1]:80", 200)),
        *(("evil.example", 403), ("localhost.evil.example", 403), ("127.0.0.1.evil.example", 403)),
        *(("192.168.0.1", 403), ("", 403), ("[", 403), ("127.0.0.1@evil.example", 403)),
    ],
)
def test_only_names_of_this_machine_are_answered_to(
    server: PageServer, host: str, status: int
) -> None:
    for address in ("/", "/index.json", "/attempt/a/0/shop/1"):
        assert ask(server, address, Host=host)[0] == status


def test_at_all_addresses_any_address_is_answered_to_but_no_foreign_name(path: Path) -> None:
    with PageServer("0.0.0.0", 0, Site([path])) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert server.answers_to("192.168.0.1:80")
        assert not server.answers_to("evil.example")
    with PageServer("localhost", 0, Site([path])) as server:
        assert server.answers_to("localhost")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(server: PageServer, method: str) -> None:
    assert ask(server, "/", method)[0] == 501


def test_answers_are_not_kept_nor_embedded_and_head_has_no_body(server: PageServer) -> None:
    status, content, headers = ask(server, "/index.json", "HEAD")
    assert (status, content) == (200, b"")
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers
    assert "Python" not in headers["Server"]


def test_secrets_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_API_KEY", SECRET)
    messages = [{"role": "assistant", "content": SECRET}]
    site = Site([write(tmp_path / "a.jsonl", [record(SECRET, messages=messages, num_turns=1)])])
    for content in (site.page(), site.index(""), site.conversation("a/0/shop/***")):
        assert content is not None
        assert SECRET.encode() not in content


def test_a_port_that_is_taken_is_named(server: PageServer, path: Path) -> None:
    port = server.server_address[1]
    with pytest.raises(ConfigError, match=rf"cannot be served at 127\.0\.0\.1, port {port}: "):
        PageServer("127.0.0.1", port, Site([path]))


def test_messages_of_another_form_are_said(tmp_path: Path, server: PageServer, path: Path) -> None:
    with path.open("a") as file:
        file.write(json.dumps(record("3", messages=[{"role": "system"}]).to_dict()) + "\n")
    server.site.look()
    status, content, _ = ask(server, "/attempt/a/0/shop/3")
    assert (status, b"message 0 is not in tau2-bench's form" in content) == (500, True)


def test_a_browser_that_hangs_up_is_nobodys_error(
    server: PageServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for error, said in ((ConnectionResetError("gone"), False), (KeyError("a bug"), True)):
        try:
            raise error
        except Exception:
            server.handle_error(None, ("127.0.0.1", 1))
        assert ("a bug" in capsys.readouterr().err) is said
