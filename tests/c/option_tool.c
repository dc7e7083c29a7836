/*
 * A process that a test controls, under any license option. It reads commands and answers each with a line.
 *
 *   init WAY DEPLOYMENT SEATS [SITE] · image N · decode FILE · pages MODULE N · idle · sync · status · shutdown
 *
 * "image" counts an image with N different barcodes; "status" prints state, refusal, usage, used, quota and grace.
 */
#include "common.h"
#include "dbr/DynamsoftBarcodeReader.h"

static SM_Reader *reader;

static int init(const char *arguments) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  char message[512], site[100] = "";
  int code;
  sscanf(arguments, "%d %d %d %99s", &parameters.chargeWay, &parameters.deploymentType,
         &parameters.maxConcurrentInstanceCount, site);
  if (site[0]) CHECK_INT(0, SM_SetValidationField(0, site));
  code = InitLicenseFromDLS(&parameters, message, sizeof message);
  if (code != 0) fprintf(stderr, "%s\n", message);
  if (code == 0 && !reader) CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));
  return code;
}

static int image(int n) {
  SM_Barcode barcodes[64];
  char texts[64][8];
  size_t counted = 0;
  int i, code;
  for (i = 0; i < n; i++) {
    int length = snprintf(texts[i], sizeof texts[i], "code%d", i);
    barcodes[i].format = 4;
    barcodes[i].bytes = (const unsigned char *)texts[i];
    barcodes[i].length = (size_t)length;
  }
  code = SM_CountImage(reader, barcodes, (size_t)n, &counted);
  CHECK_INT(code == 0 ? n : 0, counted);
  return code;
}

static int decode(const char *file) {
  void *dbr = DBR_CreateInstance();
  int code = DBR_DecodeFile(dbr, file, "");
  DBR_DestroyInstance(dbr);
  return code;
}

static void status(void) {
  SM_Status now;
  memset(&now, 0, sizeof now);
  now.size = sizeof now;
  CHECK_INT(0, SM_GetStatus(&now));
  printf("%d %d %d %lld %lld %lld\n", now.state, now.refusalCode, now.usage, (long long)now.used,
         (long long)now.quota, (long long)now.grace);
}

static void obey(char *line) {
  int module = 0, n = 0;
  line[strcspn(line, "\n")] = 0;
  if (strncmp(line, "init ", 5) == 0) {
    printf("%d\n", init(line + 5));
  } else if (sscanf(line, "image %d", &n) == 1) {
    printf("%d\n", image(n));
  } else if (strncmp(line, "decode ", 7) == 0) {
    printf("%d\n", decode(line + 7));
  } else if (sscanf(line, "pages %d %d", &module, &n) == 2) {
    printf("%d\n", SM_CountPages(module, (unsigned)n));
  } else if (strcmp(line, "idle") == 0) {
    printf("%d\n", GetIdleInstancesCount());
  } else if (strcmp(line, "sync") == 0) {
    printf("%d\n", SM_Sync(5000, NULL, 0));
  } else if (strcmp(line, "status") == 0) {
    status();
  } else if (strcmp(line, "shutdown") == 0) {
    SM_DestroyReader(reader);
    reader = NULL;
    printf("%d\n", SM_Shutdown(5000));
  } else {
    printf("what is %s\n", line);
  }
  fflush(stdout);
}

int main(void) {
  char line[300];
  while (fgets(line, sizeof line, stdin)) obey(line);
  return 0;
}
