/*
 * seatmeter for C++17: the decoder that is built into the library, for programs that have none of their own.
 *
 * Header only, over dbr/DynamsoftBarcodeReader.h, whose class has everything that can be set.
 */
#ifndef SEATMETER_DECODER_HPP
#define SEATMETER_DECODER_HPP

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dbr/DynamsoftBarcodeReader.h"
#include "seatmeter.hpp"

namespace seatmeter {

/**
 * Read the barcodes of an image file, and count them. Takes a seat meanwhile.
 *
 * A file may give barcodes and an error, for example a PNG that is cut in its middle. The barcodes are
 * counted, and the Error has them as its results().
 */
inline std::vector<Decoded> decode_file(const std::string &path) {
  struct Free {
    void operator()(TextResultArray *array) const noexcept { DBR_FreeTextResults(&array); }
  };
  struct Destroy {
    void operator()(void *instance) const noexcept { DBR_DestroyInstance(instance); }
  };
  const std::unique_ptr<void, Destroy> instance(DBR_CreateInstance());
  const int code = DBR_DecodeFile(instance.get(), detail::text("path", path), "");
  // Also after an error: what was found before it is counted.
  TextResultArray *raw = nullptr;
  detail::check(DBR_GetAllTextResults(instance.get(), &raw));
  const std::unique_ptr<TextResultArray, Free> array(raw);
  std::vector<Decoded> found;
  for (int i = 0; i < array->resultsCount; i++) {
    const TextResult &one = *array->results[i];
    const auto *bytes = reinterpret_cast<const char *>(one.barcodeBytes);
    const auto length = static_cast<std::size_t>(one.barcodeBytesLength);
    // One of the two names is empty.
    const char *format = *one.barcodeFormatString != '\0' ? one.barcodeFormatString : one.barcodeFormatString_2;
    found.push_back({format, one.barcodeText, std::string(bytes, bytes + length)});
  }
  if (code != DBR_OK) detail::fail(code, "", std::move(found));
  return found;
}

}  // namespace seatmeter

#endif
