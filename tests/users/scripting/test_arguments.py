"""Arguments in English."""

from __future__ import annotations

import pytest

from tau2_gym.users.scripting.arguments import (
    apn_settings,
    app_name,
    complete,
    network_mode,
    permissions,
)
from tau2_gym.users.scripting.errands import Query, Use


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("4g_5g_preferred", "4g_5g_preferred"),
        ("from 2g to 4g/5g", "4g_5g_preferred"),
        ("from 5g to 4g", "4g_only"),
        ("lte", "4g_only"),
        ("5g only", "5g_only"),
        ("3g", "3g_only"),
        ("an automatic mode", "4g_5g_preferred"),
        ("something better", None),
    ],
)
def test_network_mode(text: str, mode: str | None) -> None:
    assert network_mode(text) == mode


@pytest.mark.parametrize(
    ("text", "app"),
    [
        ("your default messaging app", "messaging"),
        ("the browser", "browser"),
        ("the camera app", "camera"),
        ("the default app", None),
        ("the app", None),
    ],
)
def test_app_name(text: str, app: str | None) -> None:
    assert app_name(text) == app


def test_permissions_come_in_order_and_once() -> None:
    assert permissions("storage+sms, and sms again, phone permission") == [
        "storage",
        "sms",
        "phone",
    ]
    assert permissions("your phone") == []


def test_apn_settings() -> None:
    assert apn_settings("apn name to internet, mmsc url http://a.b/c.") == {
        "apn_name": "internet",
        "mmsc_url": "http://a.b/c",
    }
    assert apn_settings("the settings") == {}


def test_what_was_given_is_kept_and_the_rest_is_found() -> None:
    uses = complete("t", ("app_name", "permission"), {"app_name": "x"}, ("sms+storage", "browser"))
    assert list(uses) == [
        Use("t", {"app_name": "x", "permission": "sms"}),
        Use("t", {"app_name": "x", "permission": "storage"}),
    ]


def test_nothing_is_made_up() -> None:
    assert list(complete("t", ("mode",), {}, ("", ""))) == [
        Query("Which network mode should I choose?")
    ]
    assert list(complete("t", ("colour",), {}, ("red",))) == [
        Query("What should I give as colour?")
    ]
    assert list(complete("t", (), {}, ())) == [Use("t")]
