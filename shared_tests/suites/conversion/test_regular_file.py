"""Every file is opened by one function: at once, only where it is a regular one, and never beyond its limit."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from danet_common.files.regular_file import IMAGE, WEIGHTS, Limit, open_regular, read_regular, read_text

SMALL = Limit(2_000_000, "a small file")


@pytest.fixture
def special(tmp_path: Path) -> Path:
    """A folder with one of each thing that is no regular file."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "broken").symlink_to("nowhere")
    return tmp_path


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pipe", "is a named pipe, not a regular file"),
        ("socket", "is a socket, not a regular file"),
        ("zero", "is a device, not a regular file"),
        ("folder", "is a folder, not a regular file"),
        ("loop", "Too many levels of symbolic links"),
        ("broken", "No such file or directory"),
    ],
)
def test_what_is_no_regular_file_is_refused_at_once(special: Path, name: str, reason: str) -> None:
    descriptors = os.listdir("/proc/self/fd")  # noqa: PTH208
    with pytest.raises(OSError, match=reason) as caught:
        open_regular(special / name, WEIGHTS)
    assert caught.value.strerror == reason
    assert caught.value.filename == str(special / name)
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)  # noqa: PTH208


def test_a_link_to_a_regular_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", SMALL) == b"text"


def test_a_file_beyond_its_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(SMALL.size)
        assert len(read_regular(tmp_path / "large", SMALL)) == SMALL.size
        file.truncate(SMALL.size + 1)
    with pytest.raises(OSError, match="is larger than 2 MB, the limit for a small file"):
        open_regular(tmp_path / "large", SMALL)


def test_a_file_that_grows_ends_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with open_regular(path, SMALL) as file:
        with path.open("ab") as writer:
            writer.write(b" and more")
        assert file.read() == b"old"


def test_a_file_that_is_cut_short_is_an_error_and_no_signal(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100_000))
    with open_regular(path, IMAGE) as file:
        assert file.read_at(90_000, 10_000).size == 10_000
        os.truncate(path, 95_000)
        assert file.read_at(90_000, 5_000).size == 5_000
        with pytest.raises(OSError, match="was cut short while it was read"):
            file.read_at(90_000, 10_000)
        with pytest.raises(OSError, match="was cut short while it was read"):
            file.read()


def test_a_replaced_file_stays_the_one_that_was_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "new").write_bytes(b"the new one")
    with open_regular(tmp_path / "file", SMALL) as file:
        (tmp_path / "new").replace(tmp_path / "file")
        assert file.read() == b"old"
        assert bytes(file.read_at(1, 2)) == b"ld"


def test_text_has_one_end_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(tmp_path / "file", SMALL, "utf-8-sig") == "a\nb\nc\n"


def test_parts_outside_the_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    with open_regular(tmp_path / "file", SMALL) as file:
        assert file.read_at(4, 0).size == 0
        for start, size in ((0, 5), (-1, 2), (2, -1), (5, 0)):
            with pytest.raises(OSError, match="has no"):
                file.read_at(start, size)
