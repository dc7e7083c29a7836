// Errors use the words of this header; prints how many messages were looked at.
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
  // A longer name that begins with one of C's is not one of C's.
  if (seatmeter::detail::in_cpp("chargeWays myInitLicenseFromDLS") != "chargeWays myInitLicenseFromDLS") return 1;
  look(seatmeter::detail::in_cpp("call InitLicenseFromDLS() or SM_CreateReaderWithin, then SM_Sync"), "Reader::within()");
  look_at_error_of([] { seatmeter::Reader reader; }, "initialize()");
  look_at_error_of([] { ask_for(1, ""); }, "handshake_code");
  look_at_error_of([] { ask_for(0, "DEMO-4-SEATS"); }, "seats");
  look_at_error_of([] { ask_for(5, "DEMO-4-SEATS"); }, "seats");
  ask_for(1, "DEMO-4-SEATS");
  {
    seatmeter::Reader one;
    look_at_error_of([] { seatmeter::Reader two; }, "seats was 1, and the license has 4");
  }
  ask_for(4, "DEMO-4-SEATS");
  look_at_error_of([] { seatmeter::set_device_friendly_name("late"); }, "");
  seatmeter::shutdown(20000);
  std::cout << looked_at << std::endl;
}
