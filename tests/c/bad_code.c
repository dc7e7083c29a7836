/* Requests that the license server refuses: the server's number, and its explanation. */
#include "common.h"

static void refused(DM_DLSConnectionParameters parameters, int expected, const char *part) {
  char message[1024];
  CHECK_INT(expected, InitLicenseFromDLS(&parameters, message, sizeof message));
  CHECK_CONTAINS(message, part);
}

int main(void) {
  DM_DLSConnectionParameters parameters = demo_parameters();
  parameters.handshakeCode = "NO-SUCH-CODE";
  refused(parameters, -20101, "NO-SUCH-CODE");

  parameters = demo_parameters();
  parameters.maxConcurrentInstanceCount = 5;
  refused(parameters, -20008, "5");

  parameters = demo_parameters();
  parameters.deploymentType = SM_DEPLOYMENT_OEM;
  refused(parameters, -20108, "set deploymentType to 1 (server)");

  parameters = demo_parameters();
  parameters.organizationID = "nobody";
  refused(parameters, -20121, "nobody");

  /* A failed call does not harm the next one. */
  get_licensed();
  CHECK_INT(4, GetIdleInstancesCount());
  parameters = demo_parameters();
  parameters.handshakeCode = "NO-SUCH-CODE";
  refused(parameters, -20101, "NO-SUCH-CODE");
  CHECK_INT(4, GetIdleInstancesCount());
  CHECK_INT(0, SM_Shutdown(5000));
  return 0;
}
