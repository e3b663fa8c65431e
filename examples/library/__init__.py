"""A small domain of its own: the front desk of a public library.

The agent finds books and lends, renews and reserves them; the member at the other end has an app with
a switch for reminders. `python -m benchmarks.passk --domains examples.library:LIBRARY` plays it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from tau2_gym.domains import DomainSpec, register, tool


class Book(BaseModel):
    """A copy of a book."""

    book_id: str
    title: str
    status: Literal["in", "out"] = "in"
    borrower: str | None = None
    renewals: int = 0
    reserved_by: str | None = None


class Member(BaseModel):
    """Somebody with a card."""

    member_id: str
    name: str
    fine: float = 0.0


class LibraryDB(BaseModel):
    """The library's database."""

    books: dict[str, Book]
    members: dict[str, Member]


class App(BaseModel):
    """The app on the member's phone."""

    signed_in: bool = True
    reminders: bool = False


class AppDB(BaseModel):
    """What the member has."""

    app: App


class LibraryTools:
    """The agent's tools."""

    MOST_RENEWALS = 2
    db: Any

    @tool("read")
    def find_books(self, title: str) -> list[Book]:
        """Find books by a part of their title.

        Args:
            title: A part of the title; upper and lower case are alike.
        """
        return [book for book in self.db.books.values() if title.lower() in book.title.lower()]

    @tool("read")
    def get_member(self, member_id: str) -> Member:
        """Get a member by the number on their card.

        Args:
            member_id: The number on the card, such as M-101.
        """
        return self._member(member_id)

    @tool("write")
    def lend(self, book_id: str, member_id: str) -> Book:
        """Lend a book that is in.

        Args:
            book_id: The ID of the book.
            member_id: The number on the member's card.
        """
        book = self._book(book_id)
        if book.status != "in":
            raise ValueError(f"Book {book_id} is out")
        book.status, book.borrower = "out", self._member(member_id).member_id
        return book

    @tool("write")
    def renew(self, book_id: str) -> Book:
        """Renew a loan.

        Args:
            book_id: The ID of the book.
        """
        book = self._book(book_id)
        if book.status != "out" or book.renewals >= self.MOST_RENEWALS:
            raise ValueError(f"Book {book_id} cannot be renewed")
        book.renewals += 1
        return book

    @tool("write")
    def reserve(self, book_id: str, member_id: str) -> Book:
        """Reserve a book that is out.

        Args:
            book_id: The ID of the book.
            member_id: The number on the member's card.
        """
        book = self._book(book_id)
        if book.status != "out" or book.reserved_by is not None:
            raise ValueError(f"Book {book_id} cannot be reserved")
        book.reserved_by = self._member(member_id).member_id
        return book

    def assert_lent_to(self, book_id: str, member_id: str) -> bool:
        """Whether the member has the book. No tool: tasks assert it."""
        return bool(self._book(book_id).borrower == member_id)

    def _book(self, book_id: str) -> Book:
        if book_id not in self.db.books:
            raise ValueError(f"Book {book_id} not found")
        book: Book = self.db.books[book_id]
        return book

    def _member(self, member_id: str) -> Member:
        if member_id not in self.db.members:
            raise ValueError(f"Member {member_id} not found")
        member: Member = self.db.members[member_id]
        return member


class AppTools:
    """What members can do by themselves."""

    db: Any

    @tool("read")
    def check_app(self) -> App:
        """Look at the settings of the library's app."""
        app: App = self.db.app
        return app

    @tool("write")
    def turn_on_reminders(self) -> str:
        """Turn on reminders in the library's app."""
        if not self.db.app.signed_in:
            raise ValueError("You are signed out")
        self.db.app.reminders = True
        return "Reminders are on"

    def sign_out(self) -> None:
        """Where a task begins with a member who is signed out."""
        self.db.app.signed_in = False

    def assert_reminders(self, on: bool) -> bool:
        """Whether reminders are on or off."""
        return bool(self.db.app.reminders == on)


LIBRARY = DomainSpec(
    name="library",
    folder=Path(__file__).parent / "data",
    tools=LibraryTools,
    database=LibraryDB,
    user_tools=AppTools,
    user_database=AppDB,
    alpha=0.3,
)
register(LIBRARY)
