/* Output parameters after an error: pointers are NULL, numbers 0, texts "" (a message says what happened), structures
 * unchanged. Every function that returns something is here, driven into an error: tests/dbr/names.rs
 * checks that none is missing. */
#include "dbr_common.h"
#include "seatmeter.h"

static char filled[64];
static int other;

/* A pointer that is not NULL, and that the library must not follow. */
#define SOMETHING ((void *)&other)

#define IS_EMPTY(expected, call)        \
  do {                                  \
    strcpy(filled, "filled");           \
    CHECK_INT(expected, call);          \
    CHECK_INT(0, strlen(filled));       \
  } while (0)

#define IS_MESSAGE(expected, call)      \
  do {                                  \
    filled[0] = '\0';                   \
    CHECK_INT(expected, call);          \
    CHECK(strlen(filled) > 0);          \
  } while (0)

#define IS_NULL(type, expected, call)   \
  do {                                  \
    type *given = (type *)SOMETHING;    \
    CHECK_INT(expected, call(&given));  \
    CHECK(given == NULL);               \
  } while (0)

static int create(SM_Reader **out) { return SM_CreateReader(out, filled, sizeof filled); }
static int create_within(SM_Reader **out) { return SM_CreateReaderWithin(out, 0, filled, sizeof filled); }

static void without_a_license(void) {
  SM_Holder holder;
  SM_Status status, before;
  size_t count = 99;
  DM_DLSConnectionParameters parameters;
  IS_NULL(SM_Reader, -20000, create);
  IS_NULL(SM_Reader, -20000, create_within);
  memset(&holder, '#', sizeof holder);
  CHECK_INT(-20000, SM_ListHolders(&holder, 1, &count));
  CHECK_INT(0, count);
  CHECK(holder.name[0] == '#');
  memset(&status, '#', sizeof status);
  status.size = 1;
  before = status;
  CHECK_INT(-10038, SM_GetStatus(&status));
  CHECK_INT(0, memcmp(&before, &status, sizeof status));
  IS_MESSAGE(-20000, SM_Sync(0, filled, sizeof filled));
  IS_EMPTY(-10038, SM_GetDeviceUUID(filled, 7));
  CHECK_INT(-10002, InitDLSConnectionParameters(NULL));
  CHECK_INT(-10002, DBR_InitDLSConnectionParameters(NULL));
  CHECK_INT(-10002, DBR_InitLTSConnectionParameters(NULL));
  DBR_InitDLSConnectionParameters(&parameters);
  IS_MESSAGE(-20123, InitLicenseFromDLS(&parameters, filled, sizeof filled));
  IS_MESSAGE(-20123, DBR_InitLicenseFromDLS(&parameters, filled, sizeof filled));
  IS_MESSAGE(-20123, DBR_InitLicenseFromLTS(&parameters, filled, sizeof filled));
}

static void counts(void) {
  SM_Reader *reader;
  size_t counted = 99;
  CHECK_INT(0, create(&reader));
  CHECK_INT(-10002, SM_CountImage(reader, NULL, 1, &counted));
  CHECK_INT(0, counted);
  counted = 99;
  CHECK_INT(-10002, SM_CountFrame(reader, NULL, 1, &counted));
  CHECK_INT(0, counted);
  SM_DestroyReader(reader);
}

static void *reader;

static int results(TextResultArray **out) { return DBR_GetAllTextResults(NULL, out); }
static int no_steps(IntermediateResultArray **out) { return DBR_GetIntermediateResults(NULL, out); }
static int steps(IntermediateResultArray **out) { return DBR_GetIntermediateResults(reader, out); }
static int settings(char **out) { return DBR_OutputSettingsToStringPtr(NULL, out, ""); }
static int license(char **out) { return DBR_OutputLicenseToStringPtr(reader, out); }
static int uuid(char **out) { return DBR_GetDeviceUUID(9, out); }

