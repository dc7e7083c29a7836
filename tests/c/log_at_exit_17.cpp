// seatmeter.hpp: a log function hears the library to the very end, also the destructors of global objects.
#include "seatmeter.hpp"

#include "check.h"

namespace {

int lines = 0;

/** Made before main, and so destroyed after what main has made static. */
struct Goodbye {
  ~Goodbye() {
    const int before = lines;
    seatmeter::shutdown(10000);
    CHECK(lines > before);
  }
};

const Goodbye goodbye;

}  // namespace

int main() {
  // More than a function object keeps within itself.
  const std::string expected[] = {"nothing", "of", "this"};
  seatmeter::set_log([expected](int, std::string_view line) {
    for (const std::string &text : expected) CHECK(line != text);
    lines++;
  });
  seatmeter::Parameters parameters;
  parameters.handshake_code = "DEMO-4-SEATS";
  parameters.deployment_type = 1;
  parameters.charge_way = 10;
  parameters.seats = 4;
  seatmeter::initialize(parameters);
  seatmeter::count_pages(SM_PAGE_CORE);
  return 0;
}
