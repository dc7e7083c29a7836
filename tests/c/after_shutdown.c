/* Readers that outlive a shutdown hold no seat: however often it is done, no more readers work than there are seats. What
   one has counted in a sequence of frames it does not count again. The server is to get 4 scans. */
#include "common.h"

#define SEATS 4

static int count(SM_Reader *reader) {
  SM_Barcode barcode = {1, (const unsigned char *)"A", 1};
  return SM_CountImage(reader, &barcode, 1, NULL);
}

static size_t count_frame(SM_Reader *reader) {
  SM_Barcode barcode = {1, (const unsigned char *)"F", 1};
  size_t counted = 9;
  CHECK_INT(0, SM_CountFrame(reader, &barcode, 1, &counted));
  return counted;
}

int main(void) {
  SM_Reader *before[SEATS] = {NULL}, *after[SEATS] = {NULL};

  get_licensed();
  for (int i = 0; i < SEATS; i++) CHECK_INT(0, SM_CreateReader(&before[i], NULL, 0));
  CHECK_INT(0, count(before[0]));
  CHECK_INT(0, SM_SetDuplicateForgetTime(before[0], 600000));
  CHECK_INT(1, count_frame(before[0]));
  CHECK_INT(0, SM_Shutdown(10000));
  CHECK_INT(-20000, count(before[0]));

  get_licensed();
  CHECK_INT(SEATS, GetIdleInstancesCount());
  for (int i = 0; i < SEATS; i++) CHECK_INT(0, SM_CreateReader(&after[i], NULL, 0));
  CHECK_INT(-20008, count(before[0]));
  CHECK_INT(0, count(after[0]));

  /* A reader that never held such a seat gives none back. */
  SM_DestroyReader(before[1]);
  CHECK_INT(0, GetIdleInstancesCount());
  SM_DestroyReader(after[1]);
  CHECK_INT(1, GetIdleInstancesCount());
  CHECK_INT(0, count(before[0]));
  CHECK_INT(0, count_frame(before[0]));
  CHECK_INT(0, GetIdleInstancesCount());
  SM_DestroyReader(before[0]);
  CHECK_INT(1, GetIdleInstancesCount());

  SM_DestroyReader(before[2]);
  SM_DestroyReader(before[3]);
  SM_DestroyReader(after[0]);
  SM_DestroyReader(after[2]);
  SM_DestroyReader(after[3]);
  CHECK_INT(SEATS, GetIdleInstancesCount());
  CHECK_INT(0, SM_Shutdown(10000));
  return 0;
}
