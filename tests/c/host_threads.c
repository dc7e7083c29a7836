/*
 * 64 threads, and every function of seatmeter.h: first as "Threads: any" allows, then with threads that end the
 * library and start it again meanwhile. Prints the scans and the pages that were counted.
 *
 *   host_threads ROUNDS
 */
#include <limits.h>
#include <pthread.h>

#include "host.h"

#define THREADS 64

static int rounds;
static atomic_int may_shut_down;
static atomic_long scans, pages;
static pthread_mutex_t one_shuts_down = PTHREAD_MUTEX_INITIALIZER;

/* Returns whether the contract allows this failure while other threads end the library or hold all seats. */
static int is_known(int code) {
  if (code == 0 || code == SM_ERR_INSTANCE_COUNT_OVER_LIMIT) return 1;
  if (atomic_load(&may_shut_down) && (code == SM_ERR_NO_LICENSE || code == SM_ERR_FAILED_TO_REACH_SERVER)) return 1;
  fprintf(stderr, "the code is %d\n", code);
  return 0;
}

static void use_a_reader(int round) {
  SM_Reader *reader = NULL;
  SM_Barcode barcode;
  size_t n = 0;
  char message[512] = "";
  int code = round % 3 ? SM_CreateReader(&reader, message, sizeof message)
                       : SM_CreateReaderWithin(&reader, 20, message, sizeof message);
  if (!is_known(code)) fprintf(stderr, "%s\n", message);
  CHECK(is_known(code));
  CHECK((code == 0) == (reader != NULL));
  if (!reader) return;
  barcode.format = 4;
  barcode.bytes = (const unsigned char *)"threads";
  barcode.length = 7;
  code = count_one(reader);
  if (code == 0) atomic_fetch_add(&scans, 1);
  CHECK(is_known(code));
  code = SM_CountFrame(reader, &barcode, 1, &n);
  CHECK(is_known(code));
  atomic_fetch_add(&scans, (long)n);
  code = SM_CountScans(reader, 4, 2);
  if (code == 0) atomic_fetch_add(&scans, 2);
  CHECK(is_known(code));
  CHECK_INT(0, SM_SetDuplicateForgetTime(reader, round));
  SM_DestroyReader(reader);
}

static void ask(void) {
  SM_Holder holders[4];
  char uuid[64];
  size_t n;
  int code = SM_ListHolders(holders, 4, &n);
  CHECK(is_known(code));
  CHECK(GetIdleInstancesCount() >= -1);
  status_now();
  CHECK_INT(0, SM_GetDeviceUUID(uuid, sizeof uuid));
  CHECK(strlen(uuid) > 30);
  CHECK(strlen(SM_GetErrorString(-20008)) > 10 && strlen(SM_GetVersion()) > 2);
}

static void hear(void *user, int level, const char *line) {
  (void)level;
  atomic_fetch_add((atomic_long *)user, (long)strlen(line));
}

static void set(int round) {
  static atomic_long heard;
  int code = SM_SetLogCallback(round % 2 ? hear : NULL, &heard);
  CHECK(code == 0 || code == SM_ERR_LICENSE_INIT_SEQUENCE_FAILED);
  /* This is too late while the library is in use. */
  code = SM_SetDeviceFriendlyName("host");
  CHECK(code == 0 || code == SM_ERR_LICENSE_INIT_SEQUENCE_FAILED);
  code = SM_SetValidationField(0, "");
  CHECK(code == 0 || code == SM_ERR_LICENSE_INIT_SEQUENCE_FAILED);
  code = SM_SetCaFile("/nowhere");
  CHECK_INT(SM_ERR_LICENSE_INIT_SEQUENCE_FAILED, code);
}

static void license_again(void) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  char message[512];
  int code = InitLicenseFromDLS(&parameters, message, sizeof message);
  if (!is_known(code)) fprintf(stderr, "%s\n", message);
  CHECK(is_known(code));
}

static void end_and_begin(void) {
  pthread_mutex_lock(&one_shuts_down);
  (void)SM_Shutdown(500);
  pthread_mutex_unlock(&one_shuts_down);
  license_again();
}

static void *call_everything(void *number) {
  size_t n = (size_t)number;
  int round, code;
  for (round = 0; round < rounds; round++) {
    use_a_reader(round);
    switch (((size_t)round + n) % 8) {
      case 0: ask(); break;
      case 1: set(round); break;
      case 2: license_again(); break;
      case 3:
        if (round % 4 == 0) (void)SM_Sync(200, NULL, 0);
        break;
      case 4:
        code = SM_CountPages(SM_PAGE_CORE, 3);
        CHECK(is_known(code));
        if (code == 0) atomic_fetch_add(&pages, 3);
        break;
      case 5:
        if (atomic_load(&may_shut_down) && n % 16 == 0) end_and_begin();
        break;
      default: break;
    }
  }
  return NULL;
}

static void run_all(void) {
  pthread_t threads[THREADS];
  size_t i;
  for (i = 0; i < THREADS; i++) CHECK_INT(0, pthread_create(&threads[i], NULL, call_everything, (void *)i));
  for (i = 0; i < THREADS; i++) CHECK_INT(0, pthread_join(threads[i], NULL));
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  rounds = atoi(argv[1]);
  alarm(4 * HANG_SECONDS);
  get_licensed();
  run_all();
  CHECK_INT(4, GetIdleInstancesCount());
  atomic_store(&may_shut_down, 1);
  run_all();
  atomic_store(&may_shut_down, 0);
  get_licensed();
  CHECK_INT(4, GetIdleInstancesCount());
  CHECK_INT(0, SM_SetLogCallback(NULL, NULL));
  report_all();
  CHECK_INT(0, SM_Shutdown(20000));
  printf("%ld %ld\n", atomic_load(&scans), atomic_load(&pages));
  return 0;
}
