/* The status of a program whose license is good and whose server is away: it works, and the status says why it may
 * end. */
#include "common.h"

int main(void) {
  char detail[512];
  SM_Status now;
  SM_Reader *reader = NULL;
  get_licensed();
  now.size = sizeof now;
  CHECK_INT(0, SM_GetStatus(&now));
  CHECK_INT(SM_LICENSE_GOOD, now.state);
  CHECK_INT(-20012, now.cacheCode);
  CHECK_INT(0, now.contactAt);

  CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
  CHECK_INT(0, SM_CountScans(reader, 1, 3));
  CHECK_INT(-20200, SM_Sync(10000, detail, sizeof detail));
  CHECK_CONTAINS(detail, "(connect)");
  CHECK_INT(0, SM_GetStatus(&now));
  CHECK_INT(SM_LICENSE_GOOD, now.state);
  CHECK_INT(-20012, now.cacheCode);
  CHECK_INT(-20200, now.lastErrorCode);
  CHECK_INT(3, now.lastErrorStage);
  CHECK_INT(0, strcmp(now.lastError, detail));
  CHECK(now.lastErrorAt > 1700000000);
  CHECK(now.oldestUnsentAt > 1700000000);
  SM_DestroyReader(reader);
  CHECK_INT(-20200, SM_Shutdown(1000));
  return 0;
}
