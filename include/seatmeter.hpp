/*
 * seatmeter for C++17: seatmeter.h with owners and exceptions, and nothing that C cannot do.
 *
 * Header only. Objects move and do not copy. What fails throws seatmeter::Error; what cannot fail is noexcept.
 */
#ifndef SEATMETER_HPP
#define SEATMETER_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "seatmeter.h"

namespace seatmeter {

namespace detail {
/** The words of this header for those of C, which messages of the library use. */
struct Word {
  std::string_view in_c;
  std::string_view in_cpp;
};
constexpr Word kWords[] = {
    {"mainServerURL", "main_server"},
    {"standbyServerURL", "standby_server"},
    {"handshakeCode", "handshake_code"},
    {"sessionPassword", "session_password"},
    {"deploymentType", "deployment_type"},
    {"chargeWay", "charge_way"},
    {"maxBufferDays", "max_buffer_days"},
    {"maxConcurrentInstanceCount", "seats"},
    {"organizationID", "organization_id"},
    {"InitDLSConnectionParameters", "Parameters"},
    {"InitLicenseFromDLS", "initialize()"},
    {"GetIdleInstancesCount", "idle_count()"},
    {"SM_SetStateDirectory", "set_state_directory()"},
    {"SM_SetValidationField", "set_validation_field()"},
    {"SM_SetDeviceFriendlyName", "set_device_friendly_name()"},
    {"SM_SetCaFile", "set_ca_file()"},
    {"SM_GetDeviceUUID", "device_uuid()"},
    {"SM_SetLogCallback", "set_log()"},
    {"SM_CreateReaderWithin", "Reader::within()"},
    {"SM_CreateReader", "Reader()"},
    {"SM_DestroyReader", "~Reader()"},
    {"SM_CountImage", "Reader::count_image()"},
    {"SM_CountFrame", "Reader::count_frame()"},
    {"SM_CountScans", "Reader::count_scans()"},
    {"SM_SetDuplicateForgetTime", "Reader::set_duplicate_forget_time()"},
    {"SM_CountPages", "count_pages()"},
    {"SM_ListHolders", "holders()"},
    {"SM_GetStatus", "status()"},
    {"SM_Sync", "sync()"},
    {"SM_Shutdown", "shutdown()"},
    {"SM_GetErrorString", "Error"},
    {"SM_GetVersion", "version()"},
};

/** Return the message with the names that this header has for those of the C API. */
inline std::string in_cpp(std::string message) {
  const auto is_of_name = [&message](std::size_t at) {
    if (at >= message.size()) return false;
    const char c = message[at];
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
  };
  for (const Word &word : kWords) {
    std::size_t at = 0;
    while ((at = message.find(word.in_c, at)) != std::string::npos) {
      std::size_t end = at + word.in_c.size();
      if ((at > 0 && is_of_name(at - 1)) || is_of_name(end)) {
        at = end;
        continue;
      }
      if (message.compare(end, 2, "()") == 0) end += 2;
      message.replace(at, end - at, word.in_cpp);
      at += word.in_cpp.size();
    }
  }
  return message;
}
}  // namespace detail

/** A barcode that the library has read. */
struct Decoded {
  /** The name of its symbology, such as "QR_CODE". */
  std::string format;
  /** Its content as text, UTF-8. */
  std::string text;
  /** Its content as it is. */
  std::string bytes;
};

/** An error of the library: its number, and a sentence that says what to do. */
class Error : public std::runtime_error {
 public:
  Error(int code, const std::string &message, std::vector<Decoded> results = {})
      : std::runtime_error(detail::in_cpp(message.empty() ? SM_GetErrorString(code) : message)),
        code_(code),
        results_(std::make_shared<const std::vector<Decoded>>(std::move(results))) {}

  /** The negative number, such as SM_ERR_INSTANCE_COUNT_OVER_LIMIT. */
  int code() const noexcept { return code_; }

  /**
   * Return the barcodes that decode_file() found before it failed. They are counted. With an error
   * of the license their text is masked with *, and they are not counted. For an error of any other
   * function the vector is empty.
   */
  const std::vector<Decoded> &results() const noexcept { return *results_; }

