#!/usr/bin/env python3
"""What is in the package: an SBOM (CycloneDX 1.5, JSON) and the licences of the crates that are linked in.

    scripts/sbom.py FOLDER [--ctl]

Writes FOLDER/watchpost.cdx.json and FOLDER/third-party-licences.txt; with --ctl those of watchpostctl alone, built without the
native features: FOLDER/watchpostctl.cdx.json. Crates come from `cargo metadata` as they are locked: those
that these features link on this target, without build and development dependencies; their checksums are those of Cargo.lock. ONNX Runtime and the
models are named with the sha256 of their files. The same sources give the same bytes: no random serial number, and the time is
SOURCE_DATE_EPOCH's.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import uuid

root = pathlib.Path(__file__).resolve().parent.parent
ONNXRUNTIME = re.compile(r"libonnxruntime\.so\.([0-9.]+)$")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def linked(metadata):
    """Packages that end up in the programs, our own first."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    start = metadata["resolve"]["root"]
    seen, queue, edges = [], [start], {}
    while queue:
        at = queue.pop()
        if at in seen:
            continue
        seen.append(at)
        normal = [d["pkg"] for d in nodes[at]["deps"] if any(kind["kind"] is None for kind in d["dep_kinds"])]
        # What a macro links stays in the compiler.
        is_macro = lambda id: any("proc-macro" in target["kind"] for target in packages[id]["targets"])
        edges[at] = sorted(id for id in normal if not is_macro(id))
        queue.extend(edges[at])
    rest = sorted((packages[id] for id in seen if id != start), key=lambda p: (p["name"], p["version"]))
    return packages[start], rest, edges


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def main():
    out, ctl = pathlib.Path(sys.argv[1]), sys.argv[2:] == ["--ctl"]
    name = "watchpostctl" if ctl else "watchpost"
    out.mkdir(parents=True, exist_ok=True)
    triple = re.search(r"host: (\S+)", subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout).group(1)
    told = subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", triple, *(["--no-default-features"] if ctl else [])],
        cwd=root, capture_output=True, check=True,
    )
    own, crates, edges = linked(json.loads(told.stdout))
    locked = {(p["name"], p["version"]): p.get("checksum") for p in tomllib.loads((root / "Cargo.lock").read_text())["package"]}
    ids = {}
    components, texts = [], {}
    for crate in crates:
        ids[crate["id"]] = purl(crate)
        component = {"type": "library", "bom-ref": purl(crate), "name": crate["name"], "version": crate["version"], "purl": purl(crate)}
        if crate.get("license"):
            component["licenses"] = [{"expression": crate["license"].replace("/", " OR ")}]
        if locked.get((crate["name"], crate["version"])):
            component["hashes"] = [{"alg": "SHA-256", "content": locked[(crate["name"], crate["version"])]}]
        components.append(component)
        folder = pathlib.Path(crate["manifest_path"]).parent
        for file in sorted(folder.iterdir()):
            if file.is_file() and re.match(r"(?i)(licen[cs]e|copying|notice|unlicense)", file.name):
                text = file.read_text(errors="replace").strip()
                texts.setdefault(text, []).append(f"{crate['name']} {crate['version']} ({crate.get('license')}): {file.name}")
    for file in sorted((root / "target/onnxruntime").glob("libonnxruntime.so.*")) if not ctl else []:
        if found := ONNXRUNTIME.search(file.name):
            ref = f"pkg:pypi/onnxruntime@{found.group(1)}"
            components.append({
                "type": "library", "bom-ref": ref, "name": "onnxruntime", "version": found.group(1), "purl": ref,
                "licenses": [{"expression": "MIT"}], "hashes": [{"alg": "SHA-256", "content": sha256(file)}],
            })
    for manifest in sorted((root / "models").glob("*/manifest.toml")) if not ctl else []:
        model = manifest.parent / "model.onnx"
        components.append({
            "type": "machine-learning-model", "bom-ref": f"model/{manifest.parent.name}", "name": manifest.parent.name,
            "licenses": [{"expression": own["license"]}], "hashes": [{"alg": "SHA-256", "content": sha256(model)}],
        })
    # What Debian's packages bring is in the package's Depends.
    ids[own["id"]] = purl(own)
    others = [c["bom-ref"] for c in components if not c["bom-ref"].startswith("pkg:cargo/")]
    dependencies = [
        {"ref": ids[id], "dependsOn": sorted(ids[d] for d in deps) + (others if id == own["id"] else [])}
        for id, deps in sorted(edges.items(), key=lambda item: ids[item[0]])
    ] + [{"ref": ref} for ref in others]
    when = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    bom = {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {
            "timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application", "bom-ref": purl(own), "name": name, "version": own["version"],
                "licenses": [{"expression": own["license"]}], "purl": purl(own),
            },
        },
        "components": components, "dependencies": dependencies,
    }
    digest = hashlib.sha256(json.dumps(bom, sort_keys=True).encode()).hexdigest()
    bom["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"
    (out / f"{name}.cdx.json").write_text(json.dumps(bom, indent=1, sort_keys=True) + "\n")
    parts = []
    for text, users in sorted(texts.items(), key=lambda item: item[1]):
        parts.append("=" * 100 + "\n" + "\n".join(users) + "\n" + "=" * 100 + "\n\n" + text + "\n")
    (out / "third-party-licences.txt").write_text("\n".join(parts))
    print(f"sbom: {len(components)} components, {len(texts)} texts of licences, in {out}")


main()
