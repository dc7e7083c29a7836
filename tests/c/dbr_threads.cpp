// A command line tool with one reader in each thread, while other readers are created and destroyed.
// argv[1]: the folder of generated pictures.
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "dbr_common.h"

using namespace dynamsoft::dbr;

static const int THREADS = 3, PICTURES = 2;
static std::atomic<int> read_count(0);

static void work(const std::string &picture) {
  CBarcodeReader reader;
  for (int i = 0; i < PICTURES; i++) {
    CHECK_INT(DBR_OK, reader.DecodeFile(picture.c_str(), ""));
    TextResultArray *results = NULL;
    CHECK_INT(DBR_OK, reader.GetAllTextResults(&results));
    CHECK_INT(4, results->resultsCount);
    read_count += results->resultsCount;
    CBarcodeReader::FreeTextResults(&results);
    PublicRuntimeSettings settings;
    CHECK_INT(DBR_OK, reader.GetRuntimeSettings(&settings));
    CHECK_INT(DBR_OK, reader.UpdateRuntimeSettings(&settings));
  }
}

int main(int argc, char **argv) {
  CHECK_INT(2, argc);
  dbr_license();
  const std::string picture = std::string(argv[1]) + "/four.png";
  std::vector<std::thread> threads;
  for (int i = 0; i < THREADS; i++) threads.push_back(std::thread(work, picture));
  for (size_t i = 0; i < threads.size(); i++) threads[i].join();
  CHECK_INT(THREADS * PICTURES * 4, read_count);
  CHECK_INT(4, DBR_GetIdleInstancesCount());
  return 0;
}
