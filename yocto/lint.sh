#!/usr/bin/env bash
# Looks through the Yocto layer: oelint-adv finds nothing (its rules: .oelint.cfg), kas's schema takes the kas files, the shell
# scripts parse, and the list of crates is that of Cargo.lock. Brings the two linters from PyPI once, into target/oelint.
set -euo pipefail
cd "$(dirname "$0")"

tools=../target/oelint
if ! cmp -s lint-requirements.txt "$tools/requirements.txt"; then
    rm -rf "$tools"
    /usr/bin/python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --only-binary=:all: --target "$tools" -r lint-requirements.txt ||
        { echo "yocto-lint: PyPI did not give the packages of yocto/lint-requirements.txt" >&2; exit 1; }
    cp lint-requirements.txt "$tools/requirements.txt"
fi
export PYTHONPATH=$tools

mapfile -t files < <(find meta-watchpost -name '*.bb' -o -name '*.bbappend' -o -name '*.conf' -path '*/conf/*' | sort)
# It exits 0 on findings below an error: any line of its output is one too many.
found=$(/usr/bin/python3 -m oelint_adv --relpaths --quiet --jobs 1 "${files[@]}" 2>&1) || { printf '%s\n' "$found" >&2; exit 1; }
[ -z "$found" ] || { printf '%s\n' "$found" >&2; exit 1; }

/usr/bin/python3 - kas*.yml <<'PYTHON'
import json
import sys
from pathlib import Path

import jsonschema
import kas
import yaml

schema = json.loads((Path(kas.__file__).parent / "schema-kas.json").read_text())
for path in sys.argv[1:]:
    jsonschema.validate(yaml.safe_load(Path(path).read_text()), schema)
PYTHON

for script in meta-watchpost/recipes-watchpost/watchpost-appliance/files/{boot-check,slot-trial}; do
    sh -n "$script"
done
if command -v grub-script-check >/dev/null; then
    grub-script-check meta-watchpost/files/wic/watchpost-grub.cfg
fi
./update-crates.py --check
echo "yocto-lint: ${#files[@]} files of the layer, kas files, scripts and the list of crates are fine"
