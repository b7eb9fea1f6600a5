"""URLs of jobs and of redirects: what is asked, of whom; what the file is called; what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import StorageError
from node.storage.places import Place, file_name, place_of, redirected


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://h/a", Place("http://h/a", "http", "h", 80)),
        ("https://h/a#f", Place("https://h/a", "https", "h", 443)),
        ("https://h:8443/a?b=c", Place("https://h:8443/a?b=c", "https", "h", 8443)),
        ("http://[2606:4700::1]:81/a", Place("http://[2606:4700::1]:81/a", "http", "2606:4700::1", 81)),
        ("http://127.1/a", Place("http://127.1/a", "http", "127.1", 80)),
        ("http://h:/a", Place("http://h:/a", "http", "h", 80)),
    ],
)
def test_a_url_says_who_is_asked(url, place):
    assert place_of(url) == place


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://h/a", "neither http"),
        ("file:///etc/passwd", "neither http"),
        ("//h/a", "neither http"),
        ("http://u:p@h/a", "user's name"),
        ("http://h@i/a", "user's name"),
        ("http://h\\@i/a", "backslashes"),
        ("http://h/ä", "percent-encode"),
        ("http://h/a b", "percent-encode"),
        ("http://h/a\r\nX: y", "percent-encode"),
        ("http:///a", "names no host"),
        ("http://h:99999/a", "no URL"),
        ("http://h:x/a", "no URL"),
        ("http://[::1/a", "no URL"),
        ("http://[fe80::1%25eth0]/a", "no URL|names no host"),
        ("http://h,i/a", "names no host"),
        ("http://%68/a", "names no host"),
        ("http://-/a", "names no host"),
        ("http://h/" + "a" * 3000, "no URL"),
    ],
)
def test_what_two_parsers_could_read_in_two_ways_is_refused(url, says):
    with pytest.raises(StorageError, match=says):
        place_of(url)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h/a.csv", "a.csv"),
        ("http://h/x/y/a%20b.csv?c=/d", "a b.csv"),
        ("http://h/%C3%BC", "ü"),
        ("http://h/a?b#c/d", "a"),
        ("http://h/a;v=1", "a;v=1"),
    ],
)
def test_a_file_is_called_after_the_last_part_of_the_path(url, name):
    assert file_name(url) == name


@pytest.mark.parametrize(
    "path", ["", "/", "/a/", "/..", "/.", "/%2e%2e", "/a%2Fb", "/%00", "/a%0Ab", "/%ff", "/?a", "/" + "a" * 256]
)
def test_a_name_that_is_none_is_refused(path):
    with pytest.raises(StorageError, match="file name"):
        file_name(f"http://h{path}")


@given(st.text(max_size=60))
def test_no_url_makes_a_name_that_leads_anywhere(text):
    try:
        name = file_name(f"http://h/{text}")
    except StorageError:
        return
    assert name not in ("", ".", "..")
    assert not set(name) & set("/\0\n")


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b", "https://h/b"),
        ("b?c", "https://h/x/b?c"),
        ("//i:444/b", "https://i:444/b"),
        ("https://i/b", "https://i/b"),
        ("", "https://h/x/a"),
    ],
)
def test_a_redirect_is_relative_to_where_it_was_found(location, url):
    assert redirected(place_of("https://h/x/a"), location).url == url


@pytest.mark.parametrize(
    "location", ["http://h/a", "ftp://h/a", "file:///etc/passwd", "https://u@h/a", "//[", "/ä", "/a\\b"]
)
def test_a_redirect_that_nobody_should_follow_is_refused(location):
    with pytest.raises(StorageError, match=r"^h redirects"):
        redirected(place_of("https://h/x/a"), location)


def test_http_may_become_https():
    assert redirected(place_of("http://h/a"), "https://h/a").scheme == "https"
