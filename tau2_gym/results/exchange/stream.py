"""Reading a JSON object whose lists are too long to be held: element by element.

ijson does this as well, but keeps a path for every level of nesting: a file of 100 kB that nests
100,000 lists takes gigabytes of it.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

from tau2_gym.errors import DataError

CHUNK = 2**20
"""How many characters are read at once, at least."""

CLOSE = 16
"""What ends this close to the end of what was read, or is wrong there, may be so only because the rest is missing."""

SPACE = re.compile(r"[ \t\n\r]*")
DECODER = json.JSONDecoder()


def members(path: Path, lists: Collection[str]) -> Iterator[tuple[str, Any]]:
    """The members of the JSON object in a file, gzipped or not. Of a list that is named in `lists`,
    each element comes on its own, under the list's name, after an empty list that announces it.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig") as file:
            yield from _members(_Text(file), lists)
    except _WrongError as error:
        raise DataError(f"{path} {error}") from None
    except (EOFError, zlib.error, UnicodeDecodeError, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is cut off, or not text: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


class _WrongError(Exception):
    """What is wrong with a file."""


def _members(text: _Text, lists: Collection[str]) -> Iterator[tuple[str, Any]]:
    if not text.sign():
        raise _WrongError("is empty")
    if not text.takes("{"):
        kind = {"[": "a list", '"': "a text"}.get(text.sign(), "something else")
        raise _WrongError(f"holds {kind}, not a JSON object")
    first = True
    while not text.takes("}"):
        if not first:
            text.expect(",")
        first = False
        if text.sign() != '"':
            raise text.wrong("a name is missing")
        name = text.value()
        text.expect(":")
        if name in lists and text.takes("["):
            yield name, []
            yield from ((name, element) for element in _elements(text))
        else:
            yield name, text.value()
    if text.sign():
        raise _WrongError(
            "is not one JSON object, since there is something after its end; JSON lines, such as the results of "
            "`passk`, are not tau2-bench's"
        )


def _elements(text: _Text) -> Iterator[Any]:
    if text.takes("]"):
        return
    yield text.value()
    while text.takes(","):
        yield text.value()
    text.expect("]")


class _Text:
    """What is left of a file, read as it is needed."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._ended = False

    def sign(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            space = SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._more()

    def takes(self, sign: str) -> bool:
        """Go past the next character, if it is this one."""
        found = self.sign() == sign
        self._at += found
        return found

    def expect(self, sign: str) -> None:
        """Go past the next character, which must be this one."""
        if not self.takes(sign):
            raise self.wrong(f"{sign!r} is missing")

    def value(self) -> Any:
        """The next value."""
        self.sign()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                early = error.pos < len(self._text) - CLOSE and "Unterminated" not in error.msg
                if self._ended or early:
                    raise self.wrong(error.msg) from None
            except RecursionError:
                raise _WrongError("is nested too deeply to be read") from None
            except ValueError as error:  # a number of thousands of digits
                raise self.wrong(str(error)) from None
            else:
                if end + CLOSE <= len(self._text) or self._ended:  # 1 may be 1.5e3
                    self._at = end
                    return value
            self._more()

    def wrong(self, what: str) -> _WrongError:
        """That something is not JSON: as likely as not because the end is missing."""
        if not self.sign() or (self._ended and "Unterminated" in what):
            return _WrongError("is cut off: its end is missing")
        return _WrongError(f"is cut off, or not JSON: {what}")

    def _more(self) -> None:
        """Read at least as much as is left, so that a long value is not tried too often."""
        fresh = self._file.read(max(CHUNK, len(self._text) - self._at))
        self._ended = not fresh
        self._text = self._text[self._at :] + fresh
        self._at = 0
