#!/usr/bin/env bash
# Installs what is built, or removes what was installed: install.sh install|uninstall. Builds nothing and downloads nothing, so
# that it can run as root on a machine without a compiler.
#
# The environment says where: BUILT (the folder with what is built), PREFIX, LIBDIR, SYSCONFDIR, and DESTDIR, which is put before
# them to lay a package together.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "$*" >&2
  exit 1
}

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
major=${version%%.*}
built=${BUILT:-target/release}
destination=${DESTDIR:-}
prefix=${PREFIX:-/usr/local}
prefix=${prefix%/}
library_folder=${LIBDIR:-$prefix/lib}
# As the file system's standard has it: /usr itself has its settings in /etc.
if [ "$prefix" = /usr ]; then settings=${SYSCONFDIR:-/etc}; else settings=${SYSCONFDIR:-$prefix/etc}; fi
for setting in "PREFIX=$prefix" "LIBDIR=$library_folder" "SYSCONFDIR=$settings"; do
  case ${setting#*=} in
    /*) ;;
    *) fail "$setting is not an absolute path: write the whole path, such as /opt/seatmeter." ;;
  esac
  # Neither pkg-config files nor units of systemd are made for such a path.
  case ${setting#*=} in
    *[[:space:]\"\'\\%\&\|\;\$]*) fail "$setting has a space or a special character: choose a path without." ;;
  esac
done

# Every file that was installed, one a line; a folder that was made ends with "/".
list=$prefix/share/seatmeter/installed-files
noted=$(mktemp)
made=$(mktemp -d)
trap 'rm -rf "$noted" "$made"' EXIT

folder() {
  case $1 in / | "") return ;; esac
  folder "$(dirname "$1")"
  if [ -d "$destination$1" ]; then
    # An earlier installation may have made it.
    if [ ! -f "$destination$list" ] || ! grep -qxF "$1/" "$destination$list"; then return; fi
  else
    mkdir -m 755 "$destination$1"
  fi
  echo "$1/" >>"$noted"
}

# put MODE FILE TARGET
put() {
  folder "$(dirname "$3")"
  # Under another name first, so that a program that runs the old file goes on with it.
  install -m "$1" "$2" "$destination$3.new"
  mv -f "$destination$3.new" "$destination$3"
  echo "$3" >>"$noted"
}

# link TARGET NAME
link() {
  folder "$(dirname "$2")"
  ln -sfn "$1" "$destination$2"
  echo "$2" >>"$noted"
}

# fill TEMPLATE TARGET
fill() {
  local shown=$library_folder
  # An installation that is moved as a whole goes on: pkg-config --define-prefix.
  case $library_folder in "$prefix"/*) shown="\${prefix}${library_folder#"$prefix"}" ;; esac
  sed -e "s|=@PREFIX@/|=\${prefix}/|" -e "s|@PREFIX@|$prefix|" -e "s|@LIBDIR@|$shown|" -e "s|@VERSION@|$version|" \
    -e "s|@MAJOR@|$major|" -e "s|@BINDIR@|$prefix/bin|" -e "s|@SYSCONFDIR@|$settings|" -e "s|@SONAME@|libseatmeter.so.$major|" \
    -e "s|@LIBRARY_FILE@|libseatmeter.so.$version|" \
    -e "s|@INCLUDE_FROM_LIB@|$(realpath -m --relative-to="$library_folder" "$prefix/include")|" "packaging/$1" >"$made/filled"
  put 644 "$made/filled" "$2"
}

require_built() {
  local file missing=()
  for file in libseatmeter.so libDynamsoftBarcodeReader.so libseatmeter.a seatmeterd seatmeter-doctor; do
    [ -f "$built/$file" ] || missing+=("$built/$file")
  done
  [ ${#missing[@]} -eq 0 ] || fail "not built yet: ${missing[*]}. Run \"make build\" first, as the user who builds."
}

install_library() {
  local header
  put 755 "$built/libseatmeter.so" "$library_folder/libseatmeter.so.$version"
  link "libseatmeter.so.$version" "$library_folder/libseatmeter.so.$major"
  link "libseatmeter.so.$major" "$library_folder/libseatmeter.so"
  put 755 "$built/libDynamsoftBarcodeReader.so" "$library_folder/libDynamsoftBarcodeReader.so"
  put 644 "$built/libseatmeter.a" "$library_folder/libseatmeter.a"
  for header in include/*.h include/*.hpp include/dbr/*.h include/dbr9/*.h; do put 644 "$header" "$prefix/$header"; done
  for file in seatmeter seatmeter-static DynamsoftBarcodeReader; do
    fill "$file.pc.in" "$library_folder/pkgconfig/$file.pc"
  done
  for file in seatmeter-config seatmeter-config-version; do
    fill "$file.cmake.in" "$library_folder/cmake/seatmeter/$file.cmake"
  done
}

install_programs() {
  local page program
  put 755 "$built/seatmeterd" "$prefix/bin/seatmeterd"
  put 755 "$built/seatmeter-doctor" "$prefix/bin/seatmeter-doctor"
  "$built/seatmeterd" man-pages "$made/man"
  for page in "$made"/man/*.1; do put 644 "$page" "$prefix/share/man/man1/$(basename "$page")"; done
  for program in seatmeterd seatmeter-doctor; do
    for shell in bash zsh fish; do "$built/seatmeterd" completions "$shell" --program "$program" >"$made/$shell"; done
    put 644 "$made/bash" "$prefix/share/bash-completion/completions/$program"
    put 644 "$made/zsh" "$prefix/share/zsh/site-functions/_$program"
    put 644 "$made/fish" "$prefix/share/fish/vendor_completions.d/$program.fish"
  done
}

install_service() {
  local sample=$prefix/share/doc/seatmeter/seatmeterd.toml file=$settings/seatmeterd/seatmeterd.toml
  fill seatmeterd.service.in "$prefix/lib/systemd/system/seatmeterd.service"
  put 644 packaging/seatmeterd.sysusers "$prefix/lib/sysusers.d/seatmeterd.conf"
  put 644 packaging/seatmeterd.tmpfiles "$prefix/lib/tmpfiles.d/seatmeterd.conf"
  "$built/seatmeterd" config sample | sed 's|^# data = .*|data = "/var/lib/seatmeterd"|' >"$made/sample"
  grep -q '^data = ' "$made/sample" || fail "the sample configuration has no key \"data\""
  # A file that the operator has changed stays. One that is still the earlier sample is replaced.
  if [ ! -e "$destination$file" ] || cmp -s "$destination$file" "$destination$sample"; then
    put 644 "$made/sample" "$file"
  else
    folder "$(dirname "$file")"
    cmp -s "$destination$file" "$made/sample" || echo "kept your $destination$file" >&2
    echo "$file" >>"$noted"
  fi
  put 644 "$made/sample" "$sample"
}

# Remove what is in a list of installed files, the last first.
remove() {
  local path sample=$prefix/share/doc/seatmeter/seatmeterd.toml file=$settings/seatmeterd/seatmeterd.toml
  # The configuration comes last in its turn, and is compared with the sample as long as that is there.
  while read -r path; do
    case $path in
      *..*) fail "$destination$list has the path $path, which no installation makes: remove the files by hand." ;;
      "$prefix"/* | "$library_folder"/* | "$settings"/*) ;;
      *) continue ;;
    esac
    if [ "$path" = "$file" ] && ! cmp -s "$destination$file" "$destination$sample"; then
      echo "kept $destination$file, which was changed: remove it by hand" >&2
    elif [ "${path%/}" != "$path" ]; then
      rmdir "$destination${path%/}" 2>/dev/null || true
    else
      rm -f "$destination$path"
    fi
  done
}

in_order_of_removal() {
  # The configuration first, folders after what is in them.
  local file=$settings/seatmeterd/seatmeterd.toml
  grep -xF "$file" "$1" || true
  grep -vxF "$file" "$1" | grep -v '/$' || true
  grep '/$' "$1" | sort -r || true
}

tell_where() {
  [ -z "$destination" ] || return 0
  local ldconfig
  ldconfig=$(PATH=$PATH:/usr/sbin:/sbin command -v ldconfig || true)
  # The loader finds a new library by its cache, if it looks into this folder at all.
  if [ -n "$ldconfig" ] && "$ldconfig" -vNX 2>/dev/null | grep -q "^$library_folder:"; then
    "$ldconfig" 2>/dev/null || echo "run ldconfig as root, so that programs find the library" >&2
  else
    echo "the loader does not look into $library_folder: link programs with -Wl,-rpath,$library_folder, or set LD_LIBRARY_PATH" >&2
  fi
}

case ${1:-} in
  install)
    require_built
    [ -z "$destination" ] || mkdir -p "$destination"
    install_library
    install_programs
    install_service
    folder "$(dirname "$list")"
    echo "$list" >>"$noted"
    sort -u "$noted" >"$made/list"
    if [ -f "$destination$list" ]; then
      # What an earlier version has installed, and this one has not.
      sort -u "$destination$list" | comm -23 - "$made/list" >"$made/outdated"
      in_order_of_removal "$made/outdated" | remove
    fi
    install -m 644 "$made/list" "$destination$list"
    echo "installed seatmeter $version into $destination$prefix" >&2
    tell_where
    ;;
  uninstall)
    [ -f "$destination$list" ] || fail "nothing is installed: there is no $destination$list. Name the PREFIX of the installation."
    in_order_of_removal "$destination$list" >"$made/list"
    remove <"$made/list"
    echo "removed seatmeter from $destination$prefix; the data of a server, /var/lib/seatmeterd, stays" >&2
    ;;
  *) fail "usage: install.sh install|uninstall" ;;
esac
