#!/usr/bin/env python3
"""Writes the list of crates that the Yocto recipe fetches, from Cargo.lock.

  yocto/update-crates.py            writes meta-watchpost/recipes-watchpost/watchpost/watchpost-crates.inc
  yocto/update-crates.py --check    exits 1 when that file is not what Cargo.lock wants

It has the form of bitbake's own `update_crates` task, but the registry is a variable (WATCHPOST_CRATES), which the recipe takes
from Cargo.lock. Needs Python 3.11 and nothing else.
"""

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE.parent / "Cargo.lock"
LIST = HERE / "meta-watchpost/recipes-watchpost/watchpost/watchpost-crates.inc"

HEADER = """\
# The crates of Cargo.lock, each with its SHA-256. Written by yocto/update-crates.py: do not edit.
# WATCHPOST_CRATES is the registry, which the recipe takes from Cargo.lock.

"""


def listed(lock: Path) -> str:
    """The file's text: one URI and one checksum a crate, in the order of Cargo.lock."""
    packages = tomllib.loads(lock.read_text())["package"]
    # Without a source is the project's own package alone; deny.toml refuses sources other than the registry.
    crates = [package for package in packages if "source" in package]
    for crate in crates:
        if "checksum" not in crate:
            sys.exit(f"{lock}: {crate['name']} {crate['version']} has no checksum, so nothing would hold what is fetched to it")
    uris = "".join(f"    crate://${{WATCHPOST_CRATES}}/{c['name']}/{c['version']} \\\n" for c in crates)
    sums = "".join(f'SRC_URI[{c["name"]}-{c["version"]}.sha256sum] = "{c["checksum"]}"\n' for c in crates)
    return f'{HEADER}SRC_URI += "\\\n{uris}"\n\n{sums}'


def main() -> None:
    text = listed(LOCK)
    if sys.argv[1:] == ["--check"]:
        if not LIST.exists() or LIST.read_text() != text:
            sys.exit(f"{LIST} is not what Cargo.lock wants: run yocto/update-crates.py")
    elif not sys.argv[1:]:
        LIST.write_text(text)
        print(f"{LIST}: {text.count('crate://')} crates")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
