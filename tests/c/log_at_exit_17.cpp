// seatmeter.hpp: the library and a log function work to the very end, also in the destructors of global objects.
#include "seatmeter.hpp"

#include "check.h"

namespace {

int lines = 0;

void get_licensed(int charge_way) {
  seatmeter::Parameters parameters;
  parameters.handshake_code = "DEMO-4-SEATS";
  parameters.deployment_type = 1;
  parameters.charge_way = charge_way;
  parameters.seats = 4;
  seatmeter::initialize(parameters);
}

/** Constructed before main, and so destroyed after the static objects of main. */
struct Goodbye {
  ~Goodbye() {
    const int before = lines;
    seatmeter::shutdown(10000);
    CHECK(lines > before);
    // Another license needs the server. This thread asks it, and its own variables are destroyed.
    get_licensed(0);
    seatmeter::shutdown(10000);
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
  get_licensed(10);
  seatmeter::count_pages(SM_PAGE_CORE);
  return 0;
}
