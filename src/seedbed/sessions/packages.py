"""Where packages come from: what pip was told, for pip and uv alike, and the one index that torch's CPU wheel needs."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping

PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
INDEX_VARIABLE = "SEEDBED_TORCH_INDEX"  # another address than PyTorch's; empty for none

UV_NAMES = {  # pip's settings that say where packages come from, as uv calls them, and what separates several
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_EXTRA_INDEX_URL", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
}


def pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """What pip was told about where packages come from: in its files, then in the environment, which wins."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # nothing, if there is no pip
    return settings_of(listed, environ)


def settings_of(listed: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The settings in the output of `pip config list`: a command's own win over global ones, a variable over both."""
    settings = {}
    for section in ("global", "install"):
        for name, value in re.findall(rf"^{section}\.([\w-]+)=(.*)$", listed, re.MULTILINE):
            settings[name] = str(ast.literal_eval(value))
    for name in UV_NAMES:
        if value := environ.get("PIP_" + name.upper().replace("-", "_")):
            settings[name] = value
    return {name: value for name, value in settings.items() if name in UV_NAMES}


def install_environ(settings: Mapping[str, str], index: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that make pip and uv alike follow pip's `settings`, and look in `index` (if any) as well.

    uv does not read pip's settings; where it has its own, those win.
    """
    handed = {
        variable: separator.join(os.path.expanduser(part) for part in settings[name].split())  # noqa: PTH111 (URLs too)
        for name, (variable, separator) in UV_NAMES.items()
        if name in settings and variable not in environ
    }
    # uv would look for a package only in the first index that has its name, whatever the version, as a guard against a
    # stranger's package of that name; the hashes guard too, and an extra index often has an old copy of NumPy.
    handed["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    # pip compiles by itself. Left to the first import, it would be done again by every process of a check where
    # PYTHONDONTWRITEBYTECODE is set, as it often is in containers: 13 s of CPU each instead of 5.
    handed["UV_COMPILE_BYTECODE"] = "1"
    if index:
        handed["UV_INDEX"] = f"{environ.get('UV_INDEX', '')} {index}".strip()
        handed["PIP_EXTRA_INDEX_URL"] = f"{settings.get('extra-index-url', '')} {index}".strip()
    return handed


def cpu_index(environ: Mapping[str, str], *, at_hand: bool) -> str:
    """The index to look in for torch's CPU wheel, which PyPI does not have; empty where none is needed."""
    return environ.get(INDEX_VARIABLE, "" if at_hand else PYTORCH_CPU_INDEX)


def wheel_at_hand(torch: str) -> bool:
    """Whether pip's own settings (a folder of wheels in `PIP_FIND_LINKS`, pip.conf) have it, asked without an index."""
    options = ["--dry-run", "--no-index", "--no-deps", "--ignore-installed", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *options, f"torch=={torch}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
