/* The shared library as Go calls it. It is loaded at the first call, and each of its functions has one C function here.
 * Packed structures stay in library.c, because cgo cannot read them. */
#ifndef SEATMETER_GO_LIBRARY_H
#define SEATMETER_GO_LIBRARY_H

#include "seatmeter.h"

/* Load the library at this path. Returns NULL, or why it cannot be loaded: a string to be freed. */
char *sm_load(const char *path);

typedef struct sm_Parameters {
  const char *texts[5]; /* server, standby server, handshake code, session password, organization */
  int numbers[4];       /* deployment type, charge way, buffer days, seats */
} sm_Parameters;

/* Each number that means "not set" is the library's default. */
int sm_Defaults(sm_Parameters *parameters);
int sm_Initialize(const sm_Parameters *parameters, char *message, int length);

int sm_GetIdleInstancesCount(void);
int sm_SetStateDirectory(const char *path);
int sm_SetValidationField(int field, const char *value);
int sm_SetDeviceFriendlyName(const char *name);
int sm_SetCaFile(const char *path);
int sm_GetDeviceUUID(char *out, size_t length);
int sm_Shutdown(int milliseconds);
int sm_CreateReader(SM_Reader **out, char *message, size_t length);
int sm_CreateReaderWithin(SM_Reader **out, int milliseconds, char *message, size_t length);
void sm_DestroyReader(SM_Reader *reader);
int sm_ListHolders(SM_Holder *holders, size_t capacity, size_t *count);
int sm_CountImage(SM_Reader *reader, const SM_Barcode *barcodes, size_t n, size_t *counted);
int sm_CountFrame(SM_Reader *reader, const SM_Barcode *barcodes, size_t n, size_t *counted);
int sm_CountScans(SM_Reader *reader, int format, uint64_t n);
int sm_CountPages(int module, uint64_t n);
int sm_SetDuplicateForgetTime(SM_Reader *reader, int milliseconds);
int sm_GetStatus(SM_Status *status);
int sm_Sync(int milliseconds, char *message, size_t length);
int sm_SetLog(int hear);
const char *sm_GetErrorString(int code);
const char *sm_GetVersion(void);

/* One barcode of a picture. The results own everything in it. */
typedef struct sm_Result {
  const char *format;
  const char *text;
  const unsigned char *bytes;
  int length;
} sm_Result;

int sm_HasDecoder(void);
void *sm_CreateInstance(void);
void sm_DestroyInstance(void *instance);
int sm_DecodeFile(void *instance, const char *path);
/* The results of the last picture, to be freed; NULL without any. */
void *sm_Results(void *instance, int *count);
sm_Result sm_ResultAt(void *results, int index);
void sm_FreeResults(void *results);

#endif
