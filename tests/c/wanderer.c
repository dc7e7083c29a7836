/* A program that changes its directory. It is licensed before, afterwards, and after a shutdown there.
 *
 *   wanderer DIRECTORY
 */
#define _POSIX_C_SOURCE 200809L
#include <unistd.h>

#include "common.h"

static void use(void) {
  char message[1024];
  SM_Reader *reader;
  DM_DLSConnectionParameters parameters = demo_parameters();
  CHECK_INT(0, InitLicenseFromDLS(&parameters, message, sizeof message));
  CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
  CHECK_INT(0, SM_CountScans(reader, 1, 1));
  SM_DestroyReader(reader);
}

int main(int argc, char **argv) {
  char before[33], after[33];
  CHECK(argc == 2);
  use();
  CHECK_INT(0, SM_GetDeviceUUID(before, sizeof before));
  CHECK_INT(0, chdir(argv[1]));
  use();
  CHECK_INT(0, SM_Shutdown(20000));
  use();
  CHECK_INT(0, SM_GetDeviceUUID(after, sizeof after));
  CHECK(strcmp(before, after) == 0);
  return 0;
}