 private:
  int code_;
  /** Shared, because copies of an exception must not throw. */
  std::shared_ptr<const std::vector<Decoded>> results_;
};

/** There is no license (yet): call initialize(). */
class NoLicense : public Error {
  using Error::Error;
};

/** All seats of this device are in use, or more were asked for than there are. */
class AllSeatsTaken : public Error {
  using Error::Error;
};

/** The license server has refused, or what was bought is used up or has expired. */
class Refused : public Error {
  using Error::Error;
};

/** No license server can be reached, and this device has no license that is good without one. */
class ServerUnreachable : public Error {
  using Error::Error;
};

namespace detail {
/** Bytes of a message buffer: longer messages are cut. */
constexpr int kMessageBytes = 1024;

/** Throw what a number of the library means, with the results that came with it. */
[[noreturn]] inline void fail(int code, const std::string &message, std::vector<Decoded> results = {}) {
  if (code == SM_ERR_NO_LICENSE) throw NoLicense(code, message, std::move(results));
  if (code == SM_ERR_INSTANCE_COUNT_OVER_LIMIT) throw AllSeatsTaken(code, message, std::move(results));
  if (code == SM_ERR_FAILED_TO_REACH_SERVER) throw ServerUnreachable(code, message, std::move(results));
  if (code <= SM_ERR_STANDBY_NOT_READY && code > SM_ERR_FAILED_TO_REACH_SERVER) {
    throw Refused(code, message, std::move(results));
  }
  throw Error(code, message, std::move(results));
}

inline void check(int code, const char *message = "") {
  if (code != DBR_OK) fail(code, message);
}

/** Ranges of seatmeter.h, for the messages about values that the library refuses. */
constexpr std::uint64_t kBarcodesMax = 1048576;
constexpr std::uint64_t kCountMax = 4294967295;
constexpr int kForgetMsMax = 600000;
constexpr std::size_t kPathBytesMax = 4095;
constexpr std::size_t kSettingBytesMax = 512;

/** Throw an Error that names value and range, if the library has refused the value. */
template <typename Number>
void check_range(int code, const char *name, Number value, Number least, Number most) {
  if (code != SM_ERR_PARAMETER_VALUE_INVALID || (value >= least && value <= most)) return;
  throw Error(code, std::string(name) + " is " + std::to_string(value) + "; it must be from " +
                        std::to_string(least) + " to " + std::to_string(most));
}

/** A text for C, which would read it to its first NUL only. */
inline const char *text(const char *name, const std::string &value) {
  if (value.find('\0') != std::string::npos) {
    throw Error(SM_ERR_PARAMETER_VALUE_INVALID, std::string(name) + " must not contain a NUL");
  }
  return value.c_str();
}
}  // namespace detail

/** How to reach the license server, and what to ask it for. Defaults are set. */
struct Parameters {
  std::string main_server;
  std::string standby_server;
  std::string handshake_code;
  std::string session_password;
  std::string organization_id;
  /** 1 server, 2 desktop, 6 embedded, 7 OEM, 9 mobile. */
  int deployment_type = 2;
  /** 0: the server chooses; 10: concurrent instances. */
  int charge_way = 0;
  /** Days for which to work without contact. */
  int max_buffer_days = 7;
  /** Seats to ask for, 1 to 65536. */
  int seats = 1;
};

/** Choose where this device's state is kept, before initialize(). */
inline void set_state_directory(const std::string &path) {
  const int code = SM_SetStateDirectory(detail::text("path", path));
  detail::check_range<std::size_t>(code, "the length of path in bytes", path.size(), 1, detail::kPathBytesMax);
  detail::check(code);
}

/** A fact about the application that a handshake code may ask for. */
enum class ValidationField { website_domain = 0, application_id = 1 };

/** Tell the server a fact about this application, before initialize(). An empty text takes it back. */
inline void set_validation_field(ValidationField field, const std::string &value) {
  const int number = static_cast<int>(field);
  const int code = SM_SetValidationField(number, detail::text("value", value));
  detail::check_range(code, "field", number, 0, 1);
  detail::check_range<std::size_t>(code, "the length of value in bytes", value.size(), 0, detail::kSettingBytesMax);
  detail::check(code);
}

/** Give this device a name by which people know it on the server, before initialize(). */
inline void set_device_friendly_name(const std::string &name) {
  const int code = SM_SetDeviceFriendlyName(detail::text("name", name));
  detail::check_range<std::size_t>(code, "the length of name in bytes", name.size(), 0, detail::kSettingBytesMax);
  detail::check(code);
}

/** Trust the certificates in this PEM file, besides the system's, before the first initialize(). */
inline void set_ca_file(const std::string &path) {
  const int code = SM_SetCaFile(detail::text("path", path));
  detail::check_range<std::size_t>(code, "the length of path in bytes", path.size(), 1, detail::kPathBytesMax);
  detail::check(code);
}

/** Return the client UUID by which the server knows this device: 32 hexadecimal digits. */
inline std::string device_uuid() {
  char out[33];
  detail::check(SM_GetDeviceUUID(out, sizeof out));
  return out;
}

/** Return the version of the library. */
inline std::string version() { return SM_GetVersion(); }

/** Get this process licensed. Blocks up to 10 s when there is no stored license. */
inline void initialize(const Parameters &parameters) {
  DM_DLSConnectionParameters raw;
  detail::check(InitDLSConnectionParameters(&raw));
  raw.mainServerURL = const_cast<char *>(detail::text("main_server", parameters.main_server));
  raw.standbyServerURL = const_cast<char *>(detail::text("standby_server", parameters.standby_server));
  raw.handshakeCode = const_cast<char *>(detail::text("handshake_code", parameters.handshake_code));
  raw.sessionPassword = const_cast<char *>(detail::text("session_password", parameters.session_password));
  raw.organizationID = const_cast<char *>(detail::text("organization_id", parameters.organization_id));
  raw.deploymentType = static_cast<decltype(raw.deploymentType)>(parameters.deployment_type);
  raw.chargeWay = static_cast<decltype(raw.chargeWay)>(parameters.charge_way);
  raw.maxBufferDays = parameters.max_buffer_days;
  raw.maxConcurrentInstanceCount = parameters.seats;
  char message[detail::kMessageBytes];
  detail::check(InitLicenseFromDLS(&raw, message, detail::kMessageBytes), message);
}

/** How this process stands with its license. */
inline SM_Status status() {
  SM_Status now{};
  now.size = sizeof now;
  detail::check(SM_GetStatus(&now));
  return now;
}

/** Report and renew now, within the bound. */
inline void sync(int timeout_ms) {
  char message[detail::kMessageBytes];
  detail::check(SM_Sync(timeout_ms, message, sizeof message), message);
}

/**
 * Hear what the library does, with level 1 error, 2 warning, 3 info. An empty function ends it. Called by any thread;
 * what it throws is dropped. Set it by one thread at a time.
 */
inline void set_log(std::function<void(int level, std::string_view line)> hear) {
  using Hear = std::function<void(int, std::string_view)>;
  // Never destroyed: at the end of the process the library's thread, or the destructor of a global object that calls
  // shutdown(), may still have something to say.
  static std::unique_ptr<Hear> &current = *new std::unique_ptr<Hear>;
  auto next = hear ? std::make_unique<Hear>(std::move(hear)) : nullptr;
  const auto call = [](void *user, int level, const char *line) {
    try {
      (*static_cast<Hear *>(user))(level, line);
    } catch (...) {
    }
  };
  detail::check(SM_SetLogCallback(next ? static_cast<SM_LogCallback>(call) : nullptr, next.get()));
  current = std::move(next);
}

/** Free seats of this device; -1 when the license has to be refreshed; INT_MAX without a seat limit. */
inline int idle_count() noexcept { return GetIdleInstancesCount(); }

/** Return the processes that hold seats of this device, those of other programs among them. */
inline std::vector<SM_Holder> holders() {
  // A process may take its first seat between two calls; most of the time the first call has room for all.
  std::vector<SM_Holder> all(64);
  for (;;) {
    std::size_t count = 0;
    detail::check(SM_ListHolders(all.data(), all.size(), &count));
    const bool had_room = count <= all.size();
    all.resize(had_room ? count : count * 2);
    if (had_room) return all;
  }
}

/** Report the rest and give everything back, within the bound. */
inline void shutdown(int timeout_ms) { detail::check(SM_Shutdown(timeout_ms)); }

/** Count pages of a module, SM_PAGE_CORE or one of the others. */
inline void count_pages(int module, std::uint64_t n = 1) {
  const int code = SM_CountPages(module, n);
  if (code == DBR_OK) return;
  detail::check_range<int>(code, "module", module, SM_PAGE_CORE, SM_PAGE_OCR);
  detail::check_range<std::uint64_t>(code, "n", n, 0, detail::kCountMax);
  detail::fail(code, "");
}

/** A barcode that a decoder of yours has read. */
struct Barcode {
  int format;
  std::string_view bytes;
};

/** A reader: holds a seat while it lives. */
class Reader {
 public:
  Reader() : reader_(create()) {}

