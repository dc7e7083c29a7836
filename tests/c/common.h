/* What the C test programs share: being licensed under the demo license. */
#ifndef COMMON_H
#define COMMON_H

#include "check.h"
#include "seatmeter.h"

static inline DM_DLSConnectionParameters demo_parameters(void) {
  static char code[] = "DEMO-4-SEATS";
  DM_DLSConnectionParameters parameters;
  CHECK_INT(0, InitDLSConnectionParameters(&parameters));
  parameters.handshakeCode = code;
  parameters.deploymentType = 1;
  parameters.chargeWay = 10;
  parameters.maxConcurrentInstanceCount = 4;
  return parameters;
}

static inline void get_licensed(void) {
  char message[512];
  DM_DLSConnectionParameters parameters = demo_parameters();
  int code = InitLicenseFromDLS(&parameters, message, sizeof message);
  if (code != 0) fprintf(stderr, "%s\n", message);
  CHECK_INT(0, code);
  CHECK_INT(0, strlen(message));
}

#endif
