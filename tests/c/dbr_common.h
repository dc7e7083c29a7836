/* What the programs for the DBR API share: no header of seatmeter's own, and the demo license by that API alone. */
#ifndef DBR_COMMON_H
#define DBR_COMMON_H

#include "check.h"
#include "DynamsoftBarcodeReader.h"
#include "DynamsoftCommon.h"

static inline void dbr_license(void) {
  static char code[] = "DEMO-4-SEATS";
  char message[256];
  DM_DLSConnectionParameters parameters;
  int result;
  CHECK_INT(DBR_OK, DBR_InitDLSConnectionParameters(&parameters));
  parameters.handshakeCode = code;
  parameters.deploymentType = DM_DT_SERVER;
  parameters.chargeWay = DM_CW_CONCURRENT_INSTANCE_COUNT;
  parameters.maxConcurrentInstanceCount = 4;
  result = DBR_InitLicenseFromDLS(&parameters, message, 256);
  if (result != DBR_OK) fprintf(stderr, "%s\n", message);
  CHECK_INT(DBR_OK, result);
}

/* A whole file in memory; the caller frees it. */
static inline unsigned char *dbr_file(const char *folder, const char *name, int *size) {
  char path[2048];
  FILE *file;
  unsigned char *bytes;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  file = fopen(path, "rb");
  CHECK(file != NULL);
  fseek(file, 0, SEEK_END);
  *size = (int)ftell(file);
  rewind(file);
  bytes = (unsigned char *)malloc((size_t)*size);
  CHECK(bytes != NULL && fread(bytes, 1, (size_t)*size, file) == (size_t)*size);
  fclose(file);
  return bytes;
}

/* A picture as gray pixels, from a PGM file. The caller frees it. */
static inline unsigned char *dbr_gray(const char *folder, const char *name, int *width, int *height) {
  int size, maximum, header;
  unsigned char *file = dbr_file(folder, name, &size), *pixels;
  CHECK_INT(3, sscanf((const char *)file, "P5 %d %d %d%n", width, height, &maximum, &header));
  pixels = (unsigned char *)malloc((size_t)(*width * *height));
  CHECK(pixels != NULL && size == header + 1 + *width * *height);
  memcpy(pixels, file + header + 1, (size_t)(*width * *height));
  free(file);
  return pixels;
}

/* The text of the only result of the last decode call is this. */
static inline void dbr_expect(void *reader, const char *text) {
  TextResultArray *results = NULL;
  CHECK_INT(DBR_OK, DBR_GetAllTextResults(reader, &results));
  CHECK(results != NULL);
  CHECK_INT(text == NULL ? 0 : 1, results->resultsCount);
  if (text != NULL) CHECK_INT(0, strcmp(text, results->results[0]->barcodeText));
  DBR_FreeTextResults(&results);
}

#endif
