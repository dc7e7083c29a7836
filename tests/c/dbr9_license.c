/* DBR_InitLicense of 9.x takes a key, a buffer for a message, and its length. Both forms work in one process. */
#include "check.h"
#include "DynamsoftBarcodeReader.h"
#include "DynamsoftCommon.h"

typedef int (*Eight)(void *, const char *);

static char message[256];

static void refused_with_a_sentence(void) {
  /* {"handshakeCode": "NO-SUCH-CODE", "organizationID": null} */
  static const char unknown[] = "DLS2eyJoYW5kc2hha2VDb2RlIjogIk5PLVNVQ0gtQ09ERSIsICJvcmdhbml6YXRpb25JRCI6IG51bGx9";
  CHECK_INT(DBRERR_LICENSE_KEY_INVALID, DBR_InitLicense("DLS2*", message, sizeof message));
  CHECK(strlen(message) > 0);
  memset(message, '#', sizeof message);
  CHECK_INT(DBRERR_LICENSE_KEY_INVALID, DBR_InitLicense("DLS2*", message, 4));
  CHECK_INT(3, strlen(message));
  CHECK(message[4] == '#');
  CHECK_INT(DBRERR_LICENSE_KEY_INVALID, DBR_InitLicense("DLS2*", message, -1));
  CHECK_INT(DBRERR_LICENSE_KEY_INVALID, DBR_InitLicense("DLS2*", NULL, 100));
  CHECK_INT(-20101, DBR_InitLicense(unknown, message, sizeof message));
  CHECK(strlen(message) > 0);
  CHECK_INT(-20123, DBR_InitLicense("", message, sizeof message));
  CHECK(strlen(message) > 0);
}

/* Texts at addresses where readers were, or could be, are treated as texts. */
static void texts_everywhere(void) {
  void *readers[100];
  char *texts[100];
  int i;
  for (i = 0; i < 100; i++) readers[i] = DBR_CreateInstance();
  for (i = 0; i < 100; i++) DBR_DestroyInstance(readers[i]);
  for (i = 0; i < 100; i++) {
    texts[i] = (char *)malloc(100 + (size_t)i);
    CHECK(texts[i] != NULL);
    strcpy(texts[i], "DLS2*");
    strcpy(message, "");
    CHECK_INT(DBRERR_LICENSE_KEY_INVALID, DBR_InitLicense(texts[i], message, sizeof message));
    CHECK(strlen(message) > 0);
  }
  for (i = 0; i < 100; i++) free(texts[i]);
}

int main(void) {
  Eight eight = (Eight)(void (*)(void))DBR_InitLicense;
  void *reader;
  refused_with_a_sentence();
  texts_everywhere();
  CHECK_INT(DBR_OK, DBR_InitLicense("DEMO-4-SEATS", message, sizeof message));
  CHECK_INT(0, strlen(message));
  CHECK_INT(1, DBR_GetIdleInstancesCount());
  reader = DBR_GetInstance();
  CHECK(reader != NULL);
  CHECK_INT(0, DBR_GetIdleInstancesCount());
  CHECK_INT(DBR_OK, eight(reader, "DEMO-4-SEATS"));
  CHECK_INT(DBR_OK, eight(NULL, "DEMO-4-SEATS"));
  DBR_RecycleInstance(reader);
  CHECK_INT(1, DBR_GetIdleInstancesCount());
  CHECK_INT(DMERR_LICENSE_CACHE_USED, -20012);
  CHECK_INT(BF2_ALL, -1);
  CHECK_INT(0xFE3FFFFF, (unsigned int)BF_ALL);
  CHECK_INT(0x003007FF, BF_ONED);
  /* 9.6 has names for fields that 8.x reserves, at the same places. */
  CHECK_INT(64, offsetof(FrameDecodingParameters, duplicateForgetTime));
  CHECK_INT(84, sizeof(FrameDecodingParameters));
  CHECK_INT(16, offsetof(PDF417Details, hasLeftRowIndicator));
  CHECK_INT(48, sizeof(PDF417Details));
  return 0;
}
