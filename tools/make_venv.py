"""Make a virtual environment with pip in it, also where Python came without `ensurepip` (Debian's python3.11).

    python3.11 tools/make_venv.py .venv

Uses the standard library only. Without ensurepip, pip's newest wheel is taken from the package index
($PIP_INDEX_URL, or pypi.org) and installs itself.
"""

import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import venv
from importlib.util import find_spec
from pathlib import Path

OLDEST = (3, 11)
INDEX = "https://pypi.org/simple"


def newest_wheel(page: str) -> str:
    """The link to the newest release of pip on its page of an index."""
    links = re.findall(r'href="([^"]*/pip-(\d+(?:\.\d+)*)-py3-none-any\.whl[^"]*)"', page)
    if not links:
        sys.exit("the package index has no wheel of pip")
    return max(links, key=lambda link: tuple(map(int, link[1].split("."))))[0]


def install_pip(python: Path) -> None:
    """Let pip's own wheel install pip for `python`."""
    url = os.environ.get("PIP_INDEX_URL", INDEX).rstrip("/") + "/pip/"
    with urllib.request.urlopen(url) as response:
        link = newest_wheel(response.read().decode())
    address = urllib.parse.urljoin(url, link)
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(folder, Path(urllib.parse.urlparse(address).path).name)
        wheel.write_bytes(urllib.request.urlopen(address).read())
        subprocess.run([python, f"{wheel}/pip", "install", "--quiet", "--no-index", wheel], check=True)


def main() -> None:
    if sys.version_info < OLDEST:
        sys.exit(f"kpuir needs Python 3.11 or newer, this is {sys.version.split()[0]}")
    folder = Path(sys.argv[1])
    has_pip = find_spec("ensurepip") is not None
    venv.EnvBuilder(with_pip=has_pip, symlinks=os.name != "nt").create(folder)
    if not has_pip:
        install_pip(folder.resolve() / "bin" / "python")


if __name__ == "__main__":
    main()
