/*
 * A program that reads commands, presents their words to get a license, and answers each with the code.
 *
 *   init WAY PASSWORD SITE APPLICATION · dbr WAY PASSWORD SITE APPLICATION · count N · pages MODULE N · sync MS · uuid · end
 *
 * "-" means that this word is not presented.
 */
#define _POSIX_C_SOURCE 200809L
#include "common.h"
#include "dbr/DynamsoftBarcodeReader.h"

static SM_Reader *reader;

static int init(const char *arguments, int through_dbr) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  char message[1024] = "";
  static char password[100], site[100], application[100];
  int code;
  CHECK_INT(4, sscanf(arguments, "%d %99s %99s %99s", &parameters.chargeWay, password, site, application));
  parameters.maxConcurrentInstanceCount = 1;
  if (strcmp(password, "-") != 0) parameters.sessionPassword = password;
  if (strcmp(site, "-") != 0) SM_SetValidationField(0, site);
  if (strcmp(application, "-") != 0) SM_SetValidationField(1, application);
  code = through_dbr ? DBR_InitLicenseFromLTS(&parameters, message, sizeof message)
                     : InitLicenseFromDLS(&parameters, message, sizeof message);
  return code;
}

static int count(unsigned long n) {
  int code = reader == NULL ? SM_CreateReader(&reader, NULL, 0) : 0;
  return code == 0 ? SM_CountScans(reader, 1, n) : code;
}

static void obey(char *line) {
  int module = 0, n = 0;
  char text[33] = "";
  line[strcspn(line, "\n")] = 0;
  if (strncmp(line, "init ", 5) == 0) {
    printf("%d\n", init(line + 5, 0));
  } else if (strncmp(line, "dbr ", 4) == 0) {
    printf("%d\n", init(line + 4, 1));
  } else if (sscanf(line, "count %d", &n) == 1) {
    printf("%d\n", count((unsigned long)n));
  } else if (sscanf(line, "pages %d %d", &module, &n) == 2) {
    printf("%d\n", SM_CountPages(module, (unsigned)n));
  } else if (sscanf(line, "sync %d", &n) == 1) {
    printf("%d\n", SM_Sync(n, NULL, 0));
  } else if (strcmp(line, "uuid") == 0) {
    CHECK_INT(0, SM_GetDeviceUUID(text, sizeof text));
    printf("%s\n", text);
  } else {
    printf("what is %s\n", line);
  }
  fflush(stdout);
}

int main(void) {
  char line[400];
  while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "end\n") != 0) obey(line);
  SM_DestroyReader(reader);
  printf("%d\n", SM_Shutdown(10000));
  return 0;
}
