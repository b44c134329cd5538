"""Where packages come from, as pip and uv are told it. Nothing here touches the network."""

import zipfile
from importlib.metadata import distributions  # to import pip would put setuptools' distutils away
from pathlib import Path

import pytest

from seedbed.sessions import packages


def test_settings_of_files_and_variables() -> None:
    listed = (
        ":env:.find-links='/ignored: the variable itself is read'\n"
        "global.extra-index-url='\\nhttps://a/simple\\nhttps://b/simple'\n"
        "global.find-links='/global'\n"
        "global.timeout='60'\n"
        "install.find-links='/install'\n"
        "wheel.find-links='/other command'\n"
    )
    assert packages.settings_of(listed, {"PIP_CERT": "/ca.pem", "PIP_PROXY": ""}) == {
        "extra-index-url": "\nhttps://a/simple\nhttps://b/simple",
        "find-links": "/install",
        "cert": "/ca.pem",
    }
    assert packages.settings_of(listed, {"PIP_FIND_LINKS": "/variable"})["find-links"] == "/variable"
    assert packages.settings_of("", {}) == {}


def test_uv_is_handed_what_pip_is_set_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    settings = {"index-url": "https://mirror/simple", "extra-index-url": "https://a\nhttps://b", "find-links": "~/x /y"}
    assert packages.install_environ(settings, "", {}) == {
        "UV_DEFAULT_INDEX": "https://mirror/simple",
        "UV_EXTRA_INDEX_URL": "https://a https://b",
        "UV_FIND_LINKS": "/home/ada/x,/y",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_COMPILE_BYTECODE": "1",
    }


def test_uv_keeps_its_own_settings() -> None:
    handed = packages.install_environ({"find-links": "/pip", "cert": "/ca.pem"}, "", {"UV_FIND_LINKS": "/uv"})
    assert handed == {"SSL_CERT_FILE": "/ca.pem", "UV_INDEX_STRATEGY": "unsafe-best-match", "UV_COMPILE_BYTECODE": "1"}


def test_an_index_is_added_for_pip_and_uv_alike() -> None:
    handed = packages.install_environ({"extra-index-url": "https://a"}, "https://torch", {"UV_INDEX": "https://own"})
    assert handed["PIP_EXTRA_INDEX_URL"] == "https://a https://torch"
    assert handed["UV_INDEX"] == "https://own https://torch"


@pytest.mark.parametrize(
    ("environ", "at_hand", "index"),
    [
        ({}, False, "https://download.pytorch.org/whl/cpu"),
        ({}, True, ""),
        ({"SEEDBED_TORCH_INDEX": "https://mirror/torch"}, False, "https://mirror/torch"),
        ({"SEEDBED_TORCH_INDEX": "https://mirror/torch"}, True, "https://mirror/torch"),
        ({"SEEDBED_TORCH_INDEX": ""}, False, ""),
    ],
)
def test_cpu_index(environ: dict[str, str], *, at_hand: bool, index: str) -> None:
    assert packages.cpu_index(environ, at_hand=at_hand) == index


@pytest.mark.skipif(not any(distributions(name="pip")), reason="an environment that uv made has no pip")
def test_pip_itself_says_whether_the_wheel_is_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "torch-1.0+cpu-py3-none-any.whl", "w") as wheel:
        info = "torch-1.0+cpu.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 1.0+cpu\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert packages.wheel_at_hand("1.0+cpu")
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert not packages.wheel_at_hand("1.0+cpu")


def test_pip_settings_are_read_without_pip_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert packages.pip_settings({"PIP_INDEX_URL": "https://mirror"}) == {"index-url": "https://mirror"}