  /** Waits for a seat, for so many milliseconds at most. */
  static Reader within(int timeout_ms) {
    SM_Reader *reader = nullptr;
    char message[detail::kMessageBytes];
    detail::check(SM_CreateReaderWithin(&reader, timeout_ms, message, sizeof message), message);
    return Reader(reader);
  }

  /** Count the barcodes of one still image; returns the number of different ones. */
  std::size_t count_image(const std::vector<Barcode> &barcodes) { return count(SM_CountImage, barcodes); }

  /** Count the barcodes of one frame of a video; returns how many counted now. */
  std::size_t count_frame(const std::vector<Barcode> &barcodes) { return count(SM_CountFrame, barcodes); }

  /** Count so many scans of one symbology, which the caller has made unique. */
  void count_scans(int format, std::uint64_t n) {
    const int code = SM_CountScans(reader_.get(), format, n);
    if (code == DBR_OK) return;
    detail::check_range<std::uint64_t>(code, "n", n, 0, detail::kCountMax);
    detail::fail(code, "");
  }

  /** Set for how long a counted barcode of a frame sequence does not count again: 0 to 600000 milliseconds. */
  void set_duplicate_forget_time(int ms) {
    const int code = SM_SetDuplicateForgetTime(reader_.get(), ms);
    detail::check_range(code, "ms", ms, 0, detail::kForgetMsMax);
    detail::check(code);
  }

