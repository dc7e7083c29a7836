#!/usr/bin/env bash
# Tries the library and the server on aarch64: test-aarch64.sh FOLDER. Builds them with the cross compilers of Debian, starts
# Debian's arm64 kernel in an emulated machine, and runs the tests there: scripts/test-aarch64-inside.sh. An emulation of
# programs alone would not do: it knows neither robust lists nor MADV_WIPEONFORK. FOLDER keeps systems and builds for the next
# time. Needs root, and an archive of Debian (MIRROR). KILLS: how many processes are
# killed in each of the two suites of kills. LIMIT: seconds for the machine.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
out=$(realpath "$1")
target=aarch64-unknown-linux-gnu
suite=trixie
limit=${LIMIT:-3600}
cargo_home=${CARGO_HOME:-$HOME/.cargo}
# A processor of servers, with the atomic instructions of Armv8.1. CPU=cortex-a72 has only the exclusive loads and stores.
cpu=${CPU:-neoverse-n1}

[ "$(id -u)" -eq 0 ] || { echo "test-aarch64 makes whole systems with debootstrap: run it as root" >&2; exit 1; }
scripts/tools.sh debootstrap=debootstrap qemu-system-aarch64=qemu-system-arm /usr/sbin/mke2fs=e2fsprogs /usr/sbin/depmod=kmod \
  cpio=cpio xz=xz-utils python3=python3

mirror=$(scripts/debian-archive.sh)
[ -n "$mirror" ] || { echo "apt names no archive of Debian here: set MIRROR to the address of one" >&2; exit 1; }

# A system for building: this machine's programs, with compilers for aarch64. Debian has the standard library of Rust for it.
make_build_system() {
  local root=$out/build
  [ -e "$out/build.made" ] && return
  echo "making a system with cross compilers" >&2
  rm -rf "$root"
  debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$out/build.log"
  printf 'deb %s %s main\n' "$mirror" "$suite" "$mirror" "$suite-backports" >"$root/etc/apt/sources.list"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  chroot "$root" sh -euc "export DEBIAN_FRONTEND=noninteractive
    dpkg --add-architecture arm64
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends -t $suite-backports cargo rustc libstd-rust-dev:arm64
    apt-get install -y -qq --no-install-recommends cmake g++ g++-aarch64-linux-gnu gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross make
    apt-get clean
    mkdir -p /cross /src /out /root/.cargo
    for tool in ar nm ld objcopy strip; do ln -sf \$(command -v aarch64-linux-gnu-\$tool) /cross/\$tool; done
    ln -sf \$(command -v aarch64-linux-gnu-gcc) /cross/cc
    ln -sf \$(command -v aarch64-linux-gnu-g++) /cross/c++" >>"$out/build.log" 2>&1 ||
    { tail -n 20 "$out/build.log" >&2; echo "the system with cross compilers cannot be made" >&2; exit 1; }
  touch "$out/build.made"
}

# Run a command of the building system, in the source folder.
in_build_system() {
  unshare --mount sh -euc "root='$out/build'
    mount --bind '$PWD' \"\$root/src\"
    mount -o remount,bind,ro \"\$root/src\"
    mount --bind '$out/out' \"\$root/out\"
    mount --bind '$cargo_home' \"\$root/root/.cargo\"
    mount -t proc proc \"\$root/proc\"
    exec chroot \"\$root\" env -i PATH=/usr/bin:/bin HOME=/root LC_ALL=C.UTF-8 CARGO_TARGET_DIR=/out \
      CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc sh -euc \"cd /src; \$1\"" sh "$1"
}

# The files of an arm64 system. Nothing of it is configured, because no program of it can run here; the tests need no more.
make_arm_system() {
  local root=$out/root
  [ -e "$out/root.made" ] && return
  echo "making a system for arm64" >&2
  rm -rf "$root"
  debootstrap --foreign --arch=arm64 --variant=minbase \
    --include=binutils,busybox-static,ca-certificates,g++,gcc,iproute2,kmod,locales,make,procps,util-linux-extra \
    "$suite" "$root" "$mirror" >"$out/root.log"
  for package in "$root"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
  rm -rf "$root/var/cache/apt/archives" "$root/debootstrap"
  cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
  cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
  echo '127.0.0.1 localhost' >"$root/etc/hosts"
  printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$root/etc/nsswitch.conf"
  mkdir -p "$root/etc/ssl/certs"
  cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
  ln -sf gcc "$root/usr/bin/cc"
  ln -sf g++ "$root/usr/bin/c++"
  ln -sf mawk "$root/usr/bin/awk"
  touch "$out/root.made"
}

