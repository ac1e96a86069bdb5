"""Collects the free fonts that the plate generator draws with.

`python fonts.py fetch` installs the packages named here with npm (each carries its licence, which is checked), unpacks
the Latin faces as TrueType files into the cache folder and leaves nothing else behind. The folder is `WATCHPOST_FONTS`,
by default `models/train/.cache/fonts`. Without it the generator still works, with less variety: `faces()` always adds
what Debian's font packages have put under /usr/share/fonts (fonts-dejavu, fonts-opendin), and `glyphs.py` draws most
plate characters by itself.
"""
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

LICENCES = {"OFL-1.1", "Apache-2.0", "UFL-1.0", "Ubuntu-font-1.0"}

# Families near to what plates carry; the weights are those worth drawing characters with.
CHARACTER = {
    "barlow": (500, 600, 700), "barlow-condensed": (500, 600, 700), "barlow-semi-condensed": (500, 600, 700),
    "overpass": (600, 700, 800), "overpass-mono": (600, 700), "saira": (500, 600, 700), "saira-condensed": (500, 600, 700),
    "saira-semi-condensed": (500, 600, 700), "saira-extra-condensed": (600, 700), "rajdhani": (600, 700), "teko": (500, 600),
    "roboto-condensed": (500, 700), "roboto": (500, 700), "roboto-mono": (500, 700), "archivo-narrow": (600, 700),
    "oswald": (400, 500, 600), "antonio": (500, 600), "bebas-neue": (400,), "league-gothic": (400,), "fjalla-one": (400,),
    "big-shoulders-display": (600, 700), "share-tech-mono": (400,), "share-tech": (400,), "chakra-petch": (600, 700),
    "ubuntu-condensed": (400,), "pt-sans-narrow": (700,), "fira-sans-condensed": (500, 600), "ibm-plex-sans-condensed": (600, 700),
    "asap-condensed": (600, 700), "encode-sans-condensed": (600, 700), "alumni-sans": (600, 700), "khand": (500, 600),
    "quantico": (700,), "aldrich": (400,), "varela-round": (400,), "nunito": (700, 800), "m-plus-rounded-1c": (700, 800),
    "dosis": (600, 700), "rubik": (500, 600), "signika": (600,), "monda": (700,), "russo-one": (400,), "inconsolata": (600, 700),
    "sometype-mono": (600, 700), "red-hat-mono": (600, 700), "jetbrains-mono": (600, 700), "b612-mono": (700,), "b612": (700,),
    "titillium-web": (600, 700), "exo-2": (600,), "arimo": (600, 700), "bai-jamjuree": (600,), "sarabun": (600, 700),
}
# Families for city names, slogans, dealers' frames and signs only.
LETTERING = {
    "open-sans": (700,), "noto-sans": (600,), "dm-sans": (700,), "prompt": (600,), "graduate": (400,), "rokkitt": (600,),
    "zilla-slab": (600,), "alfa-slab-one": (400,), "courier-prime": (700,), "black-ops-one": (400,), "passion-one": (400,),
    "pacifico": (400,), "lobster": (400,), "kaushan-script": (400,), "anton": (400,), "saira-stencil-one": (400,), "cousine": (700,),
}
DEBIAN = ("dejavu/DejaVuSansCondensed-Bold.ttf", "dejavu/DejaVuSans-Bold.ttf", "dejavu/DejaVuSansMono-Bold.ttf",
          "dejavu/DejaVuSansCondensed.ttf", "opendin/OpenDin.ttf", "truetype/open-din/OpenDin.ttf")


def cache_folder() -> pathlib.Path:
    default = pathlib.Path(__file__).parent / ".cache" / "fonts"
    return pathlib.Path(os.environ.get("WATCHPOST_FONTS", default))


@functools.lru_cache(maxsize=None)
def faces(use: str) -> tuple[str, ...]:
    """Font files for `use`: "character" (the plate's own characters) or "lettering" (everything else)."""
    found = sorted(str(p) for p in (cache_folder() / "character").glob("*.ttf"))
    if use == "lettering":
        found += sorted(str(p) for p in (cache_folder() / "lettering").glob("*.ttf"))
    for name in DEBIAN:
        for root in ("/usr/share/fonts/truetype", "/usr/share/fonts"):
            path = os.path.join(root, name)
            if os.path.exists(path):
                found.append(path)
                break
    return tuple(found)


def unpack(package: pathlib.Path, weights: tuple[int, ...], target: pathlib.Path) -> int:
    """Writes the upright Latin faces of an installed package as TrueType; the number written."""
    from fontTools.ttLib import TTFont

    licence = json.loads((package / "package.json").read_text())["license"]
    if licence not in LICENCES:
        print(f"left out: {package.name} has licence {licence}", file=sys.stderr)
        return 0
    written = 0
    for weight in weights:
        source = package / "files" / f"{package.name}-latin-{weight}-normal.woff"
        if source.exists():
            font = TTFont(source)
            font.flavor = None
            font.save(target / f"{package.name}-{weight}.ttf")
            written += 1
    return written


def fetch() -> None:
    """Installs all packages into a temporary folder and fills the cache folder."""
    with tempfile.TemporaryDirectory() as work:
        pathlib.Path(work, "package.json").write_text('{"private": true}\n')
        names = [f"@fontsource/{name}" for name in (*CHARACTER, *LETTERING)]
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *names], cwd=work, check=True)
        for use, families in (("character", CHARACTER), ("lettering", LETTERING)):
            target = cache_folder() / use
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            root = pathlib.Path(work, "node_modules", "@fontsource")
            count = sum(unpack(root / name, weights, target) for name, weights in families.items())
            print(f"{use}: {count} faces from {len(families)} families in {target}")


if __name__ == "__main__":
    if sys.argv[1:] != ["fetch"]:
        sys.exit("usage: fonts.py fetch")
    fetch()
