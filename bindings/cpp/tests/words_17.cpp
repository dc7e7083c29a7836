// Checks that errors use the words of this header; prints the number of checked messages.
#include <iostream>

#include "seatmeter.hpp"

namespace {

int looked_at = 0;

void look(const std::string &message, const char *expected) {
  for (const char *of_c : {"SM_", "InitLicense", "GetIdle", "maxConcurrentInstanceCount", "ServerURL", "handshakeCode"}) {
    if (message.find(of_c) != std::string::npos) throw std::runtime_error(message);
  }
  if (message.find(expected) == std::string::npos) throw std::runtime_error(message + " lacks " + expected);
  looked_at++;
}

template <typename Call>
void look_at_error_of(Call call, const char *expected) {
  try {
    call();
  } catch (const seatmeter::Error &error) {
    return look(error.what(), expected);
  }
  throw std::runtime_error("no error");
}

void ask_for(int seats, const char *code) {
  seatmeter::Parameters parameters;
  parameters.handshake_code = code;
  parameters.deployment_type = 1;
  parameters.seats = seats;
  seatmeter::initialize(parameters);
}

}  // namespace

int main() {
  // A longer name that begins with a name of C is not that name.
  if (seatmeter::detail::in_cpp("chargeWays myInitLicenseFromDLS") != "chargeWays myInitLicenseFromDLS") return 1;
  look(seatmeter::detail::in_cpp("call InitLicenseFromDLS() or SM_CreateReaderWithin, then SM_Sync"), "Reader::within()");
  look_at_error_of([] { seatmeter::Reader reader; }, "initialize()");
  look_at_error_of([] { ask_for(1, ""); }, "handshake_code");
  look_at_error_of([] { ask_for(0, "DEMO-4-SEATS"); }, "seats");
  look_at_error_of([] { ask_for(5, "DEMO-4-SEATS"); }, "seats");
  const auto length = std::string(513, 'x');
  const auto domain = seatmeter::ValidationField::website_domain;
  look_at_error_of([&] { seatmeter::set_validation_field(domain, length); }, "value in bytes is 513; it must be from 0 to 512");
  look_at_error_of([&] { seatmeter::set_device_friendly_name(length); }, "name in bytes is 513; it must be from 0 to 512");
  look_at_error_of([] { seatmeter::set_ca_file(""); }, "path in bytes is 0; it must be from 1 to 4095");
  look_at_error_of([] { seatmeter::count_pages(7); }, "module is 7; it must be from 1 to 4");
  ask_for(1, "DEMO-4-SEATS");
  const auto many = std::uint64_t{1} << 32;
  look_at_error_of([=] { seatmeter::count_pages(1, many); }, "n is 4294967296; it must be from 0 to 4294967295");
  {
    seatmeter::Reader one;
    look_at_error_of([&] { one.set_duplicate_forget_time(-1); }, "ms is -1; it must be from 0 to 600000");
    look_at_error_of([&] { one.count_scans(4, many); }, "n is 4294967296; it must be from 0 to 4294967295");
    look_at_error_of([] { seatmeter::Reader two; }, "seats was 1, and the license has 4");
  }
  ask_for(4, "DEMO-4-SEATS");
  look_at_error_of([] { seatmeter::set_device_friendly_name("late"); }, "");
  seatmeter::shutdown(20000);
  std::cout << looked_at << std::endl;
}
