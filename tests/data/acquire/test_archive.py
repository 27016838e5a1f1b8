"""Archives made to harm, byte by byte: each is refused by name, and nothing of it is on the disk afterwards."""

import bz2
import gzip
import io
import json
import lzma
import shutil
import struct
import tarfile
import time
import unicodedata
import zipfile
import zlib
from collections import namedtuple
from pathlib import Path

import pytest

from fracture.core.errors import BadValue
from fracture.data.acquire.archive import LIMITS, Limits, kind, safe_parts, unpack

FILES = {"set/images/ä 影像.png": b"film" * 1000, "set/labels/a.txt": b"0 .5 .5 .1 .1\n", "set/empty.txt": b""}
PACKERS = {
    "tar": lambda data: data,
    "gz": lambda data: gzip.compress(data, 6),
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def zip_bytes(files, method=zipfile.ZIP_DEFLATED):
    """Give a zip of (name or ZipInfo, content) pairs, names as they are."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return out.getvalue()


def tar_bytes(members, fmt=tarfile.PAX_FORMAT):
    """Give a tar of (name or TarInfo, content) pairs."""
    out = io.BytesIO()
    with tarfile.TarFile(fileobj=out, mode="w", format=fmt) as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content) if info.isreg() else info.size
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def info(name, **fields):
    made = zipfile.ZipInfo(name)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def tar_info(name, **fields):
    made = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def patched(data, field, value, *, local=True, length=4):
    """Change one field of every header: offsets are those of the central directory, 2 less in the local header."""
    out = bytearray(data)
    for signature, offset in ((b"PK\x01\x02", field), *(((b"PK\x03\x04", field - 2),) if local else ())):
        at = data.find(signature)
        while at >= 0:
            out[at + offset : at + offset + length] = value.to_bytes(length, "little")
            at = data.find(signature, at + 4)
    return bytes(out)


FLAGS, METHOD, CRC, PACKED, SIZE = 8, 10, 16, 20, 24


@pytest.fixture
def refused(tmp_path):
    """Unpack bytes that must be refused; give the refusal's text, having looked for anything left behind."""

    def look(data, limits=LIMITS):
        archive = tmp_path / "archive.bin"
        archive.write_bytes(data)
        with pytest.raises(BadValue) as refusal:
            unpack(archive, tmp_path / "deep" / "out", limits)
        left = [path for path in tmp_path.rglob("*") if path != archive and not path.is_dir()]
        assert left == []
        assert not (tmp_path / "deep" / "out").exists()
        assert not (tmp_path / "deep" / "out.partial").exists()
        assert "expected" in str(refusal.value)
        return str(refusal.value)

    return look


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.mark.parametrize("found", ["zip", *PACKERS])
def test_what_went_in_comes_out_whatever_the_file_is_called(tmp_path, found):
    archive = tmp_path / "no-suffix"
    packed = zip_bytes(FILES.items()) if found == "zip" else PACKERS[found](tar_bytes(FILES.items()))
    archive.write_bytes(packed)
    assert kind(archive) == found
    files = unpack(archive, tmp_path / "new" / "out")
    assert contents(tmp_path / "new" / "out") == FILES
    assert files == [tmp_path / "new" / "out" / name for name in sorted(FILES)]
    assert not (tmp_path / "new" / "out.partial").exists()


def test_folders_and_a_dot_in_front_as_tar_writes_them(tmp_path):
    folder = tar_info("./set", type=tarfile.DIRTYPE)
    (tmp_path / "a").write_bytes(
        tar_bytes([(tar_info(".", type=tarfile.DIRTYPE), b""), (folder, b""), (folder, b""), ("./set/a", b"1")])
    )
    unpack(tmp_path / "a", tmp_path / "out")
    assert contents(tmp_path / "out") == {"set/a": b"1"}


def test_an_empty_folder_is_kept(tmp_path):
    (tmp_path / "a").write_bytes(zip_bytes([("images/test/", b""), ("data.yaml", b"x")]))
    unpack(tmp_path / "a", tmp_path / "out")
    assert (tmp_path / "out" / "images" / "test").is_dir()


def test_macos_leftovers_are_left_out_and_said_to_be(tmp_path, caplog):
    junk = ["__MACOSX/set/._a.png", "set/._a.png", "set/.DS_Store"]
    (tmp_path / "a.zip").write_bytes(zip_bytes([("set/a.png", b"film"), *((name, b"junk") for name in junk)]))
    assert unpack(tmp_path / "a.zip", tmp_path / "out") == [tmp_path / "out" / "set" / "a.png"]
    assert contents(tmp_path / "out") == {"set/a.png": b"film"}
    assert json.loads((tmp_path / "out.unpacked.json").read_text())["left_out"] == junk
    assert "3 macOS leftovers" in caplog.text


def test_even_a_leftover_may_not_climb_out(refused):
    assert "'__MACOSX/../../._a'" in refused(zip_bytes([("a", b""), ("__MACOSX/../../._a", b"")]))


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "set/../../evil.txt",
        "/etc/evil.txt",
        "//host/evil.txt",
        "C:/evil.txt",
        "C:evil.txt",
        "..\\evil.txt",
        "set\\evil.txt",
        "set/.. /evil.txt",
        "set/.../evil.txt",
        "set//evil.txt",
        "set/a.txt:stream",
        "set/new\nline",
        "set/bell\x07",
        " ",
    ],
)
@pytest.mark.parametrize("pack", [zip_bytes, tar_bytes])
def test_names_that_lead_elsewhere(refused, pack, name):
    assert repr(name) in refused(pack([("good.txt", b"good"), (name, b"evil")]))


