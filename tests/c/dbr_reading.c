/* Reading pictures through the DBR API in C: argv[1] is the folder of pictures. */
#include "DynamsoftBarcodeReader.h"
#include "common.h"

static char folder[1024];

static int decode(void *reader, const char *name) {
  char path[2048];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return DBR_DecodeFile(reader, path, "");
}

static TextResultArray *results_of(void *reader, int expected_count) {
  int i;
  TextResultArray *results = NULL;
  CHECK_INT(0, DBR_GetAllTextResults(reader, &results));
  CHECK(results != NULL);
  CHECK_INT(expected_count, results->resultsCount);
  for (i = 0; i < results->resultsCount; i++) {
    const TextResult *result = results->results[i];
    CHECK(result->barcodeText && result->barcodeFormatString && result->barcodeFormatString_2);
    CHECK(result->barcodeBytes && result->localizationResult && result->localizationResult->regionName);
  }
  return results;
}

static void without_a_license(void) {
  void *reader = DBR_CreateInstance();
  TextResultArray *results;
  CHECK(reader != NULL);
  CHECK_INT(-20000, decode(reader, "one_qr.png"));
  results = results_of(reader, 1);
  CHECK_INT(0, strcmp(results->results[0]->barcodeText, "**********************"));
  CHECK_CONTAINS(results->results[0]->exception, "InitLicenseFromDLS");
  DBR_FreeTextResults(&results);
  CHECK(results == NULL);
  DBR_DestroyInstance(reader);
}

static void under_a_license(void) {
  void *reader = DBR_CreateInstance();
  TextResultArray *results, *kept;
  CHECK_INT(3, DBR_GetIdleInstancesCount());

  results = results_of(reader, 0);
  DBR_FreeTextResults(&results);

  CHECK_INT(0, decode(reader, "one_qr.jpg"));
  kept = results_of(reader, 1);
  CHECK_INT(0, strcmp(kept->results[0]->barcodeText, "seatmeter: one QR code"));
  CHECK_INT(BF_QR_CODE, kept->results[0]->barcodeFormat);
  CHECK(kept->results[0]->exception == NULL);
  CHECK(kept->results[0]->localizationResult->x2 > kept->results[0]->localizationResult->x1);

  CHECK_INT(0, decode(reader, "same_qr_twice.png"));
  results = results_of(reader, 2);
  DBR_FreeTextResults(&results);
  CHECK_INT(0, decode(reader, "no_barcode.png"));
  results = results_of(reader, 0);
  DBR_FreeTextResults(&results);

  /* Results belong to the caller, and outlive the reader. */
  DBR_DestroyInstance(reader);
  CHECK_INT(0, strcmp(kept->results[0]->barcodeText, "seatmeter: one QR code"));
  DBR_FreeTextResults(&kept);
  DBR_FreeTextResults(&kept);
  DBR_FreeTextResults(NULL);
}

static void bad_pictures(const char *program) {
  void *reader = DBR_CreateInstance();
  TextResultArray *results = (TextResultArray *)folder;
  char path[2048];
  FILE *torn, *whole;
  char bytes[300];
  CHECK_INT(-10005, decode(reader, "no_such_file.png"));
  CHECK_INT(-10005, DBR_DecodeFile(reader, "/", ""));
  CHECK_INT(-10006, DBR_DecodeFile(reader, program, NULL));
  CHECK_INT(-10002, DBR_DecodeFile(reader, NULL, NULL));
  CHECK_INT(-10002, DBR_DecodeFile(NULL, program, NULL));
  CHECK_INT(-10002, DBR_GetAllTextResults(reader, NULL));
  CHECK_INT(-10002, DBR_GetAllTextResults(NULL, &results));
  CHECK(results == NULL);

  snprintf(path, sizeof path, "%s/one_qr.png", folder);
  whole = fopen(path, "rb");
  CHECK(whole && fread(bytes, 1, sizeof bytes, whole) == sizeof bytes);
  fclose(whole);
  torn = fopen("torn.png", "wb");
  CHECK(torn && fwrite(bytes, 1, sizeof bytes, torn) == sizeof bytes);
  fclose(torn);
  CHECK_INT(-10012, DBR_DecodeFile(reader, "torn.png", ""));
  results = results_of(reader, 0);
  DBR_FreeTextResults(&results);
  DBR_DestroyInstance(reader);
}

static void without_a_seat(void) {
  void *readers[5];
  int i;
  TextResultArray *results;
  for (i = 0; i < 5; i++) readers[i] = DBR_CreateInstance();
  CHECK_INT(0, DBR_GetIdleInstancesCount());
  CHECK_INT(-20008, decode(readers[4], "one_qr.png"));
  results = results_of(readers[4], 1);
  CHECK(results->results[0]->barcodeText[0] == '*');
  CHECK(results->results[0]->exception != NULL);
  DBR_FreeTextResults(&results);
  /* The reader works as soon as a seat is free. */
  DBR_DestroyInstance(readers[0]);
  CHECK_INT(0, decode(readers[4], "one_qr.png"));
  for (i = 1; i < 5; i++) DBR_DestroyInstance(readers[i]);
  CHECK_INT(4, DBR_GetIdleInstancesCount());
}

static void by_the_instance_pool(void) {
  void *instances[4];
  int i;
  CHECK_INT(-10038, DBR_SetMaxConcurrentInstanceCount(0, 0, -1));
  CHECK_INT(0, DBR_SetMaxConcurrentInstanceCount(0, 3, 20));
  for (i = 0; i < 3; i++) CHECK((instances[i] = DBR_GetInstance()) != NULL);
  CHECK_INT(1, DBR_GetIdleInstancesCount());
  CHECK(DBR_GetInstance() == NULL);
  CHECK_INT(0, DBR_SetMaxConcurrentInstanceCount(0, 0, 20));
  CHECK((instances[3] = DBR_GetInstance()) != NULL);
  CHECK(DBR_GetInstance() == NULL);
  CHECK_INT(0, decode(instances[3], "no_barcode.png"));
  for (i = 0; i < 4; i++) DBR_RecycleInstance(instances[i]);
  DBR_RecycleInstance(NULL);
  CHECK_INT(4, DBR_GetIdleInstancesCount());
}

int main(int argc, char **argv) {
  CHECK_INT(2, argc);
  snprintf(folder, sizeof folder, "%s", argv[1]);
  without_a_license();
  get_licensed();
  under_a_license();
  bad_pictures(argv[0]);
  without_a_seat();
  by_the_instance_pool();
  CHECK_INT(0, SM_Shutdown(10000));
  return 0;
}
