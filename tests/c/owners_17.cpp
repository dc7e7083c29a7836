// seatmeter.hpp: owners give back what they hold, errors are exceptions with a number.
#include "seatmeter.hpp"

#include <utility>

#include "check.h"

int main() {
  static_assert(!std::is_copy_constructible_v<seatmeter::Reader>);
  static_assert(std::is_nothrow_move_constructible_v<seatmeter::Reader>);

  try {
    seatmeter::Reader reader;
    CHECK(!"a reader without a license");
  } catch (const seatmeter::Error &error) {
    CHECK_INT(SM_ERR_NO_LICENSE, error.code());
  }

  seatmeter::Parameters parameters;
  parameters.handshake_code = "DEMO-4-SEATS";
  parameters.deployment_type = 1;
  parameters.charge_way = 10;
  parameters.seats = 4;
  int lines = 0;
  seatmeter::set_log([&lines](int, std::string_view line) { lines += line == "licensed"; });
  seatmeter::initialize(parameters);
  CHECK_INT(1, lines);
  seatmeter::set_log({});
  CHECK_INT(4, seatmeter::idle_count());
  seatmeter::sync(10000);
  CHECK_INT(SM_LICENSE_GOOD, seatmeter::status().state);
  {
    seatmeter::Reader first;
    seatmeter::Reader moved = std::move(first);
    CHECK_INT(3, seatmeter::idle_count());
    CHECK_INT(2, moved.count_image({{1, "A"}, {1, "B"}, {1, "A"}}));
    std::vector<seatmeter::Reader> more(3);
    CHECK_INT(0, seatmeter::idle_count());
    try {
      seatmeter::Reader fifth;
      CHECK(!"five readers on four seats");
    } catch (const seatmeter::Error &error) {
      CHECK_INT(SM_ERR_INSTANCE_COUNT_OVER_LIMIT, error.code());
      CHECK_CONTAINS(error.what(), "all 4 seats");
    }
  }
  CHECK_INT(4, seatmeter::idle_count());
  seatmeter::shutdown(10000);
  return 0;
}
