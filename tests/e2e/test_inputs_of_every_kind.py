"""Inputs by the flags of ``serve`` that open them, read by a job as a user submits it."""

from __future__ import annotations

from pathlib import Path

import obstore
from doubles.objectservers import ObjectServer
from doubles.realnode import real_node
from doubles.webanswers import says, web_server
from e2e.users import User

HELLO = b"hello world\n"


def test_a_file_of_the_web_is_read_where_its_network_is_allowed(user: User, tmp_path: Path) -> None:
    with web_server({"/file.txt": says(HELLO)}) as web:
        with real_node(tmp_path / "open", "--allow-url-cidr", "127.0.0.0/8") as node:
            assert user.prints(node, web.url("/file.txt"), "/inputs/file.txt") == HELLO
        asked = len(web.asked)
        with real_node(tmp_path / "closed") as node:
            assert "127.0.0.1, which is loopback" in user.is_refused(node, web.url("/file.txt"))
        assert len(web.asked) == asked


def test_small_files_are_sent_along(user: User, tmp_path: Path) -> None:
    (user.home / "file.txt").write_bytes(HELLO)
    with real_node(tmp_path / "node") as node:
        assert user.downloads(node, "--input-file", "file.txt") == HELLO


def test_a_folder_that_the_operator_lists_is_read_and_no_other(user: User, tmp_path: Path) -> None:
    for name in ("listed", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.txt").write_bytes(HELLO)
    with real_node(tmp_path / "node", "--local-input", str(tmp_path / "listed")) as node:
        assert node.ready["inputs"] == ["ipfs", "url", "inline", "local"]
        assert user.prints(node, f"file://{tmp_path}/listed") == HELLO
        assert "below no folder that the operator of this node lists" in user.is_refused(
            node, f"file://{tmp_path}/other"
        )


def test_objects_are_read_below_what_the_operator_lists(user: User, tmp_path: Path, objects: ObjectServer) -> None:
    bucket = objects.bucket()
    for folder in ("data", "secret"):
        obstore.put(objects.store(bucket), f"{folder}/file.txt", HELLO)
    with real_node(tmp_path / "node", "--object-store", f"{bucket}/data") as node:
        assert node.ready["inputs"] == ["ipfs", "url", "inline", "object_store"]
        assert user.prints(node, f"{bucket}/data/") == HELLO
        assert "not among what the operator of this node lists" in user.is_refused(node, f"{bucket}/secret/")
