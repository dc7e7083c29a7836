/* Bad input of every kind, without a server: each call returns its code and a sentence, and nothing crashes. */
#include "common.h"

static void null_everywhere(void) {
  CHECK_INT(-10002, InitDLSConnectionParameters(NULL));
  CHECK_INT(-10002, InitLicenseFromDLS(NULL, NULL, 0));
  CHECK_INT(-10002, SM_CreateReader(NULL, NULL, 0));
  CHECK_INT(-10002, SM_SetStateDirectory(NULL));
  CHECK_INT(-10002, SM_SetValidationField(0, NULL));
  CHECK_INT(-10038, SM_SetValidationField(2, "bash"));
  CHECK_INT(-10038, SM_SetValidationField(-1, "x"));
  CHECK_INT(0, SM_SetValidationField(0, "shop.example"));
  CHECK_INT(0, SM_SetValidationField(1, "app"));
  CHECK_INT(-10002, SM_SetDeviceFriendlyName(NULL));
  CHECK_INT(0, SM_SetDeviceFriendlyName("till 7"));
  CHECK_INT(-10002, SM_SetCaFile(NULL));
  CHECK_INT(-10038, SM_SetCaFile(""));
  CHECK_INT(-10002, SM_GetDeviceUUID(NULL, 33));
  CHECK_INT(-10002, SM_CountImage(NULL, NULL, 0, NULL));
  size_t counted = 99;
  CHECK_INT(-10002, SM_CountImage(NULL, NULL, 5, &counted));
  CHECK_INT(0, counted);
  SM_DestroyReader(NULL);
}

static void buffers_of_every_length(void) {
  char buffer[64];
  int length;
  DM_DLSConnectionParameters parameters = demo_parameters();
  parameters.handshakeCode = NULL;
  for (length = -1; length < 40; length++) {
    memset(buffer, '#', sizeof buffer);
    CHECK_INT(-20123, InitLicenseFromDLS(&parameters, buffer, length));
    if (length > 0) CHECK_INT(length - 1, strlen(buffer));
    CHECK(buffer[length > 0 ? length : 0] == '#');
  }
  CHECK_INT(-20123, InitLicenseFromDLS(&parameters, NULL, 100));
}

static void parameters_out_of_range(void) {
  char message[512];
  DM_DLSConnectionParameters parameters = demo_parameters();
  parameters.maxConcurrentInstanceCount = 0;
  CHECK_INT(-20008, InitLicenseFromDLS(&parameters, message, sizeof message));
  CHECK_CONTAINS(message, "maxConcurrentInstanceCount");
  parameters = demo_parameters();
  parameters.chargeWay = 77;
  CHECK_INT(-10038, InitLicenseFromDLS(&parameters, message, sizeof message));
  CHECK_CONTAINS(message, "chargeWay 77");
  parameters = demo_parameters();
  parameters.mainServerURL = "ftp://license.example";
  CHECK_INT(-10038, InitLicenseFromDLS(&parameters, message, sizeof message));
  CHECK_CONTAINS(message, "ftp://license.example");
}

static void a_count_of_modules_without_their_list(void) {
  char message[512];
  DM_DLSConnectionParameters parameters = demo_parameters();
  parameters.mainServerURL = "http://127.0.0.1:1";
  parameters.limitedLicenseModulesCount = 3;
  CHECK_INT(-10002, InitLicenseFromDLS(&parameters, message, sizeof message));
  CHECK_CONTAINS(message, "limitedLicenseModules is NULL, and limitedLicenseModulesCount is 3");
  /* A list without a count asks for all modules. */
  const int modules[] = {1};
  parameters.limitedLicenseModulesCount = 0;
  parameters.limitedLicenseModules = modules;
  CHECK_INT(-20200, InitLicenseFromDLS(&parameters, message, sizeof message));
}

static void no_server(void) {
  char message[512];
  SM_Reader *reader = (SM_Reader *)message;
  DM_DLSConnectionParameters parameters = demo_parameters();
  /* No program listens at port 1 of this machine. */
  parameters.mainServerURL = "http://127.0.0.1:1";
  parameters.standbyServerURL = "http://name.that.does.not.exist.invalid";
  CHECK_INT(-20200, InitLicenseFromDLS(&parameters, message, sizeof message));
  CHECK_CONTAINS(message, "http://127.0.0.1:1/v1/authorizations (connect)");
  CHECK_CONTAINS(message, "invalid/v1/authorizations (name lookup)");
  CHECK_INT(-1, GetIdleInstancesCount());
  CHECK_INT(-20200, SM_CreateReader(&reader, message, sizeof message));
  CHECK(reader == NULL);
  CHECK_INT(0, SM_Shutdown(-1));
}

static void state_directory(const char *program) {
  char message[1024];
  char path[1024];
  DM_DLSConnectionParameters parameters = demo_parameters();
  CHECK_INT(-10038, SM_SetStateDirectory(""));
  /* A file is in the place of a directory: this is refused for root as well. */
  snprintf(path, sizeof path, "%s/state", program);
  CHECK_INT(0, SM_SetStateDirectory(path));
  CHECK_INT(-20002, InitLicenseFromDLS(&parameters, message, sizeof message));
  CHECK_CONTAINS(message, path);
  CHECK_CONTAINS(message, "SEATMETER_STATE_DIR");
}

int main(int argc, char **argv) {
  (void)argc;
  CHECK_INT(-1, GetIdleInstancesCount());
  SM_Reader *reader = NULL;
  CHECK_INT(-20000, SM_CreateReader(&reader, NULL, 0));
  CHECK_CONTAINS(SM_GetErrorString(-20000), "InitLicenseFromDLS");
  CHECK_CONTAINS(SM_GetErrorString(12345), "Unknown");
  CHECK_CONTAINS(SM_GetVersion(), ".");
  null_everywhere();
  buffers_of_every_length();
  parameters_out_of_range();
  a_count_of_modules_without_their_list();
  no_server();
  state_directory(argv[0]);
  return 0;
}
