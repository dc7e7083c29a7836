/*
 * Reports what programs on this device have counted and not reported: those that ended without a word, too.
 *
 *   report_leftovers
 *
 * Nothing special has to be called for that: every initialization does it in the background. This program
 * only waits for it, by ending in good order.
 */
#include <stdio.h>

#include "seatmeter.h"

int main(void) {
  DM_DLSConnectionParameters parameters;
  InitDLSConnectionParameters(&parameters);
  char handshake_code[] = "DEMO-4-SEATS";
  parameters.handshakeCode = handshake_code;
  parameters.maxConcurrentInstanceCount = 4;

  char message[512];
  int code = InitLicenseFromDLS(&parameters, message, sizeof message);
  if (code != DBR_OK) {
    fprintf(stderr, "no license: %s (%d)\n", message, code);
    return 1;
  }

  code = SM_Shutdown(10000);
  if (code != DBR_OK) {
    fprintf(stderr, "not everything is reported: %s (%d)\n", SM_GetErrorString(code), code);
    return 1;
  }
  printf("everything that was counted on this device is reported\n");
  return 0;
}
