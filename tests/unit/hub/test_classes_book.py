"""What is kept of classes: written at once, read again by the next hub, and begun anew when it is damaged."""

import logging

import pytest

from hubwright.hub.classes.book import Book

LOG = logging.getLogger("test")


def test_the_next_hub_knows_what_was_started_and_said(tmp_path):
    path = tmp_path / "classes.json"
    first = Book(path, LOG)
    found = first.round("biology", 100.0, 200.0)
    found.started["bob"] = "2030-10-21 08:50:00"
    found.done.add("bob")
    told = first.add("biology", "Hello", "ada", now=100.0, until=160.0)
    again = Book(path, LOG)
    assert again.round("biology", 100.0, 200.0).started == {"bob": "2030-10-21 08:50:00"}
    assert again.round("biology", 100.0, 200.0).done == set()  # its server may have ended with the service
    assert again.said(["biology"], now=159.0) == [told]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_message_is_for_its_class_until_its_end(tmp_path):
    book = Book(tmp_path / "classes.json", LOG)
    one = book.add("biology", "first", "ada", now=0.0, until=60.0)
    two = book.add("biology", "second", "ada", now=1.0, until=90.0)
    assert book.said(["biology", "physics"], now=30.0) == [two, one]
    assert book.said(["biology"], now=60.0) == [two]
    assert book.said(["physics"], now=30.0) == []
    book.remove("physics", two.id)
    assert book.said(["biology"], now=60.0) == [two]
    book.remove("biology", two.id)
    assert book.said(["biology"], now=60.0) == []


@pytest.mark.parametrize("text", ["", "[]", '{"rounds": [{"what": 1}], "messages": []}', "\x00"])
def test_a_damaged_file_is_told_of_and_begun_anew(tmp_path, caplog, text):
    path = tmp_path / "classes.json"
    path.write_text(text)
    book = Book(path, LOG)
    assert book.rounds == [] and book.messages == []
    assert "cannot be read" in caplog.text
    book.add("biology", "Hello", "ada", now=0.0, until=60.0)
    assert len(Book(path, LOG).messages) == 1
