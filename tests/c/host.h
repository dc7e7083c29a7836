/* What the programs share that ask how good a guest the library is in its process. */
#ifndef HOST_H
#define HOST_H

#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#include "common.h"

/* No call of the library may take as long as this, on the slowest machine: a program that hangs dies of SIGALRM. */
#define HANG_SECONDS 120

/* Count an image with one barcode that is new in it: one scan, one image. */
static inline int count_one(SM_Reader *reader) {
  SM_Barcode barcode;
  barcode.format = 4;
  barcode.bytes = (const unsigned char *)"host";
  barcode.length = 4;
  return SM_CountImage(reader, &barcode, 1, NULL);
}

static inline SM_Status status_now(void) {
  SM_Status now;
  memset(&now, 0, sizeof now);
  now.size = sizeof now;
  CHECK_INT(0, SM_GetStatus(&now));
  return now;
}

/* Report until nothing is left: more may have been counted than fits into one report. */
static inline void report_all(void) {
  int round, code = -1;
  for (round = 0; round < 20 && code != 0; round++) code = SM_Sync(20000, NULL, 0);
  CHECK_INT(0, code);
}

#endif
