/*
 * The library has one fault at the place that SEATMETER_FAULT_AT names. The call returns an error, or is not affected,
 * and everything continues. The program prints whether the log has a line about the fault.
 */
#include "host.h"

static atomic_int heard;

static void hear(void *user, int level, const char *line) {
  (void)user;
  if (level == 1 && strstr(line, "a fault on purpose")) atomic_store(&heard, 1);
}

/* Returns whether all calls succeeded. */
static int live(void) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  SM_Reader *reader = NULL;
  char detail[512] = "";
  int codes[8], i, n = 0;
  codes[n++] = InitLicenseFromDLS(&parameters, NULL, 0);
  codes[n++] = SM_CreateReader(&reader, detail, sizeof detail);
  if (codes[1] == SM_ERR_UNKNOWN) CHECK_CONTAINS(detail, "a fault on purpose");
  if (reader) {
    codes[n++] = count_one(reader);
    codes[n++] = SM_CountScans(reader, 4, 1);
    codes[n++] = SM_CountPages(SM_PAGE_CORE, 1);
  }
  codes[n++] = SM_Sync(20000, NULL, 0);
  SM_DestroyReader(reader);
  codes[n++] = GetIdleInstancesCount() == 4 ? 0 : -1;
  codes[n++] = SM_Shutdown(20000);
  for (i = 0; i < n; i++) {
    if (codes[i] != 0) return 0;
  }
  return 1;
}

int main(void) {
  int round, in_a_row = 0;
  alarm(4 * HANG_SECONDS);
  CHECK_INT(0, SM_SetLogCallback(hear, NULL));
  for (round = 0; round < 30 && in_a_row < 2; round++) in_a_row = live() ? in_a_row + 1 : 0;
  CHECK_INT(2, in_a_row);
  printf("%d\n", atomic_load(&heard));
  return 0;
}
