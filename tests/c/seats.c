/* Seats: as many readers as the license has, given back by any thread, and none after the end. */
#include <pthread.h>

#include "common.h"

static void *destroy(void *reader) {
  SM_DestroyReader((SM_Reader *)reader);
  return NULL;
}

int main(void) {
  SM_Reader *readers[4], *fifth = NULL;
  char message[512];
  int i;
  pthread_t thread;

  get_licensed();
  CHECK_INT(-20009, SM_SetStateDirectory("/tmp"));
  CHECK_INT(-20009, SM_SetValidationField(0, "x"));
  CHECK_INT(-20009, SM_SetDeviceFriendlyName("x"));
  CHECK_INT(-20009, SM_SetCaFile("/tmp/x"));
  CHECK_INT(-10038, SM_GetDeviceUUID(message, 32));
  CHECK_INT(0, SM_GetDeviceUUID(message, 33));
  CHECK_INT(32, (int)strlen(message));
  for (i = 0; i < 4; i++) {
    CHECK_INT(4 - i, GetIdleInstancesCount());
    CHECK_INT(0, SM_CreateReader(&readers[i], message, sizeof message));
  }
  CHECK_INT(0, GetIdleInstancesCount());
  CHECK_INT(-20008, SM_CreateReader(&fifth, message, sizeof message));
  CHECK(fifth == NULL);
  CHECK_CONTAINS(message, "all 4 seats");

  CHECK_INT(0, pthread_create(&thread, NULL, destroy, readers[0]));
  CHECK_INT(0, pthread_join(thread, NULL));
  CHECK_INT(1, GetIdleInstancesCount());
  CHECK_INT(0, SM_CreateReader(&readers[0], NULL, 0));

  /* A second call uses the existing license, and no seat is lost or doubled. */
  get_licensed();
  CHECK_INT(0, GetIdleInstancesCount());
  for (i = 0; i < 4; i++) SM_DestroyReader(readers[i]);
  CHECK_INT(4, GetIdleInstancesCount());

  CHECK_INT(0, SM_Shutdown(5000));
  CHECK_INT(-1, GetIdleInstancesCount());
  CHECK_INT(-20000, SM_CreateReader(&fifth, NULL, 0));
  get_licensed();
  CHECK_INT(4, GetIdleInstancesCount());
  CHECK_INT(0, SM_Shutdown(5000));
  return 0;
}