def test_a_name_cut_at_a_nul_is_judged_whole(refused):
    data = zip_bytes([("good.txt", b"good"), ("evil.txtXjpg", b"evil")]).replace(b"evil.txtXjpg", b"evil.txt\0jpg")
    assert repr("evil.txt\0jpg") in refused(data)


def test_a_name_that_is_no_utf8(refused):
    assert "UTF-8" in refused(tar_bytes([("bad\udcffname", b"")], tarfile.GNU_FORMAT))
    raw = zip_bytes([("ä", b"")])
    assert refused(raw.replace("ä".encode(), b"\xff\xfe"))


def test_depth_and_length_of_names(refused, tmp_path):
    assert "16 levels" in refused(zip_bytes([("/".join("abcdefghijklmnopq"), b"")]))
    assert "255 bytes" in refused(zip_bytes([("ä" * 128, b"")]))
    assert "1024" in refused(zip_bytes([("/".join(["x" * 200] * 6), b"")]))
    assert safe_parts("/".join("abcdefghijklmnop")) == tuple("abcdefghijklmnop")
    assert safe_parts("x" * 255) == ("x" * 255,)


@pytest.mark.parametrize(
    ("type_", "link"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.LNKTYPE, "good.txt"),
        (tarfile.FIFOTYPE, ""),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.CONTTYPE, ""),
        (b"Z", ""),
    ],
)
def test_tar_members_that_are_no_plain_files(refused, type_, link):
    evil = tar_info("set/evil", type=type_, linkname=link)
    assert "'set/evil'" in refused(tar_bytes([("good.txt", b"good"), (evil, b"")]))


def test_a_sparse_tar_member(refused):
    evil = tar_info(
        "hole", pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": "900", "GNU.sparse.numblocks": "1"}
    )
    assert "'hole'" in refused(tar_bytes([(evil, b"x")]))


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o020644, 0o060644, 0o140644, 0o040755])
def test_zip_members_that_are_no_plain_files(refused, mode):
    evil = info("set/evil", external_attr=mode << 16, create_system=3)
    assert f"{mode & 0o170000:o}" in refused(zip_bytes([("good.txt", b""), (evil, b"/etc/passwd")]))


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "a.png"),
        ("a.png", "A.PNG"),
        ("./a.png", "a.png"),
        ("set/a.png", "Set/b.png"),
        (COMPOSED, DECOMPOSED),
        ("set", "set/a.png"),
        ("set/a.png", "set"),
        ("set/a.png", "SET"),
    ],
)
@pytest.mark.parametrize("pack", [zip_bytes, tar_bytes])
def test_names_that_meet_on_some_disk(refused, pack, names):
    text = refused(pack([(name, b"x") for name in names]))
    assert "beside" in text


