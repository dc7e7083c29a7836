#!/usr/bin/env bash
# Compiles the examples as a customer would: examples.sh LIBRARY FOLDER
set -euo pipefail
library=$(realpath "$1")
folder=$2
mkdir -p "$folder"
folder=$(realpath "$folder")
for name in libseatmeter.so libseatmeter.so.0 libDynamsoftBarcodeReader.so; do ln -sf "$library" "$folder/$name"; done
flags=(-O2 -Wall -Wextra -Wpedantic -Werror -Iinclude -Iinclude/dbr)
linked=(-L"$folder" "-Wl,-rpath,$folder")
for source in c_examples/*.c; do
  cc -std=c99 "${flags[@]}" "$source" -o "$folder/$(basename "$source" .c)" "${linked[@]}" -lseatmeter
done
for source in c_examples/*.cpp; do
  c++ -std=c++11 "${flags[@]}" "$source" -o "$folder/$(basename "$source" .cpp)" "${linked[@]}" -lDynamsoftBarcodeReader
done
