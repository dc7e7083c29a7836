#!/usr/bin/env python3
"""Write what is in the product as CycloneDX 1.5: sbom.py PACKAGE, from Cargo.lock and the features in use.

Only what is linked is in it: no tools of tests and builds. The same tree gives the same text.
"""

import json
import re
import subprocess
import sys

TARGET = "x86_64-unknown-linux-gnu"


def metadata() -> dict:
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def checksums() -> dict:
    """Return the SHA-256 of each package of the registry, by name and version."""
    with open("Cargo.lock", encoding="utf-8") as lock:
        text = lock.read()
    found = re.findall(r'name = "(.*?)"\nversion = "(.*?)"\nsource = .*\nchecksum = "(.*?)"', text)
    return {(name, version): checksum for name, version, checksum in found}


def linked(root: str, nodes: dict) -> list:
    """Return the ids of all packages that are linked into a package, itself included, in order."""
    found, open_ids = set(), [root]
    while open_ids:
        current = open_ids.pop()
        if current in found:
            continue
        found.add(current)
        for dependency in nodes[current]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                open_ids.append(dependency["pkg"])
    return sorted(found)


def reference(package: dict) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package: dict, sums: dict) -> dict:
    made = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package.get("license"):
        # An old way to write "or".
        made["licenses"] = [{"expression": package["license"].replace(" / ", "/").replace("/", " OR ")}]
    checksum = sums.get((package["name"], package["version"]))
    if checksum:
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return made


def bill(name: str) -> dict:
    facts, sums = metadata(), checksums()
    packages = {package["id"]: package for package in facts["packages"]}
    nodes = {node["id"]: node for node in facts["resolve"]["nodes"]}
    roots = [id for id in facts["workspace_members"] if packages[id]["name"] == name]
    if not roots:
        sys.exit(f"{name} is no package of this workspace")
    ids = linked(roots[0], nodes)

    def needs(id: str) -> list:
        kinds = {d["pkg"] for d in nodes[id]["deps"] if any(kind["kind"] is None for kind in d["dep_kinds"])}
        return sorted(reference(packages[needed]) for needed in kinds)

    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(packages[roots[0]], sums)},
        "components": [component(packages[id], sums) for id in ids if id != roots[0]],
        "dependencies": [{"ref": reference(packages[id]), "dependsOn": needs(id)} for id in ids],
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: sbom.py PACKAGE")
    json.dump(bill(sys.argv[1]), sys.stdout, indent=1)
    print()