def test_too_many_members(refused, tmp_path):
    data = zip_bytes((str(number), b"") for number in range(11))
    assert "at most 10 members" in refused(data, Limits(files=10))
    (tmp_path / "a.zip").write_bytes(data)
    assert len(unpack(tmp_path / "a.zip", tmp_path / "ok", Limits(files=11))) == 11


@pytest.mark.parametrize("pack", [zip_bytes, tar_bytes])
def test_too_many_bytes(refused, pack):
    assert "at most 19 bytes" in refused(pack([("a", b"x" * 10), ("b", b"x" * 10)]), Limits(total_bytes=19))


def test_a_zip_bomb_by_its_header(refused):
    assert "200 times" in refused(zip_bytes([("bomb.png", bytes(2 << 20))]))


def test_small_members_may_be_packed_tightly(tmp_path):
    (tmp_path / "a.zip").write_bytes(zip_bytes([("labels.csv", bytes(1 << 20))]))
    unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_zip_bomb_whose_header_is_small(refused):
    """Claim 10 bytes where 4 MiB come, with the sum of just those 10: zipfile hands out 10 and is content."""
    data = patched(zip_bytes([("bomb.png", bytes(4 << 20))]), SIZE, 10)
    data = patched(data, CRC, zlib.crc32(bytes(10)))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("bomb.png") == bytes(10)
    assert "'bomb.png': expected the 10 bytes its header tells of, got more" in refused(data)


def test_a_header_that_claims_more_than_there_is(refused):
    data = patched(zip_bytes([("a.png", b"x" * 100)]), SIZE, 120)
    assert "got 100" in refused(data)


def test_a_ratio_hidden_by_a_packed_size_that_is_not_there(refused):
    data = zip_bytes([("bomb.png", bytes(2 << 20))])
    assert "beside each other" in refused(patched(data, PACKED, 1 << 20, local=False))


def test_members_that_share_their_bytes(refused):
    """Point a second directory entry at the first member's bytes."""
    data = bytearray(zip_bytes([("a.bin", b"x" * 5000), ("b.bin", b"")], zipfile.ZIP_STORED))
    entry = data.rfind(b"PK\x01\x02")
    data[entry + PACKED : entry + PACKED + 8] = struct.pack("<II", 5000, 5000)
    struct.pack_into("<I", data, entry + 42, 0)
    assert "beside each other" in refused(bytes(data))


def test_a_wrong_checksum_and_a_cut_zip(refused):
    data = zip_bytes([("good.png", b"y" * 50), ("a.png", b"x" * 100)], zipfile.ZIP_STORED)
    assert "a.png" in refused(data.replace(b"x" * 100, b"x" * 99 + b"z"))
    assert refused(data[:-30])
    assert refused(data[30:])


def test_an_encrypted_member(refused):
    assert "without a password" in refused(patched(zip_bytes([("a.png", b"x")]), FLAGS, 1, length=2))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_without_a_bound(refused, method):
    assert "stored or deflated" in refused(zip_bytes([("a.png", b"x")], method))


@pytest.mark.parametrize("packer", ["gz", "bz2", "xz"])
def test_a_tar_bomb(refused, packer):
    assert "in it" in refused(PACKERS[packer](tar_bytes([("bomb.png", bytes(8 << 20))])))


def test_a_tar_bomb_is_refused_before_it_is_unpacked(refused):
    head = tar_info("bomb.png", size=1 << 40).tobuf(tarfile.GNU_FORMAT)
    began = time.monotonic()
    assert "bomb.png" in refused(gzip.compress(head))
    assert "in it" in refused(gzip.compress(head), Limits(total_bytes=1 << 50))
    assert time.monotonic() - began < 2


def test_a_tar_header_too_large_to_take_in(refused):
    evil = tar_info("a", pax_headers={"comment": "x" * (9 << 20)})
    assert "headers of at most" in refused(tar_bytes([(evil, b"")]))