static void pointers(void) {
  PublicRuntimeSettings asked;
  IS_NULL(TextResultArray, -10002, results);
  IS_NULL(IntermediateResultArray, -10002, no_steps);
  CHECK_INT(0, DBR_GetRuntimeSettings(reader, &asked));
  asked.intermediateResultTypes = IRT_CONTOUR;
  CHECK_INT(0, DBR_UpdateRuntimeSettings(reader, &asked, NULL, 0));
  IS_NULL(IntermediateResultArray, -10056, steps);
  IS_NULL(char, -10002, settings);
  IS_NULL(char, -20006, license);
  IS_NULL(char, -10038, uuid);
}

static void texts(void) {
  IS_EMPTY(-20006, DBR_OutputLicenseToString(reader, filled, sizeof filled));
  IS_EMPTY(-10002, DBR_OutputSettingsToString(NULL, filled, sizeof filled, ""));
  IS_EMPTY(-10038, DBR_OutputSettingsToString(reader, filled, 10, ""));
  IS_EMPTY(-10008, DBR_GetParameterTemplateName(reader, 0, filled, sizeof filled));
  CHECK_INT(0, DBR_AppendTplStringToRuntimeSettings(reader, "{\"ImageParameter\":{\"Name\":\"A long name\"}}",
                                                    CM_IGNORE, NULL, 0));
  IS_EMPTY(-10038, DBR_GetParameterTemplateName(reader, 0, filled, 5));
  IS_EMPTY(-10055, DBR_GetModeArgument(reader, "BinarizationModes", 0, "No", filled, sizeof filled, NULL, 0));
  CHECK_INT(0, DBR_SetModeArgument(reader, "BinarizationModes", 0, "Long", "a long value", NULL, 0));
  IS_EMPTY(-10055, DBR_GetModeArgument(reader, "BinarizationModes", 0, "Long", filled, 5, NULL, 0));
}

/* DBR_InitLicense(license, message, length) of 9.x, which this header declares as 8.x has it. */
typedef int (*Nine)(const char *, char *, int);

static void messages(void) {
  Nine init_license = (Nine)(void (*)(void))DBR_InitLicense;
  PublicRuntimeSettings bad;
  char value[8];
  memset(&bad, '#', sizeof bad);
  IS_MESSAGE(-10053, init_license("DLS2*", filled, sizeof filled));
  IS_MESSAGE(-10038, DBR_UpdateRuntimeSettings(reader, &bad, filled, sizeof filled));
  IS_MESSAGE(-10005, DBR_InitRuntimeSettingsWithFile(reader, "no.json", CM_IGNORE, filled, sizeof filled));
  IS_MESSAGE(-10005, DBR_AppendTplFileToRuntimeSettings(reader, "no.json", CM_IGNORE, filled, sizeof filled));
  IS_MESSAGE(-10030, DBR_InitRuntimeSettingsWithString(reader, "{", CM_IGNORE, filled, sizeof filled));
  IS_MESSAGE(-10030, DBR_AppendTplStringToRuntimeSettings(reader, "{", CM_IGNORE, filled, sizeof filled));
  IS_MESSAGE(-10051, DBR_SetModeArgument(reader, "No", 0, "No", "1", filled, sizeof filled));
  IS_MESSAGE(-10055, DBR_GetModeArgument(reader, "No", 0, "No", value, sizeof value, filled,
                                         sizeof filled));
}

static void structures(void) {
  PublicRuntimeSettings given, before;
  memset(&given, '#', sizeof given);
  before = given;
  CHECK_INT(-10002, DBR_GetRuntimeSettings(NULL, &given));
  CHECK_INT(0, memcmp(&before, &given, sizeof given));
  CHECK_INT(-10002, DBR_InitFrameDecodingParameters(reader, NULL));
  CHECK_INT(-10002, DBR_InitIntermediateResult(IRT_CONTOUR, NULL));
}

int main(void) {
  without_a_license();
  dbr_license();
  counts();
  reader = DBR_CreateInstance();
  pointers();
  texts();
  messages();
  structures();
  DBR_DestroyInstance(reader);
  return 0;
}
