"""What an image says of itself: the digest of what is in it, the file, and the command that writes it."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import ConfigError
from seedbed.image import FOLDER, NAME, Image, __main__, contents, difference, digest_tree, read_image
from seedbed.image.description import encode

PROPERTY = settings(deadline=None, derandomize=True, max_examples=60)

IMAGE = Image(
    variant="cpu",
    base="docker.io/library/python:3.11.7-slim-bookworm",
    base_digest="sha256:0123",
    lock="requirements.lock",
    lock_sha256="ab" * 32,
    version="0.1.0",
    revision="cd" * 20,
    contents="sha256:4567",
)


# The digest

Node = tuple[str, int, bytes]
"""A kind, permissions, and the bytes of a file or the target of a link."""

# Few of each, so that two trees that are drawn are often the same but for one thing.
FILES = st.tuples(st.just("file"), st.sampled_from([0o644, 0o755]), st.sampled_from([b"", b"a", b"b"]))
FOLDERS = st.tuples(st.just("folder"), st.sampled_from([0o755, 0o700]), st.just(b""))
LINKS = st.tuples(st.just("link"), st.just(0o777), st.sampled_from([b"a", b"b", b"sub"]))
NAMES = [b"a", b"b", b"a\n", b"\xff", b"sub/a", b"sub/a b", b"subs"]
TREES = st.dictionaries(st.sampled_from(NAMES), FILES | FOLDERS | LINKS, max_size=4)


def make(folder: Path, tree: dict[bytes, Node]) -> str:
    """Make the files, folders and links of `tree`, in its order, and digest them."""
    for name, (kind, mode, content) in tree.items():
        path = folder / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        if kind == "link":
            path.symlink_to(os.fsdecode(content))
            continue
        if kind == "folder":
            path.mkdir()
        else:
            path.write_bytes(content)
        path.chmod(mode)
    return digest_tree(folder)


@PROPERTY
@given(TREES, TREES)
def test_two_folders_have_one_digest_if_and_only_if_they_hold_the_same(
    one: dict[bytes, Node], two: dict[bytes, Node]
) -> None:
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        assert (make(Path(first), one) == make(Path(second), two)) is (one == two)


@PROPERTY
@given(TREES)
def test_neither_times_nor_the_order_of_making_change_the_digest(tree: dict[bytes, Node]) -> None:
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        digest = make(Path(first), tree)
        for path in Path(first).rglob("*"):
            os.utime(path, (1, 2), follow_symlinks=False)
        assert digest_tree(Path(first)) == digest
        assert make(Path(second), dict(reversed(tree.items()))) == digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of a file, a folder with a file, and a link."""
    folder = tmp_path / "folder"
    make(
        folder,
        {
            b"file": ("file", 0o644, b"a"),
            b"sub/file": ("file", 0o644, b"b"),
            b"link": ("link", 0o777, b"sub"),
        },
    )
    return folder


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "file").rename(folder / "file2"),
        lambda folder: (folder / "file").rename(folder / "sub/file2"),
        lambda folder: (folder / "file").write_bytes(b"A"),
        lambda folder: (folder / "file").write_bytes(b"ab"),
        lambda folder: (folder / "file").chmod(0o640),
        lambda folder: (folder / "file").chmod(0o4644),
        lambda folder: (folder / "sub").chmod(0o700),
        lambda folder: (folder / "file").unlink(),
        lambda folder: (folder / "empty").mkdir(),
        lambda folder: (folder / "empty").touch(),
        lambda folder: ((folder / "link").unlink(), (folder / "link").write_text("sub")),
        lambda folder: ((folder / "link").unlink(), (folder / "link").symlink_to("./sub")),
        lambda folder: os.mkfifo(folder / "fifo"),
    ],
    ids=range(13),
)
def test_whatever_changes_changes_the_digest(folder: Path, change: Callable[[Path], object]) -> None:
    before = digest_tree(folder)
    assert digest_tree(folder) == before
    change(folder)
    assert digest_tree(folder) != before


