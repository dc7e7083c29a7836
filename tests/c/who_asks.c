/* who_asks DOMAIN CODE: presents this website domain, and expects this code from the license server. */
#include "common.h"

int main(int argc, char **argv) {
  char message[512], uuid[33], again[33];
  DM_DLSConnectionParameters parameters = demo_parameters();
  CHECK_INT(3, argc);
  CHECK_INT(0, SM_SetValidationField(0, argv[1]));
  CHECK_INT(0, SM_SetDeviceFriendlyName("till 7"));
  CHECK_INT(0, SM_GetDeviceUUID(uuid, sizeof uuid));
  CHECK_INT(atoi(argv[2]), InitLicenseFromDLS(&parameters, message, sizeof message));
  CHECK_INT(0, SM_GetDeviceUUID(again, sizeof again));
  CHECK_INT(0, strcmp(uuid, again));
  CHECK_INT(0, SM_Shutdown(5000));
  return 0;
}
