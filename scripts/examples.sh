#!/usr/bin/env bash
# Compiles the examples as a customer would: examples.sh BUILT FOLDER. Puts the library under all names that a linker or a
# loader asks for, and the server, from the folder BUILT beside them.
set -euo pipefail
built=$(realpath "$1")
folder=$2
mkdir -p "$folder"
folder=$(realpath "$folder")
for name in libseatmeter.so libseatmeter.so.0 libDynamsoftBarcodeReader.so; do
  ln -sf "$built/libseatmeter.so" "$folder/$name"
done
ln -sf "$built/seatmeterd" "$folder/seatmeterd"
flags=(-O2 -Wall -Wextra -Wpedantic -Werror -Iinclude -Iinclude/dbr)
linked=(-L"$folder" "-Wl,-rpath,$folder")
echo "compiling the examples" >&2
for source in c_examples/*.c; do
  cc -std=c99 "${flags[@]}" "$source" -o "$folder/$(basename "$source" .c)" "${linked[@]}" -lseatmeter
done
for source in c_examples/*.cpp; do
  c++ -std=c++11 "${flags[@]}" "$source" -o "$folder/$(basename "$source" .cpp)" "${linked[@]}" -lDynamsoftBarcodeReader
done