def test_the_digest_is_that_of_a_text_that_anybody_can_write(folder: Path) -> None:
    (folder / "sub").chmod(0o755)
    lines = [
        b"file\0file 644 " + hashlib.sha256(b"a").hexdigest().encode(),
        b"link\0link 777 " + hashlib.sha256(b"sub").hexdigest().encode(),
        b"sub\0folder 755 ",
        b"sub/file\0file 644 " + hashlib.sha256(b"b").hexdigest().encode(),
    ]
    text = b"".join(line + b"\n" for line in lines)
    assert digest_tree(folder) == f"sha256:{hashlib.sha256(text).hexdigest()}"


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "nowhere").symlink_to("nothing")
    (folder / "out").symlink_to(tmp_path)
    (folder / "round").symlink_to(".")
    before = digest_tree(folder)
    (tmp_path / "new").touch()
    assert digest_tree(folder) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_the_owner_does_not_matter(folder: Path) -> None:
    before = digest_tree(folder)
    os.chown(folder / "file", 1234, 5678)
    assert digest_tree(folder) == before


def test_what_is_left_out_is_left_out_at_the_top_only(folder: Path) -> None:
    without = frozenset({NAME, "left"})
    before = digest_tree(folder, without=without)
    (folder / NAME).write_text("{}")
    (folder / "left").mkdir()
    (folder / "left" / "more").touch()
    assert digest_tree(folder, without=without) == before
    assert digest_tree(folder) != before
    (folder / "sub" / NAME).write_text("{}")
    assert digest_tree(folder, without=without) != before


def test_a_folder_that_is_not_there_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest_tree(tmp_path / "nowhere")
    assert digest_tree(tmp_path) == f"sha256:{hashlib.sha256(b'').hexdigest()}"


def test_a_file_larger_than_a_block_is_digested_whole(tmp_path: Path) -> None:
    data = bytearray(2**20)
    (tmp_path / "large").write_bytes(data)
    before = digest_tree(tmp_path)
    data[-1] = 1
    (tmp_path / "large").write_bytes(data)
    assert digest_tree(tmp_path) != before


# The description


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of an image's file system."""
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / NAME).write_bytes(encode(IMAGE))
    return tmp_path


def test_what_an_image_says_comes_back(root: Path) -> None:
    assert read_image(root) == IMAGE


def test_it_is_json_with_sorted_keys_and_a_newline() -> None:
    text = encode(IMAGE).decode()
    assert text.endswith("}\n")
    assert list(json.loads(text)) == sorted(Image.__struct_fields__)
    assert encode(IMAGE) == encode(Image(**dict(reversed(json.loads(text).items()))))


def test_no_image_of_seedbed_s_says_nothing(tmp_path: Path) -> None:
    assert read_image(tmp_path) is None
    (tmp_path / "opt").write_text("a file")
    assert read_image(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "truncated"),
        (encode(IMAGE)[:40], "truncated"),
        (b"\xff\xfe", "malformed"),
        (b"[]", "Expected `object`, got `array`"),
        (encode(IMAGE).replace(b'"cpu"', b'"tpu"'), r"Invalid enum value 'tpu' - at `\$.variant`"),
        (encode(IMAGE).replace(b'"version"', b'"tag": "latest", "version"'), "unknown field `tag`"),
        (encode(IMAGE).replace(b'"revision": "' + b"cd" * 20 + b'",', b""), "missing required field `revision`"),
        (encode(IMAGE).replace(b'"0.1.0"', b"1"), r"Expected `str`, got `int` - at `\$.version`"),
        (encode(IMAGE).replace(b'"cpu"', b'"\xff"'), "utf-8"),
    ],
)
def test_a_damaged_file_names_itself_and_what_was_expected(root: Path, text: bytes, message: str) -> None:
    (root / FOLDER / NAME).write_bytes(text)
    with pytest.raises(ConfigError, match=rf"image\.json: expected what the build wrote, found: .*({message})"):
        read_image(root)


def test_it_is_read_without_numpy_and_torch() -> None:
    program = "import sys, seedbed.image; seedbed.image.read_image(); print({'numpy', 'torch'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# The command


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text("numpy==2.4.6\n")
    return path


LOCK_SHA256 = hashlib.sha256(b"numpy==2.4.6\n").hexdigest()


def options(folder: Path, lock: Path, /, **changed: str) -> list[str]:
    given = {
        "variant": "cpu",
        "base": "python:3.11.7",
        "base-digest": "sha256:0123",
        "revision": "cdcd-dirty",
        "version": "0.1.0",
        "lock": str(lock),
        "folder": str(folder),
        "out": str(folder / NAME),
    } | {name.replace("_", "-"): value for name, value in changed.items()}
    return ["describe", *(f"--{name}={value}" for name, value in given.items())]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["seedbed.image", *arguments])
    return __main__.main()


