#!/usr/bin/env python3
"""Make an OCI image of the license server: image.py SEATMETERD ARCHIVE TAG.

The image has the program, the libraries of the system that it needs, the certificates of public authorities, and a user without
rights. It has no shell and no package manager, and its root may be read-only: the server writes into /data alone. The same files
give the same image.
"""

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile

USER = 65532
# The date of every file, and of the image, so that it is the same each time.
EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def needed(program: str) -> list:
    """Return the paths of the loader and of the libraries that a program needs."""
    lines = subprocess.run(["ldd", program], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found = [re.search(r"(/\S+)", line) for line in lines if "linux-vdso" not in line]
    if not all(found):
        sys.exit(f"a library of {program} is missing on this machine: {lines}")
    return [match.group(1) for match in found]


def add(archive: tarfile.TarFile, path: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.mtime = len(content), mode, EPOCH
    archive.addfile(entry, io.BytesIO(content))


def add_folder(archive: tarfile.TarFile, path: str, mode: int = 0o755, owner: int = 0) -> None:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.mtime, entry.uid, entry.gid = tarfile.DIRTYPE, mode, EPOCH, owner, owner
    archive.addfile(entry)


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def layer(program: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as archive:
        files = {path.lstrip("/"): read(path) for path in needed(program)}
        files["usr/bin/seatmeterd"] = read(program)
        files["etc/passwd"] = f"root:x:0:0::/:/nonexistent\nseatmeterd:x:{USER}:{USER}::/data:/nonexistent\n".encode()
        files["etc/group"] = f"root:x:0:\nseatmeterd:x:{USER}:\n".encode()
        if os.path.exists(AUTHORITIES):
            files[AUTHORITIES.lstrip("/")] = read(AUTHORITIES)
        folders = {parent for path in files for parent in parents(path)}
        for folder in sorted(folders):
            add_folder(archive, folder)
        add_folder(archive, "data", 0o700, USER)
        add_folder(archive, "tmp", 0o1777)
        for path in sorted(files):
            is_program = path.startswith("usr/bin/") or ".so" in path
            add(archive, path, files[path], 0o755 if is_program else 0o644)
    return made.getvalue()


def parents(path: str) -> list:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def image(program: str, tag: str) -> dict:
    """Return the files of the OCI layout."""
    content = layer(program)
    packed = gzip.compress(content, compresslevel=6, mtime=EPOCH)
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {
            "User": f"{USER}:{USER}",
            "Env": ["PATH=/usr/bin", "SEATMETERD_DATA=/data", "SEATMETERD_LISTEN=0.0.0.0:48080"],
            "Entrypoint": ["/usr/bin/seatmeterd"],
            "Cmd": ["serve"],
            "ExposedPorts": {"48080/tcp": {}},
            "Volumes": {"/data": {}},
            "WorkingDir": "/",
            "StopSignal": "SIGTERM",
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(content)]},
    }
    blobs = {}

    def blob(kind: str, body: bytes) -> dict:
        blobs["blobs/sha256/" + digest(body)[7:]] = body
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(body), "size": len(body)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("config.v1+json", json.dumps(config).encode()),
        "layers": [blob("layer.v1.tar+gzip", packed)],
    }
    listed = blob("manifest.v1+json", json.dumps(manifest).encode())
    listed["annotations"] = {"org.opencontainers.image.ref.name": tag}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [listed]}
    blobs["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    blobs["index.json"] = json.dumps(index).encode()
    return blobs


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit("usage: image.py SEATMETERD ARCHIVE TAG")
    _, program, path, tag = sys.argv
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in sorted(image(program, tag).items()):
            add(archive, name, content)
    print(path)


if __name__ == "__main__":
    main()