def test_tar_headers_in_a_long_chain(refused):
    pax = tar_bytes([(tar_info("a", pax_headers={"comment": "x"}), b"")])[:1024]
    assert "RecursionError" in refused(pax * 3000 + tar_bytes([("a", b"")]))


def test_a_negative_size_in_a_tar(refused):
    good = tar_info("good").tobuf(tarfile.GNU_FORMAT)
    assert "evil" in refused(good + tar_info("evil", size=-1024).tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def test_a_tar_that_ends_too_early(refused):
    data = tar_bytes([("a.png", b"x" * 600), ("b.png", b"y" * 600)])
    assert refused(data[:1000])
    assert "end mark" in refused(data[: 512 + 1024])  # cut exactly between two members
    broken = bytearray(data)
    broken[512 + 1024] ^= 1  # the second header's checksum: tarfile calls this the end
    assert "end mark" in refused(bytes(broken))
    assert refused(gzip.compress(data)[:-20])


@pytest.mark.parametrize(
    "data", [b"", b"<html>403</html>", bytes(4096), gzip.compress(b"no tar", mtime=0), b"PK\x03\x04 cut"]
)
def test_what_is_no_archive(refused, data):
    assert refused(data)


@pytest.mark.parametrize("pack", [zip_bytes, tar_bytes])
def test_an_archive_without_files(refused, pack):
    assert refused(pack([]))
    folder = "a/" if pack is zip_bytes else tar_info("a", type=tarfile.DIRTYPE)
    assert "without" in refused(pack([(folder, b"")]))


def test_the_disk_is_asked_first(refused, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 90, 10))
    text = refused(zip_bytes([("a.png", b"x" * 1000)]))
    assert "1,000 free bytes" in text
    assert "has 10" in text


def test_one_archive_is_unpacked_once(tmp_path):
    archive, out = tmp_path / "a.zip", tmp_path / "out"
    archive.write_bytes(zip_bytes(FILES.items()))
    first = unpack(archive, out)
    stamps = {path: path.stat().st_mtime_ns for path in first}
    assert unpack(archive, out) == first
    assert {path: path.stat().st_mtime_ns for path in first} == stamps


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"half")])
def test_a_tree_that_lost_a_file_is_not_called_whole(tmp_path, harm):
    archive, out = tmp_path / "a.zip", tmp_path / "out"
    archive.write_bytes(zip_bytes(FILES.items()))
    harm(unpack(archive, out)[0])
    with pytest.raises(BadValue, match="something else"):
        unpack(archive, out)
    shutil.rmtree(out)
    unpack(archive, out)
    assert contents(out) == FILES


def test_nobody_elses_files_are_touched(tmp_path):
    archive, out = tmp_path / "a.zip", tmp_path / "out"
    archive.write_bytes(zip_bytes(FILES.items()))
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(BadValue, match="something else"):
        unpack(archive, out)
    assert contents(out) == {"mine.txt": b"mine"}


def test_another_archive_does_not_pass_for_the_first(tmp_path):
    archive, out = tmp_path / "a.zip", tmp_path / "out"
    archive.write_bytes(zip_bytes(FILES.items()))
    unpack(archive, out)
    archive.write_bytes(zip_bytes([("other", b"")]))
    with pytest.raises(BadValue, match="something else"):
        unpack(archive, out)
    assert contents(out) == FILES


@pytest.mark.parametrize("state", ["", "[]", "{}", '{"sha256": 1, "files": []}', None])
def test_a_run_after_a_kill_starts_again(tmp_path, state):
    archive, out = tmp_path / "a.zip", tmp_path / "out"
    archive.write_bytes(zip_bytes(FILES.items()))
    if state is None:  # killed after the state was written, before the move
        unpack(archive, out)
        out.rename(tmp_path / "out.partial")
        state = (tmp_path / "out.unpacked.json").read_text()
    else:
        (tmp_path / "out.partial" / "set").mkdir(parents=True)
        (tmp_path / "out.partial" / "set" / "half.png").write_bytes(b"half")
    (tmp_path / "out.unpacked.json").write_text(state)
    out.mkdir()
    unpack(archive, out)
    assert contents(out) == FILES
    assert not (tmp_path / "out.partial").exists()
