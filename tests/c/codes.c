/*
 * Provokes the codes that each function of seatmeter.h documents, and prints a line "FUNCTION CODE" for each call.
 *
 *   codes plain        without a server, nor a state directory at first
 *   codes seats        under the demo license
 *   codes asks         asks once, with the arguments DEPLOYMENT CHARGE_WAY
 *   codes counts       counts under a license that is used up or revoked while the program waits for a line
 */
#define _POSIX_C_SOURCE 200809L
#include <limits.h>
#include <unistd.h>

#include "common.h"
#include "dbr/DynamsoftBarcodeReader.h"

static int told(const char *function, int code) {
  printf("%s %d\n", function, code);
  fflush(stdout);
  return code;
}

#define CALL(function, arguments) told(#function, function arguments)

static const SM_Barcode ONE = {4, (const unsigned char *)"one", 3};

/* Everything that works under a license. */
static void work(SM_Reader *reader) {
  SM_Reader *other = NULL;
  size_t count = 0;
  CALL(SM_CreateReader, (&other, NULL, 0));
  SM_DestroyReader(other);
  CALL(SM_CreateReaderWithin, (&other, 10, NULL, 0));
  SM_DestroyReader(other);
  CALL(SM_ListHolders, (NULL, 0, &count));
  CALL(SM_CountPages, (SM_PAGE_CORE, 1));
  if (!reader) return;
  CALL(SM_CountImage, (reader, &ONE, 1, &count));
  CALL(SM_CountFrame, (reader, &ONE, 1, &count));
  CALL(SM_CountScans, (reader, 4, 1));
}

static void wrong_arguments(SM_Reader *reader) {
  SM_Barcode nothing = {4, NULL, 3};
  size_t count = 0;
  CALL(SM_CreateReader, (NULL, NULL, 0));
  CALL(SM_CreateReaderWithin, (NULL, 0, NULL, 0));
  CALL(SM_ListHolders, (NULL, 0, NULL));
  CALL(SM_ListHolders, (NULL, 1, &count));
  CALL(SM_CountImage, (NULL, &ONE, 1, &count));
  CALL(SM_CountFrame, (NULL, &ONE, 1, &count));
  CALL(SM_CountScans, (NULL, 4, 1));
  CALL(SM_CountPages, (9, 1));
  CALL(SM_SetDuplicateForgetTime, (NULL, 1));
  if (!reader) return;
  CALL(SM_CountImage, (reader, NULL, 1, &count));
  CALL(SM_CountImage, (reader, &nothing, 1, &count));
  CALL(SM_CountImage, (reader, &ONE, 1048577, &count));
  CALL(SM_CountFrame, (reader, &ONE, 1048577, &count));
  CALL(SM_CountScans, (reader, 4, 4294967296ULL));
  CALL(SM_CountPages, (SM_PAGE_CORE, 4294967296ULL));
  CALL(SM_SetDuplicateForgetTime, (reader, -1));
  CALL(SM_SetDuplicateForgetTime, (reader, 1));
}

static int initialize(const DM_DLSConnectionParameters *parameters) {
  char message[512];
  int code = CALL(InitLicenseFromDLS, (parameters, message, sizeof message));
  if (code != 0) fprintf(stderr, "%s\n", message);
  return code;
}

static void wrong_parameters(void) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  initialize(NULL);
  parameters.chargeWay = 7;
  initialize(&parameters);
  parameters = demo_parameters();
  parameters.handshakeCode = "a b";
  initialize(&parameters);
  parameters.handshakeCode = "";
  initialize(&parameters);
  parameters = demo_parameters();
  parameters.maxConcurrentInstanceCount = 0;
  initialize(&parameters);
}

static void settings(void) {
  char text[600];
  memset(text, 'x', sizeof text);
  text[sizeof text - 1] = 0;
  CALL(SM_SetStateDirectory, (NULL));
  CALL(SM_SetStateDirectory, (""));
  CALL(SM_SetValidationField, (SM_VALIDATION_APPLICATION_ID, NULL));
  CALL(SM_SetValidationField, (5, "x"));
  CALL(SM_SetValidationField, (SM_VALIDATION_WEBSITE_DOMAIN, text));
  CALL(SM_SetValidationField, (SM_VALIDATION_WEBSITE_DOMAIN, ""));
  CALL(SM_SetDeviceFriendlyName, (NULL));
  CALL(SM_SetDeviceFriendlyName, (text));
  CALL(SM_SetDeviceFriendlyName, ("till 7"));
  CALL(SM_SetCaFile, (NULL));
  CALL(SM_SetCaFile, (""));
  CALL(SM_SetCaFile, ("/no/such/ca.pem"));
}

