"""What must never be shown: keys, passwords and tokens, however a server echoes them.

A secret is what this process was given to reach a server (`keep_secret`, `checked_url`) and what the
environment holds under a name like `OPENAI_API_KEY`. It is masked in every error and in everything
that a chat server says, and so in results, cassettes and logs: in plain text, percent-encoded, and
in base64.
"""

from __future__ import annotations

import base64
import os
import re
from functools import lru_cache
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, unquote, urlsplit

from tau2_gym.errors import ConfigError
from tau2_gym.render import harmless

STRUCK = "***"
SHORTEST, LONGEST = 8, 1000
"""Shorter values, `EMPTY` for example, are not secrets. Longer ones are too long for a header."""
READ = 100_000
"""How many characters to look at in a text that will be shortened."""

SECRET_NAME = re.compile(r"(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.I)
"""The names of environment variables that hold a secret."""
BEARER = re.compile(r"\b(bearer)\s+\S+", re.I)
USERINFO = re.compile(r"://[^/\s@]*@")
PARAMETER = re.compile(r"([?&][^=&\s]*(?:key|token|secret|password|passwd|sig\w*)=)[^&\s]+", re.I)
KEY = re.compile(
    r"\b(?:(?:sk|pk|rk|xai|nvapi)-(?=[\w-]*\d)[\w-]{14,}|(?:hf|gsk|gh[opsru])_(?=\w*\d)\w{16,}"
    r"|github_pat_\w{20,}|xox[abeprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}\b|AIza[\w-]{30,})"
)
"""Keys of well-known services, which begin in their own ways."""

_given: set[str] = set()


def keep_secret(*values: str | None) -> None:
    """Mask these values everywhere from now on."""
    _given.update(filter(None, values))


def checked_url(url: str, key: str | None) -> str:
    """A server's address, as requests are to be sent to it. Its credentials and parameters are
    secrets from now on, and so is the key.

    Args:
        url: the address.
        key: the API key that goes with it. It takes precedence over credentials in the address,
            since a request can only carry one of them.

    Raises:
        ConfigError: it is not an address.
    """
    keep_secret(key)
    if not url.startswith(("http://", "https://")):
        raise ConfigError(
            f"a server's address begins with http:// or https://, not {shown_url(url)!r}"
        )
    parts = _split(url)
    if parts is None:
        raise ConfigError(f"the address {shown_url(url)!r} names no server: write http://HOST:PORT")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    keep_secret(password or user, f"{user}:{password}")
    keep_secret(*(value for _, value in parse_qsl(parts.query)))
    return basic_auth(url)[0] if key else url


def basic_auth(url: str) -> tuple[str, dict[str, str]]:
    """An address without its credentials, and the header that carries them, if there are any."""
    parts = urlsplit(url)
    if parts.username is None and parts.password is None:
        return url, {}
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    header = f"Basic {base64.b64encode(pair.encode()).decode()}"
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return bare, {"Authorization": header}


def endpoint(url: str, path: str) -> str:
    """The address of a path below another address, before its query."""
    parts = urlsplit(url)
    return parts._replace(path=parts.path.rstrip("/") + path).geturl()


def shown_url(url: str) -> str:
    """The address without user name, password and query, which may be secret."""
    parts = _split(url)
    if parts is None:
        return redact(re.sub(r"(?<=[/])[^/\s]*@|\A[^/\s]*@", "", url).partition("?")[0])
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def struck(text: str) -> str:
    """The text without the secrets that the process was given, and those that its environment holds.
    What only looks like a secret stays."""
    held = {value for name, value in os.environ.items() if SECRET_NAME.search(name)}
    for secret in sorted(filter(_is_secret, held | _given), key=len, reverse=True):
        for form in _forms(secret):
            if form in text:
                text = text.replace(form, STRUCK)
    return text


def without_secrets(text: str) -> str:
    """The text without secrets and without what looks like one: what follows `Bearer`, credentials in
    addresses, parameters named like keys, keys of well-known services."""
    text = KEY.sub(STRUCK, BEARER.sub(rf"\1 {STRUCK}", struck(text)))
    return PARAMETER.sub(rf"\1{STRUCK}", USERINFO.sub(f"://{STRUCK}@", text))


def redact(text: str, limit: int = 400) -> str:
    """The text on one line, shortened, `without_secrets`, and `harmless` to terminals."""
    cut = len(text) > READ
    text = struck(text[:READ])
    if cut:  # The end may be part of a secret.
        text = text[:-LONGEST]
    text = harmless(" ".join(without_secrets(text).split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _is_secret(value: str) -> bool:
    """Whether a value can be masked without damage to words that only look like it."""
    return SHORTEST <= len(value) <= LONGEST and not (value.isalpha() and len(value) < 16)


@lru_cache(maxsize=256)
def _forms(secret: str) -> tuple[str, ...]:
    """A secret as it is and as servers echo it, the longest form first."""
    data = secret.encode(errors="surrogatepass")
    encoded = [base64.b64encode(data), base64.urlsafe_b64encode(data)]
    forms = {secret, quote(data, safe=""), quote(data), quote_plus(data)}
    forms |= {text.decode() for text in encoded} | {text.decode().rstrip("=") for text in encoded}
    # Percent-encoding is the same in small letters.
    forms |= {re.sub(r"%..", lambda found: found[0].lower(), form) for form in forms if "%" in form}
    return tuple(sorted(forms, key=len, reverse=True))


def _split(url: str) -> SplitResult | None:
    """The parts of an HTTP address; None if it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    usable = parts.scheme in ("http", "https") and parts.hostname and port != 0
    return parts if usable else None
