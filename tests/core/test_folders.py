"""Every file below a folder is found once, through links too, and an output never lies where an input is read."""

import os

import pytest

from fracture.core.errors import BadValue
from fracture.core.folders import check_apart, walk


def write(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def root(tmp_path):
    """Give a folder with b.png and deep/a.png."""
    write(tmp_path / "root/b.png")
    write(tmp_path / "root/deep/a.png")
    return tmp_path / "root"


def names(tree):
    return [file.relative_to(tree.root).as_posix() for file in tree.files]


def test_files_come_in_the_order_of_their_paths_and_hidden_ones_when_asked_for(root):
    write(root / ".cache/c.png")
    write(root / "._b.png")
    assert names(walk(root)) == ["b.png", "deep/a.png"]
    assert names(walk(root, hidden=True)) == ["._b.png", ".cache/c.png", "b.png", "deep/a.png"]


def test_a_root_that_is_a_link_and_links_to_folders_and_files_are_followed(root, tmp_path):
    write(tmp_path / "store/one/c.png")
    write(tmp_path / "store/d.png")
    (root / "linked").symlink_to(tmp_path / "store/one")
    (root / "e.png").symlink_to(tmp_path / "store/d.png")
    (tmp_path / "link").symlink_to(root)
    for start in (root, tmp_path / "link"):
        assert names(walk(start)) == ["b.png", "deep/a.png", "e.png", "linked/c.png"]
        assert not walk(start).unread


def test_a_cycle_ends_and_every_file_is_seen_once_under_its_own_name(root):
    (root / "a_cycle").symlink_to(root)
    (root / "deep/again").symlink_to(root / "deep")
    (root / "a_twin").symlink_to(root / "deep")
    (root / "a.png").symlink_to(root / "b.png")
    tree = walk(root)
    assert names(tree) == ["b.png", "deep/a.png"]
    assert tree.again == {root / "a.png": root / "b.png"}
    assert not tree.unread


def test_two_links_to_one_file_elsewhere_are_one_file(root, tmp_path):
    write(tmp_path / "store/c.png")
    (root / "c2.png").symlink_to(tmp_path / "store/c.png")
    (root / "c1.png").symlink_to(tmp_path / "store/c.png")
    (root / "whole").symlink_to(tmp_path / "store")
    tree = walk(root)
    assert names(tree) == ["b.png", "c1.png", "deep/a.png"]
    assert sorted(tree.again) == [root / "c2.png", root / "whole/c.png"]


def test_hard_links_are_files_of_their_own_as_copies_would_be(root):
    os.link(root / "b.png", root / "c.png")
    assert names(walk(root)) == ["b.png", "c.png", "deep/a.png"]


def test_a_link_to_a_folder_around_is_not_followed_and_it_is_said(root, tmp_path):
    write(tmp_path / "another person's/z.png")
    (root / "deep/up").symlink_to(tmp_path)
    tree = walk(root)
    assert names(tree) == ["b.png", "deep/a.png"]
    assert [(one.path, one.reason) for one in tree.unread] == [
        (root / "deep/up", "a link to a folder around this one, not followed")
    ]


def test_what_cannot_be_looked_at_is_named(root):
    (root / "gone.png").symlink_to(root / "nowhere.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    os.mkfifo(root / "pipe.png")
    tree = walk(root)
    assert names(tree) == ["b.png", "deep/a.png"]
    assert {one.path.name: one.reason for one in tree.unread} == {
        "gone.png": "No such file or directory",
        "loop.png": "Too many levels of symbolic links",
        "pipe.png": "neither a file nor a folder",
    }
    assert "gone.png (No such file or directory)" in tree.why


def test_a_folder_that_may_not_be_listed_is_named(root, monkeypatch):
    listing = os.scandir

    def refuse(path):
        if path == root / "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", refuse)
    tree = walk(root)
    assert names(tree) == ["b.png"]
    assert [(one.path, one.reason) for one in tree.unread] == [(root / "deep", "Permission denied")]


def test_a_root_that_is_no_folder_has_no_files_and_it_is_said(root):
    for start, reason in ((root / "none", "No such file or directory"), (root / "b.png", "a file, no folder")):
        assert not walk(start).files
        assert reason in walk(start).why


def test_names_that_are_no_text_are_found(tmp_path):
    (tmp_path / os.fsdecode(b"h\xfcfte.png")).write_text("x")
    assert [os.fsencode(file.name) for file in walk(tmp_path).files] == [b"h\xfcfte.png"]


@pytest.mark.parametrize("out", ["films", "films/out", "films/deep/er/out", ".", "link/out"])
def test_an_output_in_or_around_an_input_is_refused(tmp_path, out):
    (tmp_path / "films").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "films")
    with pytest.raises(BadValue, match="expected an output beside what is read"):
        check_apart(tmp_path / out, None, tmp_path / "elsewhere", tmp_path / "films")


def test_an_output_beside_its_inputs_will_do(tmp_path):
    film = write(tmp_path / "films/a.png")
    check_apart(tmp_path / "films_proc", tmp_path / "films", None)
    check_apart(tmp_path / "films/picture.png", film)
    with pytest.raises(BadValue, match="beside"):
        check_apart(film, film)