/* A relative path in a directory that was removed. */
static void nowhere(void) {
  char home[PATH_MAX], path[PATH_MAX + 20];
  CHECK(getcwd(home, sizeof home) != NULL);
  snprintf(path, sizeof path, "%s/gone-XXXXXX", home);
  CHECK(mkdtemp(path) != NULL);
  CHECK_INT(0, chdir(path));
  CHECK_INT(0, rmdir(path));
  CALL(SM_SetStateDirectory, ("state"));
  CALL(SM_SetCaFile, ("ca.pem"));
  CHECK_INT(0, chdir(home));
}

static void plain(void) {
  DM_DLSConnectionParameters parameters;
  SM_Status status;
  char uuid[33];
  const char *state = getenv("SEATMETER_STATE_DIR");

  CALL(InitDLSConnectionParameters, (NULL));
  CALL(InitDLSConnectionParameters, (&parameters));
  wrong_arguments(NULL);
  work(NULL);
  CALL(SM_Sync, (0, NULL, 0));
  CALL(SM_GetStatus, (NULL));
  memset(&status, 0, sizeof status);
  CALL(SM_GetStatus, (&status));
  status.size = sizeof status;
  CALL(SM_GetStatus, (&status));
  settings();
  nowhere();
  wrong_parameters();

  /* No program can make a directory there. */
  CALL(SM_SetStateDirectory, ("/proc/none/state"));
  CALL(SM_GetDeviceUUID, (uuid, sizeof uuid));
  parameters = demo_parameters();
  initialize(&parameters);

  CALL(SM_SetStateDirectory, (state));
  CALL(SM_GetDeviceUUID, (NULL, sizeof uuid));
  CALL(SM_GetDeviceUUID, (uuid, 10));
  CALL(SM_GetDeviceUUID, (uuid, sizeof uuid));
  initialize(&parameters);
  work(NULL);
  CALL(SM_Sync, (100, NULL, 0));
  CALL(SM_Shutdown, (0));
}

/* A log callback that tries to remove itself, which is refused. */
static void listen(void *user, int level, const char *line) {
  (void)level;
  (void)line;
  if (!*(int *)user) told("SM_SetLogCallback", SM_SetLogCallback(NULL, NULL));
  *(int *)user = 1;
}

static void seats(void) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  SM_Reader *before = NULL, *all[4] = {NULL};
  int i, has_heard = 0;

  CALL(SM_SetLogCallback, (listen, &has_heard));
  initialize(&parameters);
  CALL(SM_SetLogCallback, (NULL, NULL));
  CHECK(has_heard);
  CALL(SM_SetStateDirectory, ("/tmp"));
  CALL(SM_SetValidationField, (SM_VALIDATION_APPLICATION_ID, "x"));
  CALL(SM_SetDeviceFriendlyName, ("x"));
  CALL(SM_SetCaFile, ("/tmp/ca.pem"));
  CALL(SM_CreateReader, (&before, NULL, 0));
  wrong_arguments(before);
  work(before);
  CALL(SM_Sync, (10000, NULL, 0));
  CALL(SM_Shutdown, (10000));

  /* An older reader holds no seat: without a license, and then with one whose seats are taken. */
  work(before);
  initialize(&parameters);
  for (i = 0; i < 4; i++) CHECK_INT(0, SM_CreateReader(&all[i], NULL, 0));
  work(before);
  for (i = 0; i < 4; i++) SM_DestroyReader(all[i]);
  parameters.maxConcurrentInstanceCount = 5;
  initialize(&parameters);
  CALL(SM_Shutdown, (10000));
  work(before);
  SM_DestroyReader(before);
}

static void asks(const char *deployment, const char *charge_way) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  parameters.deploymentType = atoi(deployment);
  parameters.chargeWay = atoi(charge_way);
  initialize(&parameters);
}

static void counts(void) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  SM_Reader *reader = NULL;
  char line[10];
  parameters.chargeWay = SM_CHARGE_AUTO;
  CHECK_INT(0, initialize(&parameters));
  CHECK_INT(0, CALL(SM_CreateReader, (&reader, NULL, 0)));
  work(reader);
  told("ready", 0);
  CHECK(fgets(line, sizeof line, stdin) != NULL);
  CALL(SM_Sync, (10000, NULL, 0));
  work(reader);
  SM_DestroyReader(reader);
  CALL(SM_Shutdown, (10000));
}

/* One table has the messages for both headers. */
static void sentences(void) {
  int code;
  for (code = -20300; code <= 1; code++) CHECK(strcmp(SM_GetErrorString(code), DBR_GetErrorString(code)) == 0);
}

int main(int argc, char **argv) {
  CHECK(argc > 1);
  sentences();
  if (strcmp(argv[1], "plain") == 0) plain();
  if (strcmp(argv[1], "seats") == 0) seats();
  if (strcmp(argv[1], "asks") == 0) asks(argv[2], argv[3]);
  if (strcmp(argv[1], "counts") == 0) counts();
  return 0;
}
