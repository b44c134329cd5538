"""How two saved images relate, and what is said of an archive that cannot be read."""

import gzip
import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.image import archive, difference
from seedbed.image.difference import compare_archives

PROPERTY = settings(deadline=None, derandomize=True, max_examples=40)
Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, data: bytes = b"", **fields: Any) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def tar(members: Iterable[Member], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.TarFile(fileobj=file, mode="w", format=form) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def config_of(layers: list[bytes], **changed: Any) -> dict[str, Any]:
    history = [{"created": "2026-01-01T00:00:00Z", "created_by": "ENV A=1", "empty_layer": True}]
    history += [{"created": "2026-01-01T00:00:00Z", "created_by": f"RUN step {i}"} for i in range(len(layers))]
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{digest(layer)}" for layer in layers]}
    return {
        "created": "2026-01-01T00:00:00Z",
        "config": {"Labels": {"x": "1"}},
        "history": history,
        "rootfs": rootfs,
    } | changed


def docker(path: Path, layers: list[bytes], **changed: Any) -> Path:
    """What ``docker save`` 20.10 writes."""
    data = json.dumps(config_of(layers, **changed)).encode()
    names = [f"layer{i}/layer.tar" for i in range(len(layers))]
    manifest = [{"Config": f"{digest(data)}.json", "RepoTags": ["a:b"], "Layers": names}]
    files = [member(f"{digest(data)}.json", data), *map(member, names, layers)]
    path.write_bytes(tar([*files, member("manifest.json", json.dumps(manifest).encode())]))
    return path


def oci(path: Path, layers: list[bytes], *, damage: str = "", images: int = 1, nested: bool = False) -> Path:
    """What ``buildx -o type=oci`` writes: gzip layers, and an attestation beside the image."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, **more: Any) -> dict[str, Any]:
        blobs[f"blobs/sha256/{digest(data)}"] = data
        return {"digest": f"sha256:{digest(data)}", "size": len(data), **more}

    config = blob(json.dumps(config_of(layers)).encode())
    packed = [blob(gzip.compress(layer, mtime=0)) for layer in layers]
    manifest = json.dumps({"config": config, "layers": packed}).encode()
    seen = [blob(manifest, mediaType="application/vnd.oci.image.manifest.v1+json")] * images
    attested = blob(b"{}", annotations={"vnd.docker.reference.type": "attestation-manifest"})
    index = json.dumps({"manifests": [*seen, attested]}).encode()
    for _ in range(5 if damage == "deep" else nested):
        inner = blob(index, mediaType="application/vnd.oci.image.index.v1+json")
        index = json.dumps({"manifests": [inner]}).encode()
    name = packed[0]["digest"].replace(":", "/") if packed else ""
    if damage == "cut":
        blobs[f"blobs/{name}"] = blobs[f"blobs/{name}"][:-20]
    if damage == "missing":
        del blobs[f"blobs/{name}"]
    path.write_bytes(tar([*(member(key, data) for key, data in blobs.items()), member("index.json", index)]))
    return path


BASE = [member("./etc", type=tarfile.DIRTYPE), member("./etc/a", b"one")]


def lines_of(capsys: pytest.CaptureFixture[str], one: Path, two: Path, status: int) -> list[str]:
    assert compare_archives(one, two) == status
    return capsys.readouterr().out.splitlines()


# The verdicts


def test_the_same_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = docker(tmp_path / "1", [tar(BASE)])
    lines = lines_of(capsys, path, path, 0)
    assert re.fullmatch("the same image: sha256:[0-9a-f]{64}", lines[-1])
    assert "layer 1: the same: RUN step 0" in lines


@pytest.mark.parametrize("nested", [False, True])
def test_an_oci_archive_and_dockers_of_one_image(
    nested: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = [tar(BASE), tar([])]
    one, two = docker(tmp_path / "1", layers), oci(tmp_path / "2", layers, nested=nested)
    assert lines_of(capsys, one, two, 0)[-1].startswith("the same image: ")


def test_dates_of_the_config_alone_are_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = [tar(BASE)]
    one = docker(tmp_path / "1", layers)
    two = docker(tmp_path / "2", layers, created="2027-01-01T00:00:00Z", container="c", container_config={"Image": ""})
    lines = lines_of(capsys, one, two, 0)
    assert lines[-1] == "the same layers; the config differs in: created, container, container_config.Image"
    assert "its dates replaced; no registry knows it): the same, sha256:" in lines[1]


def test_another_label_is_a_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = [tar(BASE)]
    one, two = docker(tmp_path / "1", layers), docker(tmp_path / "2", layers, config={"Labels": {"x": "2"}})
    lines = lines_of(capsys, one, two, 1)
    assert lines[-2:] == [
        'config, config.Labels.x: "1" | "2"',
        "the same layers; the config differs in: config.Labels.x",
    ]
    assert " | " in lines[1]


def test_a_config_in_another_order_of_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = [tar(BASE)]
    reordered = dict(reversed(config_of(layers).items()))
    one, two = docker(tmp_path / "1", layers), tmp_path / "2"
    data = json.dumps(reordered).encode()
    manifest = json.dumps([{"Config": "c.json", "Layers": ["l"]}]).encode()
    two.write_bytes(tar([member("c.json", data), member("l", layers[0]), member("manifest.json", manifest)]))
    assert lines_of(capsys, one, two, 1)[-1].endswith("differs in: the order or the spacing of its JSON")


def test_a_layer_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = docker(tmp_path / "1", [tar(BASE)]), docker(tmp_path / "2", [tar(BASE), tar([])])
    lines = lines_of(capsys, one, two, 1)
    assert "layer 2: only in the second: RUN step 1" in lines
    assert lines[-1] == "1 of 2 layers differ"


# The files of a layer

SPARSE = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": "9", "GNU.sparse.map": "0,3,9,0"}
LONG = "d/" * 80 + "f"


@pytest.mark.parametrize(
    ("ours", "theirs", "line"),
    [
        (member("f"), None, "f: only in the first (file)"),
        (None, member("d/.wh.f"), "d/.wh.f: only in the second (whiteout)"),
        (member("f"), member("f", type=tarfile.FIFOTYPE), "f: type file | fifo"),
        (member("f", mode=0o644), member("f", mode=0o4755), "f: mode rw-r--r-- | rwsr-xr-x"),
        (member("f"), member("f", uid=7, gid=8), "f: owner 0:0 | 7:8"),
        (member("f", b"1"), member("f", b"22"), "f: size 1 | 2"),
        (member("f", b"1"), member("f", b"2"), "f: bytes"),
        (member(LONG, b"1"), member(LONG, b"2"), f"{LONG}: bytes"),
        (
            member("f", type=tarfile.SYMTYPE, linkname="a"),
            member("f", type=tarfile.SYMTYPE, linkname="b"),
            "f: target a | b",
        ),
        (
            member("f", type=tarfile.LNKTYPE, linkname="etc/a"),
            member("f", type=tarfile.SYMTYPE, linkname="etc/a"),
            "f: type hard link | symlink",
        ),
        (
            member("f", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
            member("f", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
            "f: target device 1:3 | device 1:5",
        ),
        (member("f", mtime=0), member("f", mtime=86400), "f: mtime 1970-01-01T00:00:00Z | 1970-01-02T00:00:00Z"),
        (member("f"), member("f", mtime=2**60), "f: mtime 1970-01-01T00:00:00Z | @1.152921504606847e+18"),
        (member("f"), member("f", uname="root"), "f: tar header (owner : | root:)"),
        (member("f"), member("f", pax_headers={"comment": "c"}), "f: tar header only"),
        (member("f"), member("f", pax_headers={"SCHILY.xattr.user.a": "b"}), "f: xattrs SCHILY.xattr.user.a"),
        (member("f\n"), None, r"'f\n': only in the first (file)"),
        (member("f", b"abc", pax_headers=SPARSE), member("f", b"abd", pax_headers=SPARSE), "f: bytes"),
        (
            member("f", b"abc", pax_headers=SPARSE),
            member("f", b"abc", pax_headers=SPARSE | {"GNU.sparse.map": "6,3,9,0"}),
            "f: bytes",
        ),
    ],
)
def test_each_kind_of_difference_is_named(
    ours: Member | None, theirs: Member | None, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = [tar([*BASE, *([each] if each else [])]) for each in (ours, theirs)]
    one, two = docker(tmp_path / "1", layers[:1]), docker(tmp_path / "2", layers[1:])
    lines = lines_of(capsys, one, two, 1)
    assert f"  {line}" in lines
    assert any(text.startswith("  1 of 3 files differ; ") for text in lines)


def test_the_order_a_name_twice_and_the_end_of_the_tar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twice = [*BASE, member("etc/a", b"two")]
    pairs = [(tar(BASE), tar(BASE[::-1])), (tar(BASE), tar(twice)), (tar(BASE), tar(BASE) + bytes(512))]
    one = docker(tmp_path / "1", [ours for ours, _ in pairs])
    two = docker(tmp_path / "2", [theirs for _, theirs in pairs])
    lines = lines_of(capsys, one, two, 1)
    assert "  order in the tar: 2 files stand in another place, the first is etc" in lines
    assert "  etc/a (number 2): only in the second (file)" in lines
    assert "  no file differs: the tar files differ between their files or after the last" in lines
    assert lines[-1] == "3 of 3 layers differ"
    assert not any("rootfs" in line for line in lines)


def test_fifty_lines_those_of_bytes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = [[member(f"f{i:03}", mtime=time) for i in range(100)] for time in (1, 2)]
    one = docker(tmp_path / "1", [tar([*many[0], member("z", b"1")])])
    two = docker(tmp_path / "2", [tar([*many[1], member("z", b"2")])])
    lines = [line for line in lines_of(capsys, one, two, 1) if line.startswith("  ")]
    assert lines[:2] == ["  101 of 101 files differ; mtime: 100; bytes: 1", "  z: bytes"]
    assert len(lines) == 52
    assert lines[-1] == "  ... and 51 more files"


def test_layers_share_the_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = [[tar(member(f"{time}{i}") for i in range(40))] * 2 for time in (1, 2)]
    one, two = (docker(tmp_path / str(number), each) for number, each in enumerate(layers))
    lines = lines_of(capsys, one, two, 1)
    assert lines.count("  ... and 55 more files") == 2
    assert sum("only in the" in line and "(file)" in line for line in lines) == 50


def test_the_last_byte_of_a_large_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = (docker(tmp_path / end, [tar([member("f", bytes(3 << 20) + end.encode())])]) for end in "12")
    assert "  f: bytes" in lines_of(capsys, one, two, 1)


CONTENT = st.dictionaries(st.text("abc/é", min_size=1, max_size=120), st.binary(max_size=1030), max_size=5)


@PROPERTY
@given(content=CONTENT, form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]), packed=st.booleans())
def test_every_member_is_read_as_it_was_written(
    content: dict[str, bytes], form: int, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    written = tar((member(f"x{name}", data) for name, data in content.items()), form)
    path = tmp_path_factory.mktemp("image") / "1"
    image = archive.read_archive((oci if packed else docker)(path, [written]))
    files = difference._read((image, image.layers[0]))
    found = [(entry.size, entry.content) for entry in files.values()]
    assert found == [(len(data), sha256(data).digest()) for data in content.values()]


# What cannot be read


def refused(capsys: pytest.CaptureFixture[str], path: Path) -> str:
    assert compare_archives(path, path) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith((f"{path}", f"cannot read {path}"))
    return err


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("cut", "blobs/sha256/.*: is damaged"),
        ("missing", "named in the archive and not there"),
        ("deep", "an index in an"),
    ],
)
def test_a_damaged_oci_archive(damage: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(message, refused(capsys, oci(tmp_path / "1", [tar(BASE)], damage=damage)))


def test_a_damaged_layer_or_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = docker(tmp_path / "1", [tar(BASE)])
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"one", b"two"))
    assert "layer0/layer.tar: is damaged: expected sha256:" in refused(capsys, path)
    path.write_bytes(whole.replace(b"ENV A=1", b"ENV A=2"))
    assert "is damaged: its sha256 is " in refused(capsys, path)
    path.write_bytes(whole[: len(whole) // 4])
    assert "expected a tar file" in refused(capsys, path)


def test_a_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layer = bytearray(tar(BASE))
    layer[512:515] = b"\xff\xff\xff"
    one, two = docker(tmp_path / "1", [bytes(layer)]), docker(tmp_path / "2", [tar(BASE)])
    assert compare_archives(one, two) == 2
    assert "expected a tar file: no header at byte 512" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": b""}, "neither manifest.json"),
        ({"manifest.json": b"[]"}, "has 0 images"),
        ({"manifest.json": b'[{"Config": "a", "RepoTags": ["t:1"]}, {"Config": "b"}]'}, "has 2 images.*t:1, b"),
        ({"manifest.json": b'[{"Config": 3}]'}, r"Expected `str`, got `int` - at `\$\[0\]"),
        ({"manifest.json": b"[" * 100_000}, "manifest.json"),
        ({"manifest.json": b" " * (archive.LIMIT + 1)}, "JSON of at most"),
        ({"manifest.json": b'[{"Config": "../../etc/passwd"}]'}, "and not there, or no plain file"),
        ({"manifest.json": b'[{"Config": "c", "Layers": ["l"]}]', "c": b'{"rootfs": {}}'}, "names 0 layers"),
    ],
)
def test_what_is_no_archive_of_one_image(
    files: dict[str, bytes], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "1"
    path.write_bytes(tar(member(name, data) for name, data in files.items()))
    assert re.search(message, refused(capsys, path))


def test_several_images_of_an_oci_archive_no_file_and_zstd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "has 2 images" in refused(capsys, oci(tmp_path / "1", [tar(BASE)], images=2))
    assert "No such file" in refused(capsys, tmp_path / "none")
    assert "zstd" in refused(capsys, docker(tmp_path / "3", [b"\x28\xb5\x2f\xfd" + bytes(600)]))


def test_a_link_to_a_layer_is_followed_within_the_archive_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layer, path = tar(BASE), tmp_path / "1"
    config = member("c", json.dumps(config_of([layer])).encode())
    manifest = member("manifest.json", b'[{"Config": "c", "Layers": ["x/layer.tar"]}]')
    for kind, target in ((tarfile.SYMTYPE, "../l"), (tarfile.LNKTYPE, "l")):
        link = member("x/layer.tar", type=kind, linkname=target)
        path.write_bytes(tar([config, manifest, member("l", layer), link]))
        assert lines_of(capsys, path, path, 0)[-1].startswith("the same image: ")
    path.write_bytes(tar([config, manifest, member("x/layer.tar", type=tarfile.SYMTYPE, linkname="/etc/passwd")]))
    assert "no plain file" in refused(capsys, path)


def test_headers_are_bounded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "1"
    path.write_bytes(tar([member("a", pax_headers={"comment": "x" * (archive.LIMIT + 1)})]))
    assert "a header of more than" in refused(capsys, path)


# A real engine

DOCKER = os.environ.get("DOCKER", "docker")


def engine(*arguments: str) -> None:
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    subprocess.run([DOCKER, *arguments], capture_output=True, check=True, env=environment)


@pytest.mark.skipif("SEEDBED_IMAGE" not in os.environ, reason="it needs an engine: `nox -s image` runs it")
def test_what_a_real_engine_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tags = [f"seedbed-test/difference-{os.getpid()}:{name}" for name in ("one", "two")]
    try:
        for tag, text in zip(tags, ("1", "2"), strict=True):
            (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY text /text\n")
            (tmp_path / "text").write_text(text)
            engine("build", "-q", "-t", tag, str(tmp_path))
            engine("save", "-o", str(tmp_path / f"{text}.tar"), tag)
        lines = lines_of(capsys, tmp_path / "1.tar", tmp_path / "2.tar", 1)
    finally:
        engine("rmi", "--force", *tags)
    assert any(line.startswith("  text: bytes") for line in lines)
    assert lines[-1] == "1 of 1 layers differ"
