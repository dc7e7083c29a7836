/*
 * Holds all seats but one, and waits until it is killed: musl_hold hold
 * Prints how many seats are idle: musl_hold
 */
#include <unistd.h>

#include "common.h"

int main(int argc, char **argv) {
  char message[512];
  int holds = argc > 1 && strcmp(argv[1], "hold") == 0;
  get_licensed();
  for (int seats = 0; holds && seats < 3; seats++) {
    SM_Reader *reader = NULL;
    CHECK_INT(0, SM_CreateReader(&reader, message, sizeof message));
  }
  printf("idle seats: %d\n", GetIdleInstancesCount());
  fflush(stdout);
  if (holds) pause();
  return 0;
}
