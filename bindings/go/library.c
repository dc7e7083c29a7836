#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "library.h"
/* This comes second, so that the structure that both declare is that of seatmeter.h. */
#include "dbr/DynamsoftBarcodeReader.h"

#define NEEDED(F)                                                                                              \
  F(InitDLSConnectionParameters) F(InitLicenseFromDLS) F(GetIdleInstancesCount) F(SM_SetStateDirectory)        \
  F(SM_SetValidationField) F(SM_SetDeviceFriendlyName) F(SM_SetCaFile) F(SM_GetDeviceUUID) F(SM_Shutdown)      \
  F(SM_CreateReader) F(SM_CreateReaderWithin) F(SM_DestroyReader) F(SM_ListHolders) F(SM_CountImage)           \
  F(SM_CountFrame) F(SM_CountScans) F(SM_CountPages) F(SM_SetDuplicateForgetTime) F(SM_GetStatus) F(SM_Sync)   \
  F(SM_SetLogCallback) F(SM_GetErrorString) F(SM_GetVersion)

/* A library that was built without the decoder lacks these. */
#define OF_DECODER(F)                                                                                          \
  F(DBR_CreateInstance) F(DBR_DestroyInstance) F(DBR_DecodeFile) F(DBR_GetAllTextResults) F(DBR_FreeTextResults)

#define FIELD(name) __typeof__(name) *name##_;
static struct { NEEDED(FIELD) OF_DECODER(FIELD) } library;

char *sm_load(const char *path) {
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) return strdup(dlerror());
#define FIND(name) library.name##_ = (__typeof__(name) *)dlsym(handle, #name);
#define IS_THERE(name) \
  if (library.name##_ == NULL) return strdup("it has no function " #name);
  NEEDED(FIND)
  OF_DECODER(FIND)
  NEEDED(IS_THERE)
  return NULL;
}

int sm_Defaults(sm_Parameters *parameters) {
  DM_DLSConnectionParameters raw;
  int code = library.InitDLSConnectionParameters_(&raw);
  parameters->numbers[0] = raw.deploymentType;
  parameters->numbers[1] = raw.chargeWay;
  parameters->numbers[2] = raw.maxBufferDays;
  parameters->numbers[3] = raw.maxConcurrentInstanceCount;
  return code;
}

int sm_Initialize(const sm_Parameters *parameters, char *message, int length) {
  DM_DLSConnectionParameters raw;
  int code = library.InitDLSConnectionParameters_(&raw);
  if (code != 0) return code;
  /* The library reads them and never writes. */
  raw.mainServerURL = (char *)parameters->texts[0];
  raw.standbyServerURL = (char *)parameters->texts[1];
  raw.handshakeCode = (char *)parameters->texts[2];
  raw.sessionPassword = (char *)parameters->texts[3];
  raw.organizationID = (char *)parameters->texts[4];
  raw.deploymentType = parameters->numbers[0];
  raw.chargeWay = parameters->numbers[1];
  raw.maxBufferDays = parameters->numbers[2];
  raw.maxConcurrentInstanceCount = parameters->numbers[3];
  return library.InitLicenseFromDLS_(&raw, message, length);
}

int sm_GetIdleInstancesCount(void) { return library.GetIdleInstancesCount_(); }
int sm_SetStateDirectory(const char *path) { return library.SM_SetStateDirectory_(path); }
int sm_SetValidationField(int field, const char *value) { return library.SM_SetValidationField_(field, value); }
int sm_SetDeviceFriendlyName(const char *name) { return library.SM_SetDeviceFriendlyName_(name); }
int sm_SetCaFile(const char *path) { return library.SM_SetCaFile_(path); }
int sm_GetDeviceUUID(char *out, size_t length) { return library.SM_GetDeviceUUID_(out, length); }
int sm_Shutdown(int milliseconds) { return library.SM_Shutdown_(milliseconds); }
int sm_CreateReader(SM_Reader **out, char *message, size_t length) {
  return library.SM_CreateReader_(out, message, length);
}
int sm_CreateReaderWithin(SM_Reader **out, int milliseconds, char *message, size_t length) {
  return library.SM_CreateReaderWithin_(out, milliseconds, message, length);
}
void sm_DestroyReader(SM_Reader *reader) { library.SM_DestroyReader_(reader); }
int sm_ListHolders(SM_Holder *holders, size_t capacity, size_t *count) {
  return library.SM_ListHolders_(holders, capacity, count);
}
int sm_CountImage(SM_Reader *reader, const SM_Barcode *barcodes, size_t n, size_t *counted) {
  return library.SM_CountImage_(reader, barcodes, n, counted);
}
int sm_CountFrame(SM_Reader *reader, const SM_Barcode *barcodes, size_t n, size_t *counted) {
  return library.SM_CountFrame_(reader, barcodes, n, counted);
}
int sm_CountScans(SM_Reader *reader, int format, uint64_t n) { return library.SM_CountScans_(reader, format, n); }
int sm_CountPages(int module, uint64_t n) { return library.SM_CountPages_(module, n); }
int sm_SetDuplicateForgetTime(SM_Reader *reader, int milliseconds) {
  return library.SM_SetDuplicateForgetTime_(reader, milliseconds);
}
int sm_GetStatus(SM_Status *status) { return library.SM_GetStatus_(status); }
int sm_Sync(int milliseconds, char *message, size_t length) { return library.SM_Sync_(milliseconds, message, length); }
const char *sm_GetErrorString(int code) { return library.SM_GetErrorString_(code); }
const char *sm_GetVersion(void) { return library.SM_GetVersion_(); }

/* This function is in log.go. */
extern void seatmeterHear(int level, char *line);

static void hear(void *user, int level, const char *line) {
  (void)user;
  seatmeterHear(level, (char *)line);
}

int sm_SetLog(int is_heard) { return library.SM_SetLogCallback_(is_heard ? hear : NULL, NULL); }

int sm_HasDecoder(void) { return library.DBR_DecodeFile_ != NULL; }
void *sm_CreateInstance(void) { return library.DBR_CreateInstance_(); }
void sm_DestroyInstance(void *instance) { library.DBR_DestroyInstance_(instance); }
int sm_DecodeFile(void *instance, const char *path) { return library.DBR_DecodeFile_(instance, path, ""); }

void *sm_Results(void *instance, int *count) {
  TextResultArray *results = NULL;
  library.DBR_GetAllTextResults_(instance, &results);
  *count = results == NULL ? 0 : results->resultsCount;
  return results;
}

sm_Result sm_ResultAt(void *results, int index) {
  const TextResult *one = ((TextResultArray *)results)->results[index];
  /* One of the two names is "". */
  const char *format = one->barcodeFormatString[0] != '\0' ? one->barcodeFormatString : one->barcodeFormatString_2;
  sm_Result result = {format, one->barcodeText, one->barcodeBytes, one->barcodeBytesLength};
  return result;
}

void sm_FreeResults(void *results) {
  TextResultArray *array = results;
  library.DBR_FreeTextResults_(&array);
}
