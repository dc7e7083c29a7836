// Plays a program of bindings/scenario.txt: reads commands from standard input, and answers each with a line.
#include <atomic>
#include <cstring>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <type_traits>

#include "seatmeter_decoder.hpp"

namespace {

std::vector<seatmeter::Reader> readers;
std::atomic<bool> has_heard{false};

void hear(int, std::string_view line) {
  if (line.find("licensed") != std::string_view::npos) has_heard = true;
}

std::string holders() {
  unsigned seats = 0;
  const std::vector<SM_Holder> all = seatmeter::holders();
  for (const SM_Holder &holder : all) seats += holder.seats;
  return std::to_string(all.size()) + " processes " + std::to_string(seats) + " seats";
}

/** Calls `use` with this number of different barcodes. */
template <typename Use>
std::string with_barcodes(int n, Use use) {
  std::vector<std::string> texts;
  for (int i = 0; i < n; i++) texts.push_back("code" + std::to_string(i));
  std::vector<seatmeter::Barcode> barcodes;
  for (const std::string &text : texts) barcodes.push_back({4, text});
  return std::to_string(use(barcodes));
}

seatmeter::Parameters demo_parameters() {
  seatmeter::Parameters parameters;
  parameters.deployment_type = 1;
  parameters.charge_way = 10;
  return parameters;
}

std::string init(std::istringstream &words) {
  seatmeter::Parameters parameters = demo_parameters();
  words >> parameters.main_server >> parameters.handshake_code >> parameters.seats;
  seatmeter::initialize(parameters);
  return "ok";
}

std::string nul(std::istringstream &words) {
  using namespace std::string_literals;
  seatmeter::Parameters parameters = demo_parameters();
  words >> parameters.main_server;
  parameters.handshake_code = "DEMO-4-SEATS\0-AND-MORE"s;
  parameters.seats = 4;
  try {
    seatmeter::initialize(parameters);
    return "a text";
  } catch (const seatmeter::Error &e) {
    return e.code() == SM_ERR_PARAMETER_VALUE_INVALID ? "no text" : e.what();
  }
}

/** Counts four times with a reader that was moved away and destroyed. */
std::string stale() {
  seatmeter::Reader reader = std::move(readers.back());
  readers.pop_back();
  { const seatmeter::Reader gone = std::move(reader); }
  int heard = 0;
  for (int i = 0; i < 4; i++) {
    try {
      reader.count_image({});
    } catch (const seatmeter::Error &e) {
      heard += e.code() == SM_ERR_NULL_POINTER;
    }
  }
  return std::to_string(heard) + " closed";
}

std::string bytes(const std::string &path) {
  const seatmeter::Decoded first = seatmeter::decode_file(path).at(0);
  std::ostringstream out;
  out << first.format << ' ' << std::hex << std::setfill('0');
  for (const char byte : first.bytes) out << std::setw(2) << static_cast<int>(static_cast<unsigned char>(byte));
  return out.str();
}

std::string obey(std::istringstream words) {
  std::string command, path;
  words >> command;
  if (command == "init") return init(words);
  if (command == "nul") return nul(words);
  if (command == "decode") return words >> path, std::to_string(seatmeter::decode_file(path).size());
  if (command == "bytes") return words >> path, bytes(path);
  if (command == "version") return seatmeter::version();
  if (command == "heard") return has_heard ? "yes" : "no";
  if (command == "uuid") return std::to_string(seatmeter::device_uuid().size()) + " digits";
  if (command == "holders") return holders();
  if (command == "copy") return std::is_copy_constructible_v<seatmeter::Reader> ? "a copy" : "no copy";
  if (command == "log") return seatmeter::set_log(hear), "ok";
  if (command == "friendly") return words >> path, seatmeter::set_device_friendly_name(path), "ok";
  if (command == "ca") return words >> path, seatmeter::set_ca_file(path), "ok";
  if (command == "field") {
    words >> path;
    seatmeter::set_validation_field(seatmeter::ValidationField::website_domain, path);
    return "ok";
  }
  int n = 0;
  words >> n;
  if (command == "idle") return std::to_string(seatmeter::idle_count());
  if (command == "stale") return stale();
  if (command == "image") return with_barcodes(n, [](const auto &all) { return readers.back().count_image(all); });
  if (command == "frame") return with_barcodes(n, [](const auto &all) { return readers.back().count_frame(all); });
  if (command == "status") {
    const SM_Status now = seatmeter::status();
    std::ostringstream out;
    out << now.state << ' ' << now.seatsGranted << ' ' << now.seatsHeld << ' ' << now.seatsIdle;
    return out.str();
  }
  if (command == "roots") {
    const SM_Status now = seatmeter::status();
    const char *whose = now.rootKeyIsOfFirstAnswer ? "of the first answer" : "of the vendor";
    std::ostringstream out;
    out << now.rootKeysBuiltIn << " built in, " << whose << ", " << std::strlen(now.rootKeyIds) << " digits";
    return out.str();
  }
  if (command == "create") {
    readers.emplace_back();
  } else if (command == "within") {
    readers.push_back(seatmeter::Reader::within(n));
  } else if (command == "destroy") {
    readers.pop_back();
  } else if (command == "forget") {
    readers.back().set_duplicate_forget_time(n);
  } else if (command == "scans") {
    readers.back().count_scans(4, static_cast<std::uint64_t>(n));
  } else if (command == "pages") {
    seatmeter::count_pages(SM_PAGE_CORE, static_cast<std::uint64_t>(n));
  } else if (command == "sync") {
    seatmeter::sync(20000);
  } else if (command == "shutdown") {
    seatmeter::shutdown(20000);
  } else {
    return "what is " + command;
  }
  return "ok";
}

std::string error(const seatmeter::Error &error, const char *kind) {
  const std::size_t found = error.results().size();
  return "error " + std::to_string(error.code()) + ' ' + kind +
         (found > 0 ? " with " + std::to_string(found) + " results" : "");
}

std::string answer(const std::string &line) {
  try {
    return obey(std::istringstream(line));
  } catch (const seatmeter::NoLicense &e) {
    return error(e, "unlicensed");
  } catch (const seatmeter::AllSeatsTaken &e) {
    return error(e, "taken");
  } catch (const seatmeter::Refused &e) {
    return error(e, "refused");
  } catch (const seatmeter::ServerUnreachable &e) {
    return error(e, "unreachable");
  } catch (const seatmeter::Error &e) {
    return error(e, "other");
  }
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) std::cout << answer(line) << std::endl;
}
