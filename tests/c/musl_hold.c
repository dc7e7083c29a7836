/*
 * Holds all seats but one, and waits until it is killed: musl_hold hold
 * Prints how many seats are idle: musl_hold
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "seatmeter.h"

int main(int argc, char **argv) {
  DM_DLSConnectionParameters parameters;
  InitDLSConnectionParameters(&parameters);
  char handshake_code[] = "DEMO-4-SEATS";
  parameters.handshakeCode = handshake_code;
  parameters.maxConcurrentInstanceCount = 4;

  char message[512];
  int code = InitLicenseFromDLS(&parameters, message, sizeof message);
  int holds = argc > 1 && strcmp(argv[1], "hold") == 0;
  for (int seats = 0; holds && code == DBR_OK && seats < 3; seats++) {
    SM_Reader *reader = NULL;
    code = SM_CreateReader(&reader, message, sizeof message);
  }
  if (code != DBR_OK) {
    fprintf(stderr, "%s (%d)\n", message, code);
    return 1;
  }
  printf("idle seats: %d\n", GetIdleInstancesCount());
  fflush(stdout);
  if (holds) pause();
  return 0;
}