def test_the_build_writes_what_it_knows(monkeypatch: pytest.MonkeyPatch, folder: Path, lock: Path) -> None:
    expected = digest_tree(folder)
    assert run(monkeypatch, *options(folder, lock)) == 0
    assert Image(**json.loads((folder / NAME).read_bytes())) == Image(
        variant="cpu",
        base="python:3.11.7",
        base_digest="sha256:0123",
        lock="requirements.lock",
        lock_sha256=LOCK_SHA256,
        version="0.1.0",
        revision="cdcd-dirty",
        contents=expected,
    )
    assert sorted(os.listdir(folder)) == ["file", NAME, "link", "sub"]


def test_a_second_build_writes_the_same_bytes(monkeypatch: pytest.MonkeyPatch, folder: Path, lock: Path) -> None:
    assert run(monkeypatch, *options(folder, lock)) == 0
    before = (folder / NAME).read_bytes()
    assert run(monkeypatch, *options(folder, lock)) == 0
    assert (folder / NAME).read_bytes() == before
    (folder / "file").write_text("changed")
    assert run(monkeypatch, *options(folder, lock)) == 0
    assert (folder / NAME).read_bytes() != before


def test_what_nobody_said_is_none(monkeypatch: pytest.MonkeyPatch, folder: Path, lock: Path) -> None:
    assert run(monkeypatch, *options(folder, lock, base_digest="", revision="")) == 0
    said = json.loads((folder / NAME).read_bytes())
    assert (said["base_digest"], said["revision"]) == (None, None)


def test_a_lock_that_is_the_one_that_was_meant(monkeypatch: pytest.MonkeyPatch, folder: Path, lock: Path) -> None:
    assert run(monkeypatch, *options(folder, lock, lock_sha256=LOCK_SHA256)) == 0
    assert (folder / NAME).exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lock_sha256": "ab"}, f"requirements.lock: its sha256 is {LOCK_SHA256}, not the LOCK_SHA256"),
        ({"lock": "nowhere.lock"}, "No such file or directory: 'nowhere.lock'"),
        ({"folder": "nowhere"}, "No such file or directory: b'nowhere'"),
        ({"out": "nowhere/image.json"}, "cannot write nowhere/image.json: No such file or directory"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    lock: Path,
    changed: dict[str, str],
    message: str,
) -> None:
    assert run(monkeypatch, *options(folder, lock, **changed)) == __main__.EXIT_UNREADABLE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("seedbed: ")
    assert message in line
    assert not (folder / NAME).exists()


@pytest.mark.parametrize("changed", [{"variant": "tpu"}, {"device": "cpu"}])
def test_an_option_that_means_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    lock: Path,
    changed: dict[str, str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, *options(folder, lock, **changed))
    assert stopped.value.code == __main__.EXIT_UNREADABLE
    assert next(iter(changed.values())) in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("status", [0, 1, 2])
def test_compare_hands_on_the_two_and_the_exit_status(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    seen: list[Path] = []

    def compare_archives(one: Path, two: Path) -> int:
        seen.extend((one, two))
        return status

    monkeypatch.setattr(difference, "compare_archives", compare_archives)
    assert run(monkeypatch, "compare", "one.tar", "two.tar") == status
    assert seen == [Path("one.tar"), Path("two.tar")]


def test_the_module_is_the_command(folder: Path, lock: Path) -> None:
    command = [sys.executable, "-m", "seedbed.image"]
    done = subprocess.run([*command, *options(folder, lock)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((folder / NAME).read_text())["contents"] == digest_tree(folder, without=frozenset({NAME}))
    refused = subprocess.run([*command, "compare", "one.tar", "two.tar"], capture_output=True, text=True, check=False)
    assert refused.returncode == __main__.EXIT_UNREADABLE
    assert refused.stderr.count("\n") == 1


def test_a_thing_that_is_neither_file_folder_nor_link_has_no_content(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with os.scandir(os.fsencode(tmp_path)) as found:
        assert [contents._content(entry) for entry in found] == [(b"other", "")]
