/*
 * No call changes what belongs to the whole process: locale, environment, working directory, umask, rounding, memory.
 * Prints texts that must be the same in every locale.
 *
 *   host_surroundings LOCALE FILE
 *   host_surroundings memory          only that memory does not grow
 */
#include <fenv.h>
#include <locale.h>
#include <sys/stat.h>

#include "dbr/DynamsoftBarcodeReader.h"
#include "host.h"

extern char **environ;

#define VARIABLES_MAX 64

static void read_a_picture(const char *file, int tell) {
  TextResultArray *results = NULL;
  char *settings = NULL;
  int i;
  void *dbr = DBR_CreateInstance();
  CHECK_INT(0, DBR_DecodeFile(dbr, file, ""));
  CHECK_INT(0, DBR_GetAllTextResults(dbr, &results));
  for (i = 0; tell && i < results->resultsCount; i++) {
    printf("%s: %s\n", results->results[i]->barcodeFormatString, results->results[i]->barcodeText);
  }
  DBR_FreeTextResults(&results);
  CHECK_INT(0, DBR_OutputSettingsToStringPtr(dbr, &settings, "host"));
  if (tell) printf("%s\n", settings);
  CHECK_INT(0, DBR_InitRuntimeSettingsWithString(dbr, settings, CM_OVERWRITE, NULL, 0));
  DBR_FreeSettingsString(&settings);
  DBR_DestroyInstance(dbr);
}

static void use(const char *file, int tell) {
  SM_Reader *reader;
  char message[512];
  get_licensed();
  CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
  CHECK_INT(0, count_one(reader));
  CHECK_INT(SM_ERR_PARAMETER_VALUE_INVALID, SM_CountPages(9, 1));
  read_a_picture(file, tell);
  CHECK_INT(0, SM_Sync(20000, message, sizeof message));
  CHECK_INT(0, strlen(message));
  SM_DestroyReader(reader);
  CHECK_INT(0, SM_Shutdown(20000));
  if (tell) printf("%s\n", SM_GetErrorString(SM_ERR_NO_LICENSE));
}

static long resident_kib(void) {
  char line[200];
  long kib = 0;
  FILE *file = fopen("/proc/self/status", "r");
  CHECK(file != NULL);
  while (fgets(line, sizeof line, file)) sscanf(line, "VmRSS: %ld", &kib);
  fclose(file);
  CHECK(kib > 0);
  return kib;
}

/* Readers that come and go, and many shutdowns, need no more memory than the first ones. */
static void live_long(void) {
  long before = 0, after;
  int round, i;
  for (round = 0; round < 60; round++) {
    SM_Reader *reader;
    get_licensed();
    for (i = 0; i < 2000; i++) {
      CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
      CHECK_INT(0, count_one(reader));
      SM_DestroyReader(reader);
    }
    CHECK_INT(0, SM_Shutdown(20000));
    if (round == 19) before = resident_kib();
  }
  after = resident_kib();
  if (after > before + 4096) fprintf(stderr, "%ld KiB have become %ld\n", before, after);
  CHECK(after <= before + 4096);
}

int main(int argc, char **argv) {
  char *variables[VARIABLES_MAX], *texts[VARIABLES_MAX];
  char directory[1000], directory_after[1000];
  const char *locale;
  char **environment = environ;
  int n = 0, i;
  mode_t mask;
  alarm(4 * HANG_SECONDS);
  if (argc == 2) {
    live_long();
    return 0;
  }
  CHECK(argc == 3);
  locale = setlocale(LC_ALL, argv[1]);
  if (!locale) {
    printf("no such locale\n");
    return 0;
  }
  locale = strdup(setlocale(LC_ALL, NULL));
  for (; environ[n]; n++) {
    CHECK(n < VARIABLES_MAX);
    variables[n] = environ[n];
    texts[n] = strdup(environ[n]);
  }
  CHECK(getcwd(directory, sizeof directory) != NULL);
  umask(0);
  CHECK_INT(0, fesetround(FE_DOWNWARD));

  use(argv[2], 1);

  CHECK_INT(FE_DOWNWARD, fegetround());
  CHECK_INT(0, fesetround(FE_TONEAREST));
  mask = umask(022);
  CHECK_INT(0, mask);
  CHECK(getcwd(directory_after, sizeof directory_after) != NULL);
  CHECK(strcmp(directory, directory_after) == 0);
  CHECK(environ == environment);
  for (i = 0; i < n; i++) CHECK(environ[i] == variables[i] && strcmp(environ[i], texts[i]) == 0);
  CHECK(environ[n] == NULL);
  CHECK(strcmp(locale, setlocale(LC_ALL, NULL)) == 0);
  /* A host may change its directory. */
  CHECK_INT(0, chdir("/"));
  use(argv[2], 0);
  return 0;
}