# Debian's kernel for arm64, and a first file system from which it can mount the disk.
make_kernel() {
  [ -e "$out/kernel.made" ] && return
  echo "fetching Debian's kernel for arm64" >&2
  local folder=$out/kernel package version disk=$out/kernel/disk module
  rm -rf "$folder" "$out/build/tmp/kernel"
  mkdir -p "$folder" "$disk/bin" "$disk/modules" "$out/build/tmp/kernel"
  package=$(chroot "$out/build" apt-cache depends linux-image-arm64:arm64 | sed -n 's/^ *Depends: \(linux-image-[^: ]*\).*/\1/p')
  chroot "$out/build" sh -euc "cd /tmp/kernel; apt-get -o APT::Sandbox::User=root download -qq $package:arm64"
  dpkg-deb -x "$out/build/tmp/kernel"/*.deb "$folder"
  rm -rf "$out/build/tmp/kernel"
  version=${package#linux-image-}
  [ -d "$folder/lib" ] || ln -s usr/lib "$folder/lib"
  /usr/sbin/depmod -b "$folder" "$version"
  /usr/sbin/modprobe -d "$folder" -S "$version" -a --show-depends virtio_blk ext4 | sed 's/^insmod \([^ ]*\).*/\1/' >"$folder/needed"
  # The order of the names is the order in which they are loaded.
  for module in $(cat "$folder/needed"); do
    local number
    number=$(printf '%03d' "$(find "$disk/modules" -type f | wc -l)")
    xz -dc "$module" >"$disk/modules/$number.ko"
  done
  cp "$out/root/usr/bin/busybox" "$disk/bin/busybox"
  mkdir -p "$disk/proc" "$disk/dev" "$disk/root"
  cat >"$disk/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*.ko; do /bin/busybox insmod "$module" 2>/dev/null; done
for try in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/vda ] && break; /bin/busybox sleep 1; done
/bin/busybox mount -t ext4 /dev/vda /root
/bin/busybox umount /dev
exec /bin/busybox switch_root /root /bin/bash /src/scripts/test-aarch64-inside.sh
INIT
  chmod 755 "$disk/init"
  (cd "$disk" && find . | cpio --quiet -o -H newc | gzip -1) >"$folder/initrd"
  cp "$folder/boot/vmlinuz-$version" "$folder/vmlinuz"
  # The modules that a test may ask for.
  mkdir -p "$out/root/usr/lib/modules"
  rm -rf "$out/root/usr/lib/modules"/*
  cp -a "$folder/usr/lib/modules/$version" "$out/root/usr/lib/modules/"
  (cd "$out/root/usr/lib/modules/$version/kernel" && rm -rf sound net/wireless net/bluetooth drivers/[!b]*)
  touch "$out/kernel.made"
}

# Library, server, tests and examples for aarch64.
build() {
  local started=$SECONDS
  echo "building for aarch64: many minutes, the first time" >&2
  cargo fetch --quiet --locked --target "$target" --target x86_64-unknown-linux-gnu
  mkdir -p "$out/out"
  # Both commands build with the features that the tests need, so that nothing is built twice.
  in_build_system "selected='--quiet --workspace --offline --locked --target $target --lib --test c_api --test host --test seats
      --test usage'
    cargo build \$selected --bin seatmeterd
    cargo test \$selected --no-run --message-format json >/out/artifacts.json
    PATH=/cross:\$PATH
    scripts/static.sh /out/$target/debug/libseatmeter_static.a /out/$target/debug/libseatmeter.so /out/libseatmeter.a
    rm -rf /out/examples
    scripts/examples.sh /out/$target/debug /out/examples
    cc -std=c99 -Iinclude c_examples/own_decoder.c -o /out/examples/own_decoder_static /out/libseatmeter.a -lstdc++ -lm" >&2
  echo "built for aarch64 in $((SECONDS - started)) s" >&2
}

# A disk with the arm64 system, the sources that tests read, and what was built.
make_disk() {
  local root=$out/root built=$out/out/$target/debug
  rm -rf "$root/src" "$root/out"
  mkdir -p "$root/src" "$root/out/tests" "$root/out/$target/debug"
  tar --exclude=./target --exclude=./.git -cf - . | tar -C "$root/src" -xf -
  python3 - "$out/out/artifacts.json" <<'PYTHON' | while read -r name path; do
import json, sys
for line in open(sys.argv[1]):
    made = json.loads(line)
    if made.get("reason") == "compiler-artifact" and made.get("executable") and made["profile"]["test"]:
        kind, name = made["target"]["kind"], made["target"]["name"]
        print(name if "test" in kind else f"unit-{name}", made["executable"])
PYTHON
    cp "$out/out/${path#/out/}" "$root/out/tests/$name"
  done
  cp "$built/deps/libseatmeter.so" "$root/out/tests/"
  cp "$built/seatmeterd" "$built/libseatmeter.so" "$root/out/$target/debug/"
  cp -a "$out/out/examples" "$root/out/"
  printf 'KILLS=%q\n' "${KILLS:-}" >"$root/out/settings"
  rm -f "$out/disk"
  /usr/sbin/mke2fs -q -t ext4 -d "$root" "$out/disk" 6G
}

# Run the machine. What it says is in the log; the lines of the suites are shown as they come.
run() {
  local started=$SECONDS
  echo "starting a machine of aarch64 ($cpu) with $(basename "$out"/kernel/boot/vmlinuz-*), for at most $limit s" >&2
  timeout --kill-after=10 "$limit" qemu-system-aarch64 -M virt -accel tcg,thread=multi -cpu "$cpu" -smp 2 -m 4G -nographic -no-reboot -nic none \
    -kernel "$out/kernel/vmlinuz" -initrd "$out/kernel/initrd" -append "console=ttyAMA0 quiet panic=-1" \
    -drive "if=none,id=disk,format=raw,cache=unsafe,file=$out/disk" -device virtio-blk-pci,drive=disk </dev/null 2>&1 |
    sed -u 's/\r//' | tee "$out/machine.log" | grep --line-buffered -a '^aarch64: ' || true
  rm -f "$out/disk"
  if ! grep -qa '^aarch64: all passed' "$out/machine.log"; then
    echo "test-aarch64: failed after $((SECONDS - started)) s; what the machine said is in $out/machine.log" >&2
    exit 1
  fi
  echo "library and server work on aarch64: $((SECONDS - started)) s in the machine" >&2
}

make_build_system
make_arm_system
make_kernel
build
make_disk
run
