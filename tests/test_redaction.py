"""What is struck out of texts, and what is left in them."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from tau2_gym.completion import redaction as redaction_module
from tau2_gym.completion.redaction import (
    basic_auth,
    checked_url,
    endpoint,
    keep_secret,
    redact,
    shown_url,
    struck,
    without_secrets,
)
from tau2_gym.errors import ConfigError
from tests.test_echoed_secrets import OPTION, PASSWORD, forms


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test knows the secrets that it was given, and no other's."""
    monkeypatch.setattr(redaction_module, "_given", set())


def test_every_form_is_struck_out() -> None:
    keep_secret(PASSWORD)
    for form in forms(PASSWORD):
        assert struck(f"a {form} b") == "a *** b"
        assert struck(f"a{form.lower()}b").count("***") <= 1
    low = re.sub(r"%..", lambda found: found[0].lower(), quote(PASSWORD, safe=""))
    assert struck(low) == "***"


def test_names_of_variables_that_hold_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET", "DB_PASSWORD", "MY_APIKEY", "KEY"):
        monkeypatch.setenv(name, "held-by-1234")
        assert struck("held-by-1234") == "***", name
        monkeypatch.delenv(name)
    monkeypatch.setenv("MONKEY", "held-by-1234")
    assert struck("held-by-1234") == "held-by-1234"


def test_words_are_no_secrets() -> None:
    keep_secret("EMPTY", "password", "none", None, "")
    assert struck("The EMPTY password is none.") == "The EMPTY password is none."
    keep_secret("correcthorsebatterystaple")
    assert struck("correcthorsebatterystaple") == "***"


def test_what_looks_like_a_secret_is_struck_out_of_errors() -> None:
    text = "http://me:pw@h/?key=1&x=2 Bearer abc\n&access_token=zz"
    assert redact(text) == "http://***@h/?key=***&x=2 Bearer *** &access_token=***"


def test_a_secret_across_the_cut_leaves_no_half() -> None:
    keep_secret(OPTION)
    for shift in range(len(OPTION)):
        text = " " * (redaction_module.READ - shift) + OPTION
        assert OPTION[:6] not in redact(text)


def test_addresses() -> None:
    url = "http://me:pa%2Fss-word@h:1/v1/?key=planted-value"
    assert shown_url(url) == "http://h:1/v1/"
    assert endpoint(url, "/models") == "http://me:pa%2Fss-word@h:1/v1/models?key=planted-value"
    assert checked_url(url, None) == url
    assert checked_url(url, OPTION) == "http://h:1/v1/?key=planted-value"
    assert struck(f"pa/ss-word planted-value {OPTION}") == "*** *** ***"
    assert basic_auth(url) == (
        "http://h:1/v1/?key=planted-value",
        {"Authorization": "Basic bWU6cGEvc3Mtd29yZA=="},
    )
    assert basic_auth("http://h:1/v1") == ("http://h:1/v1", {})
    assert basic_auth("http://me@h/v1") == ("http://h/v1", {"Authorization": "Basic bWU6"})
    assert basic_auth("http://:pw@h/v1") == ("http://h/v1", {"Authorization": "Basic OnB3"})
    assert endpoint("http://h", "/models") == "http://h/models"
    checked_url("http://only-a-user-name@h", None)
    assert struck("only-a-user-name") == "***"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("h:1", "begins with http:// or https://, not 'h:1'"),
        ("me:word@h:1", "begins with http:// or https://, not 'h:1'"),
        ("http://h:port", "names no server"),
        ("http://h:0", "names no server"),
        ("http://:80", "names no server"),
    ],
)
def test_what_is_no_address(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        checked_url(url, None)


def test_values_on_the_edge_of_being_secrets() -> None:
    kept = ["a2345678", "b" * 16, "c1" * 500]
    left = ["d234567", "e" * 15, "f1" * 500 + "g"]
    keep_secret(*kept, *left)
    for value in kept:
        assert struck(value) == "***"
    for value in left:
        assert struck(value) == value


def test_the_longest_secret_is_struck_out_first() -> None:
    keep_secret("inner-12", "outer-inner-12-outer")
    assert struck("outer-inner-12-outer inner-12") == "*** ***"


def test_texts_are_shortened_to_one_line() -> None:
    assert redact("a\n b\t c") == "a b c"
    assert redact("x" * 400) == "x" * 400
    assert redact("x" * 401) == "x" * 399 + "…"
    assert redact("word " * 3, limit=9) == "word wor…"
    assert without_secrets("two\nlines  kept") == "two\nlines  kept"


def test_what_a_server_says_commands_no_terminal() -> None:
    said = redact("\x1b]0;title\x07 \x1b[2J\r\nerror: none \x9b1A \u202e \ud800")
    assert said.isprintable()
    assert "\\x1b[2J error: none" in said