  /** The reader of the C API; it stays owned by this object. */
  SM_Reader *get() const noexcept { return reader_.get(); }

 private:
  explicit Reader(SM_Reader *reader) : reader_(reader) {}

  std::size_t count(decltype(&SM_CountImage) function, const std::vector<Barcode> &barcodes) {
    std::vector<SM_Barcode> raw;
    raw.reserve(barcodes.size());
    for (const Barcode &barcode : barcodes) {
      raw.push_back({barcode.format, reinterpret_cast<const unsigned char *>(barcode.bytes.data()),
                     barcode.bytes.size()});
    }
    std::size_t counted = 0;
    const int code = function(reader_.get(), raw.data(), raw.size(), &counted);
    if (code == DBR_OK) return counted;
    detail::check_range<std::uint64_t>(code, "the number of barcodes", raw.size(), 0, detail::kBarcodesMax);
    detail::fail(code, "");
  }

  struct Destroy {
    void operator()(SM_Reader *reader) const noexcept { SM_DestroyReader(reader); }
  };

  static SM_Reader *create() {
    SM_Reader *reader = nullptr;
    char message[detail::kMessageBytes];
    detail::check(SM_CreateReader(&reader, message, sizeof message), message);
    return reader;
  }

  std::unique_ptr<SM_Reader, Destroy> reader_;
};

}  // namespace seatmeter

#endif
