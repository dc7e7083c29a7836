/* A program that may have more rights than its user. It prints the result of InitLicenseFromDLS
 * without a state directory of its own and without a server, and then with both.
 *
 *   privileged SERVER STATE-DIRECTORY
 */
#include "common.h"

static void init(char *server) {
  char message[1024];
  DM_DLSConnectionParameters parameters = demo_parameters();
  int code;
  parameters.mainServerURL = server;
  code = InitLicenseFromDLS(&parameters, message, sizeof message);
  printf("%d %s\n", code, message);
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  init(argv[1]);
  init("");
  SM_Shutdown(20000);
  CHECK_INT(0, SM_SetStateDirectory(argv[2]));
  init(argv[1]);
  CHECK_INT(0, SM_Shutdown(20000));
  return 0;
}
