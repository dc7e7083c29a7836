/* SM_GetStatus, SM_Sync and SM_SetLogCallback, with a server: their results before, during and after a license.
 *
 * Argument: the server's URL, which the status names. */
#include <stddef.h>

#include "common.h"

struct log {
  int lines;
  int licensed;
  int warnings;
};

static void hear(void *user, int level, const char *line) {
  struct log *log = user;
  log->lines++;
  log->licensed |= strcmp(line, "licensed") == 0;
  log->warnings += level <= 2;
}

static SM_Status status(void) {
  SM_Status now;
  memset(&now, 0x55, sizeof now);
  now.size = sizeof now;
  CHECK_INT(0, SM_GetStatus(&now));
  CHECK_INT(sizeof now, now.size);
  return now;
}

static void without_a_license(void) {
  char detail[64] = "x";
  SM_Status now = status();
  CHECK_INT(SM_LICENSE_NONE, now.state);
  CHECK_INT(0, now.chargeWay);
  CHECK_INT(0, now.cacheCode);
  CHECK_INT(-1, now.seatsIdle);
  CHECK_INT(0, now.lastErrorCode);
  CHECK_INT(0, strlen(now.server));
  CHECK_INT(-20000, SM_Sync(100, detail, sizeof detail));
  CHECK_CONTAINS(detail, "InitLicenseFromDLS");
}

static void bad_sizes(void) {
  struct {
    SM_Status known;
    char later[32];
  } big;
  SM_Status now;
  CHECK_INT(-10002, SM_GetStatus(NULL));
  memset(&now, 0x55, sizeof now);
  now.size = offsetof(SM_Status, rootKeysBuiltIn) - 1;
  CHECK_INT(-10038, SM_GetStatus(&now));
  CHECK_INT(0x55555555, now.state);
  /* A program that was compiled with the first version of the structure. */
  now.size = offsetof(SM_Status, rootKeysBuiltIn);
  CHECK_INT(0, SM_GetStatus(&now));
  CHECK_INT(offsetof(SM_Status, rootKeysBuiltIn), now.size);
  CHECK_INT(0, now.state);
  CHECK_INT(0x55555555, now.rootKeysBuiltIn);
  CHECK_INT(0x55, now.rootKeyIds[0]);
  memset(&big, 0x55, sizeof big);
  big.known.size = sizeof big;
  CHECK_INT(0, SM_GetStatus(&big.known));
  CHECK_INT(sizeof now, big.known.size);
  CHECK_INT(0x55, big.later[0]);
}

int main(int count, char **arguments) {
  struct log log = {0, 0, 0}, none = {0, 0, 0};
  char detail[256] = "x";
  SM_Reader *reader = NULL;
  SM_Status now;
  CHECK_INT(2, count);

  CHECK_INT(0, SM_SetLogCallback(hear, &log));
  without_a_license();
  bad_sizes();

  get_licensed();
  CHECK(log.licensed);
  now = status();
  CHECK_INT(SM_LICENSE_GOOD, now.state);
  CHECK_INT(10, now.chargeWay);
  CHECK_INT(4, now.seatsGranted);
  CHECK_INT(0, now.seatsHeld);
  CHECK_INT(4, now.seatsIdle);
  CHECK_INT(0, now.cacheCode);
  CHECK_INT(0, now.expiryCode);
  CHECK(now.validUntil > 1700000000 && now.validUntil <= now.graceEndsAt);
  CHECK_INT(now.graceEndsAt, now.expiresAt + 7 * 86400);
  CHECK(now.contactAt > 1700000000);
  CHECK_INT(0, strcmp(now.server, arguments[1]));
  CHECK_INT(0, now.lastErrorCode);

  CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
  CHECK_INT(0, SM_CountScans(reader, 1, 3));
  now = status();
  CHECK_INT(1, now.seatsHeld);
  CHECK_INT(3, now.seatsIdle);
  CHECK(now.oldestUnsentAt > 1700000000 && now.oldestUnsentAt % 180 == 0);

  CHECK_INT(0, SM_Sync(10000, detail, sizeof detail));
  CHECK_INT(0, strlen(detail));
  CHECK_INT(0, status().oldestUnsentAt);

  SM_DestroyReader(reader);
  CHECK_INT(0, log.warnings);
  CHECK_INT(0, SM_SetLogCallback(hear, &none));
  log.lines = 0;
  CHECK_INT(0, SM_CountPages(1, 1));
  CHECK_INT(0, SM_Sync(10000, NULL, 0));
  CHECK(none.lines > 0);
  CHECK_INT(0, log.lines);
  CHECK_INT(0, SM_SetLogCallback(NULL, NULL));
  CHECK_INT(0, SM_Shutdown(10000));
  CHECK_INT(SM_LICENSE_NONE, status().state);
  return 0;
}
