/* A program of a device that reads commands, one on each line: "init", "count N", "sync", "uuid", "status", "roots", "proxy URL", "move DIRECTORY", "end".
 * It answers each in one line: the result, and further facts. */
#define _POSIX_C_SOURCE 200809L
#include "common.h"

static void init(void) {
  char message[1024];
  DM_DLSConnectionParameters parameters = demo_parameters();
  parameters.maxConcurrentInstanceCount = 2;
  int code = InitLicenseFromDLS(&parameters, message, sizeof message);
  printf("%d %s\n", code, message);
}

static void count(SM_Reader **reader, unsigned long n) {
  int code = *reader == NULL ? SM_CreateReader(reader, NULL, 0) : 0;
  if (code == 0) code = SM_CountScans(*reader, 1, n);
  printf("%d\n", code);
}

static void uuid(void) {
  char text[33] = "";
  int code = SM_GetDeviceUUID(text, sizeof text);
  printf("%d %s\n", code, text);
}

static void sync_now(void) {
  char message[1024];
  int code = SM_Sync(20000, message, sizeof message);
  printf("%d %s\n", code, message);
}

static void status(void) {
  SM_Status now;
  now.size = sizeof now;
  CHECK_INT(0, SM_GetStatus(&now));
  printf("%d cache %d stage %d unsent %d %s\n", now.state, now.cacheCode, now.lastErrorStage,
         now.oldestUnsentAt != 0, now.lastError);
}

/* The root keys that are believed. */
static void roots(void) {
  SM_Status now;
  now.size = sizeof now;
  CHECK_INT(0, SM_GetStatus(&now));
  printf("%d %d %s\n", now.rootKeysBuiltIn, now.rootKeyIsOfFirstAnswer, now.rootKeyIds);
}

/* Continues in another state directory, as a test runner does. */
static void move_to(char *directory) {
  directory[strcspn(directory, "\n")] = '\0';
  CHECK_INT(0, SM_Shutdown(20000));
  CHECK_INT(0, SM_SetStateDirectory(directory));
  init();
}

/* Changes the environment as a host may do, whatever its threads do. */
static void name_proxy(char *url) {
  url[strcspn(url, "\n")] = '\0';
  printf("%d\n", setenv("HTTP_PROXY", url, 1));
}

int main(void) {
  char line[4096];
  SM_Reader *reader = NULL;
  while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "end\n") != 0) {
    if (strcmp(line, "init\n") == 0) init();
    else if (strncmp(line, "count ", 6) == 0) count(&reader, strtoul(line + 6, NULL, 10));
    else if (strcmp(line, "sync\n") == 0) sync_now();
    else if (strcmp(line, "uuid\n") == 0) uuid();
    else if (strcmp(line, "status\n") == 0) status();
    else if (strcmp(line, "roots\n") == 0) roots();
    else if (strncmp(line, "proxy ", 6) == 0) name_proxy(line + 6);
    else if (strncmp(line, "move ", 5) == 0) move_to(line + 5);
    fflush(stdout);
  }
  SM_DestroyReader(reader);
  printf("%d\n", SM_Shutdown(20000));
  return 0;
}
