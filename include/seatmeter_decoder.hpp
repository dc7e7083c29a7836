/*
 * seatmeter for C++17: the decoder that is built into the library, for programs that have none of their own.
 *
 * Header only, over dbr/DynamsoftBarcodeReader.h, whose class has everything that can be set.
 */
#ifndef SEATMETER_DECODER_HPP
#define SEATMETER_DECODER_HPP

#include <memory>
#include <string>
#include <vector>

#include "dbr/DynamsoftBarcodeReader.h"
#include "seatmeter.hpp"

namespace seatmeter {

/** A barcode that the library has read. */
struct Decoded {
  /** The name of its symbology, such as "QR_CODE". */
  std::string format;
  /** Its content as text, UTF-8. */
  std::string text;
  /** Its content as it is. */
  std::string bytes;
};

/** Read the barcodes of an image file, and count them. Takes a seat meanwhile. */
inline std::vector<Decoded> decode_file(const std::string &path) {
  struct Free {
    void operator()(TextResultArray *array) const noexcept { DBR_FreeTextResults(&array); }
  };
  struct Destroy {
    void operator()(void *instance) const noexcept { DBR_DestroyInstance(instance); }
  };
  const std::unique_ptr<void, Destroy> instance(DBR_CreateInstance());
  detail::check(DBR_DecodeFile(instance.get(), detail::text("path", path), ""));
  TextResultArray *raw = nullptr;
  detail::check(DBR_GetAllTextResults(instance.get(), &raw));
  const std::unique_ptr<TextResultArray, Free> array(raw);
  std::vector<Decoded> found;
  for (int i = 0; i < array->resultsCount; i++) {
    const TextResult &one = *array->results[i];
    const auto *bytes = reinterpret_cast<const char *>(one.barcodeBytes);
    const auto length = static_cast<std::size_t>(one.barcodeBytesLength);
    found.push_back({one.barcodeFormatString, one.barcodeText, std::string(bytes, bytes + length)});
  }
  return found;
}

}  // namespace seatmeter

#endif
