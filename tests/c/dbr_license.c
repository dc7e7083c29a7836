/* DBR_InitLicense of 8.x takes a reader or NULL, and the key. The third register has no meaning. */
#include "dbr_common.h"

/* Calls it as a compiled program of 8.x does, with garbage in the place of 9.x's length. */
typedef int (*WithGarbage)(void *, const char *, int);

static const char code[] = "DEMO-4-SEATS";

static int init(void *reader, const char *key) {
  WithGarbage function = (WithGarbage)(void (*)(void))DBR_InitLicense;
  return function(reader, key, 0x7fffffff);
}

int main(void) {
  void *first = DBR_CreateInstance(), *second, *readers[200];
  char *text;
  int i;
  CHECK_INT(DBRERR_NULL_POINTER, DBR_InitLicense(NULL, NULL));
  CHECK_INT(DBRERR_NULL_POINTER, init(first, NULL));
  CHECK_INT(DBRERR_LICENSE_KEY_INVALID, init(NULL, "DLS2*"));
  CHECK_INT(DBRERR_LICENSE_KEY_INVALID, init(first, "DLS2*"));
  CHECK_INT(DBR_OK, init(first, code));
  CHECK_INT(DBR_OK, init(NULL, code));

  /* Destroyed readers are still recognized as readers: one that the thread keeps, and many in other memory. */
  second = DBR_CreateInstance();
  for (i = 0; i < 200; i++) readers[i] = DBR_CreateInstance();
  DBR_DestroyInstance(first);
  DBR_DestroyInstance(second);
  for (i = 0; i < 200; i++) DBR_DestroyInstance(readers[i]);
  CHECK_INT(DBR_OK, init(first, code));
  CHECK_INT(DBR_OK, init(second, code));
  for (i = 0; i < 200; i++) CHECK_INT(DBRERR_LICENSE_KEY_INVALID, init(readers[i], "DLS2*"));

  /* The library never writes to a key, and never keeps its address. */
  text = (char *)malloc(sizeof code);
  memcpy(text, code, sizeof code);
  CHECK_INT(DBR_OK, init(NULL, text));
  CHECK_INT(0, memcmp(text, code, sizeof code));
  free(text);
  return 0;
}
