"""The template of a wheel, laid out."""

import io
import random
import zipfile
from pathlib import Path

import pytest

from seedbed.errors import ScaffoldError
from seedbed.scaffold.layout import TREE, lay_out
from seedbed.scaffold.wheel import TEMPLATE, Wheel
from tests.scaffolding import contents, running, tree

LEAST = {
    f"{TEMPLATE}/copier.yml": b"x",
    f"{TEMPLATE}/template/a": b"a",
    f"{TEMPLATE}/templates/b": b"b",
}


def wheel(files: dict[str, bytes]) -> Wheel:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return Wheel("seedbed-1.2-py3-none-any.whl", whole.getvalue())


def test_a_wheel_is_laid_out_as_copier_wants_it(tmp_path: Path) -> None:
    packed = wheel({**LEAST, "seedbed/__init__.py": b"", "seedbed/scaffolding/no": b""})
    lay_out(packed, tmp_path / "new")
    found = tree(tmp_path / "new")
    vendored = f"{TREE}/vendor/{packed.name}"
    assert found.pop("templates/seedbed.sha256").decode() == packed.sha256
    assert found.pop(vendored) == packed.content
    assert found == {"copier.yml": b"x", f"{TREE}/a": b"a", "templates/b": b"b"}


def test_the_running_template_is_laid_out_whole(tmp_path: Path) -> None:
    lay_out(running(), tmp_path / "new")
    found = tree(tmp_path / "new")
    for name, content in contents(running()).items():
        if name.startswith(f"{TEMPLATE}/template/"):
            assert found[f"{TREE}/{name.removeprefix(f'{TEMPLATE}/template/')}"] == content


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match=r"seedbed-1\.whl is no wheel: File is not a zip file"):
        lay_out(Wheel("seedbed-1.whl", b"no zip file"), tmp_path / "new")


@pytest.mark.parametrize("missing", LEAST)
def test_a_wheel_of_before_the_template_is_refused(tmp_path: Path, missing: str) -> None:
    with pytest.raises(ScaffoldError, match=r"seedbed-1\.2-py3-none-any\.whl brings no template along"):
        lay_out(wheel({name: content for name, content in LEAST.items() if name != missing}), tmp_path / "new")


def test_a_changed_byte_is_seen(tmp_path: Path) -> None:
    packed = wheel({**LEAST, f"{TEMPLATE}/template/a": b"the contents"})
    changed = Wheel(packed.name, packed.content.replace(b"the contents", b"the-contents", 1))
    with pytest.raises(ScaffoldError, match=r"is no wheel: Bad CRC-32 for file 'seedbed/scaffold/template/a'"):
        lay_out(changed, tmp_path / "new")


def test_whatever_its_bytes_are_it_is_refused_or_laid_out(tmp_path: Path) -> None:
    draw, whole, refused = random.Random(1337), wheel(LEAST), 0
    for turn in range(400):
        content = bytearray(whole.content)
        content[draw.randrange(len(content))] = draw.randrange(256)
        try:
            lay_out(Wheel(whole.name, bytes(content)), tmp_path / str(turn))
        except ScaffoldError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("name", ["/../../../../evil", "/template/../../../../../evil", "/template//evil"])
def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    lay_out(wheel({**LEAST, f"{TEMPLATE}{name}": b"evil"}), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert not (tmp_path.parent / "evil").exists()


def test_a_folder_that_is_there_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        lay_out(wheel(LEAST), tmp_path)
    assert list(tmp_path.iterdir()) == []
