/*
 * Creates and destroys readers, so that somebody else can count what the processor does for a pair: scripts/instructions.sh.
 *
 * pairs <server> <number of pairs>
 */
#include <stdio.h>
#include <stdlib.h>

#include <seatmeter.h>

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  DM_DLSConnectionParameters parameters;
  InitDLSConnectionParameters(&parameters);
  parameters.mainServerURL = argv[1];
  parameters.handshakeCode = "DEMO-4-SEATS";
  parameters.deploymentType = 1;
  parameters.maxConcurrentInstanceCount = 4;
  char message[512];
  if (InitLicenseFromDLS(&parameters, message, sizeof message) != DBR_OK) {
    fprintf(stderr, "%s\n", message);
    return 1;
  }
  for (long left = atol(argv[2]); left > 0; left--) {
    SM_Reader *reader;
    if (SM_CreateReader(&reader, NULL, 0) != DBR_OK) return 1;
    SM_DestroyReader(reader);
  }
  return 0;
}
